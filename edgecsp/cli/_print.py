"""Safe printing for all commands: text from outside cannot move the cursor, forge lines or set colours.

    from ._print import print       # like the builtin, but each value is one printable line

File names, labels, URLs and messages of other programs may contain control characters. JSON, which escapes them, is
printed by `data`; progress bars and tables use a `console`.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any, Iterable, Optional, TextIO

from ..system.redaction import redact_text
from ..system.text import printable, traceback_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment


def print(*values: object, sep: str = " ", end: str = "\n", file: Optional[TextIO] = None, flush: bool = False) -> None:
    """Print values like `builtins.print`, with control characters and line ends escaped."""
    stream = file if file is not None else sys.stdout
    text = sep.join(map(printable, values))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # Characters that the terminal's encoding lacks are escaped, too.
    builtins.print(text.encode(encoding, "backslashreplace").decode(encoding), end=end, file=stream, flush=flush)


def log_to_stderr() -> None:
    """Have the package's log printed like all else: a record begins at its line's beginning, the rest is indented."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            first, *more = [redact_text(line) for line in record.getMessage().splitlines() or [""]]
            if record.exc_info and record.exc_info[1] is not None:
                more += map(redact_text, traceback_lines(record.exc_info[1]))
            print(f"edgecsp: {first}", file=sys.stderr)
            for line in more:
                print(line if line.startswith("    ") else f"    {line}", file=sys.stderr)

    logging.getLogger("edgecsp").handlers[:] = [Lines()]


def data(text: str) -> None:
    """Print JSON unchanged."""
    builtins.print(text)


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

    return Plain(stderr=to_stderr, markup=False, emoji=False, **options)
