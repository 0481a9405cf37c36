"""Progress bars on stderr: `Progress` drawn by rich, hidden without a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Optional

from ..system.progress import NO_PROGRESS, Progress
from . import _logging, _print

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Bar:
    """One task of rich's bars."""

    def __init__(self, bars: Bars, description: str, total: Optional[float]) -> None:
        self._bars, self._task = bars, bars.add_task(description, total=total)

    def update(
        self, *, description: Optional[str] = None, total: Optional[float] = None, completed: Optional[float] = None
    ) -> None:
        """Update the task."""
        self._bars.update(self._task, description=description, total=total, completed=completed)

    def advance(self, amount: float = 1) -> None:
        """Advance the task."""
        self._bars.advance(self._task, amount)


@contextmanager
def bar(
    description: str, total: Optional[float] = None, quiet: bool = False, *, unit: str = "items"
) -> Iterator[Progress]:
    """Show a progress bar of items, bytes or steps (`unit`); a total of None: unknown.

    The description of steps changes often, so it is shown after the bar. The unit "wait" has nothing to count: a moving
    bar and the time.
    """
    if quiet or not _logging.is_watched():
        yield NO_PROGRESS
        return
    with bars(*_columns(unit)) as rich_bars:
        yield Bar(rich_bars, description, total)


def bars(*columns: Any) -> Bars:
    """Create rich's progress bars on stderr, removed at the end; log lines are printed above them."""
    from rich.progress import Progress as Bars

    return Bars(*columns, console=_print.console(to_stderr=True, highlight=False), transient=True)


def _columns(unit: str) -> Any:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    text = TextColumn("{task.description}", markup=False)
    if unit == "bytes":
        return text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    if unit == "wait":
        return text, BarColumn(), TimeElapsedColumn()
    if unit == "steps":
        return BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), text
    return text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
