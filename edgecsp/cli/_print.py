"""What every command prints through: nothing from outside can move the cursor, forge a line or colour a word.

    from ._print import print       # as the builtin, but each value is one printable line

Names of files, labels, URLs and messages of other programs may hold anything. JSON, which escapes that itself, goes
through `data`; a bar or a table through a `console`.
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
    """Print values as `builtins.print` does, control characters and line ends in them escaped."""
    stream = file if file is not None else sys.stdout
    shown = sep.join(map(printable, values))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # What a terminal of another encoding lacks is escaped as well: a name is no reason to fail.
    builtins.print(shown.encode(encoding, "backslashreplace").decode(encoding), end=end, file=stream, flush=flush)


def data(text: str) -> None:
    """Print JSON as it is."""
    builtins.print(text)


def console(*, to_stderr: bool, **options: Any) -> Console:
    """A console of rich that takes text as it is: no markup and no emoji in it, and control characters escaped."""
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
