"""Safe printing for all commands: text from outside cannot move the cursor, forge lines or set colours.

    from ._print import print       # like the builtin, but each value is one printable line

File names, labels, URLs and messages of other programs may contain control characters. JSON, which escapes them, is
written by `_json`; progress bars and tables use a `console`.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any, Iterable, Optional, TextIO

from ..system.text import printable

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
