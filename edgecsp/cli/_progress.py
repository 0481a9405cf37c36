"""Progress bar on stderr."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

from . import _print


@contextmanager
def bar(doing: str, total: Optional[int], quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Show a progress bar; call the result after each of `total` steps (None: unknown). Hidden without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_print.console(to_stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda: progress.advance(task)
