"""Safe printing for all commands: text from outside cannot move the cursor, forge lines or set colours.

    from ._print import print       # like the builtin, but each value is one printable line

File names, labels, URLs and messages of other programs may contain control characters. JSON, which escapes them, is
written by `_json`; progress bars and tables use a `console`. In a terminal lines are wrapped at words and may be
coloured; in files and pipes they stay whole and plain.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Iterable, List, Optional, Sequence, TextIO

from ..system.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

STYLES = {"heading": "1", "good": "32", "warning": "33", "error": "31"}  # SGR codes
GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
COMMAND = re.compile(r"(?<=type: )[^;)]+")  # what a reader copies


def print(
    *values: object,
    sep: str = " ",
    end: str = "\n",
    file: Optional[TextIO] = None,
    flush: bool = False,
    style: str = "",
    is_wrapped: bool = True,
) -> None:
    """Print values like `builtins.print`, with control characters and line ends escaped.

    In a terminal the lines are wrapped at words unless `is_wrapped` is False, and have the colour of `style`.
    """
    stream = file if file is not None else sys.stdout
    text = sep.join(map(printable, values))
    if stream.isatty():
        width = terminal_width(stream)
        text = "\n".join(wrap(line, width) if is_wrapped else line for line in text.split("\n"))
        if style and has_colour():
            text = f"\x1b[{STYLES[style]}m{text}\x1b[0m"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # Characters that the terminal's encoding lacks are escaped, too.
    builtins.print(text.encode(encoding, "backslashreplace").decode(encoding), end=end, file=stream, flush=flush)


def terminal_width(stream: TextIO) -> int:
    """Return the width of a terminal in columns: $COLUMNS, else what it says, else 80."""
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def has_colour() -> bool:
    """Whether this terminal may be sent colours: https://no-color.org."""
    is_ansi = os.name != "nt" or "WT_SESSION" in os.environ  # the old console of Windows prints the codes
    return is_ansi and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def wrap(line: str, width: int) -> str:
    """Wrap a line at words; further lines begin below the text of the last column, else with 4 spaces more.

    A word that is longer than the line (a URL, a path) and a command to type, if it fits on a line, stay whole.
    """
    if len(line) <= width:
        return line
    import textwrap

    gaps = [gap.end() for gap in GAP.finditer(line) if gap.end() <= 0.6 * width]
    indent = gaps[-1] if gaps else len(line) - len(line.lstrip(" ")) + 4
    room = width - indent
    whole = COMMAND.sub(lambda match: match[0].replace(" ", "\0" if len(match[0]) <= room else " "), line)
    lines = textwrap.wrap(
        whole, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False,
    )  # fmt: skip
    return "\n".join(lines).replace("\0", " ")


def align(table: Sequence[Sequence[str]], *, right: Sequence[int], gap: int = 2) -> List[str]:
    """Align rows of cells as lines, `gap` spaces apart; the columns in `right` are right-aligned."""
    columns = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ((f"{row[i]:{'>' if i in right else '<'}{n}}" for i, n in enumerate(columns)) for row in table)
    return [(" " * gap).join(line).rstrip() for line in lines]


def console(*, to_stderr: bool, **options: Any) -> Console:
    """Create a rich console without markup and emoji, with control characters escaped."""
    from rich.console import Console

    class Plain(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text = segment.text
                if segment.control or text.isprintable() or text == "\n":
                    yield segment
                else:
                    yield segment._replace(text="\n".join(map(printable, text.split("\n"))))

    from ._logging import is_json

    # Where stderr holds JSON alone, a table has no place.
    return Plain(stderr=to_stderr, quiet=to_stderr and is_json(), markup=False, emoji=False, **options)
