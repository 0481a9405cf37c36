"""Progress: the one interface between code that works through many items and a bar that shows it."""

from __future__ import annotations

from typing import Optional, Protocol


class Progress(Protocol):
    """A bar. `total` is how much there is (None: unchanged, or unknown), `completed` how much of it is done.

    An implementation may raise, which ends the work: that is how a user stops it.
    """

    def update(
        self, *, description: Optional[str] = None, total: Optional[float] = None, completed: Optional[float] = None
    ) -> None:
        """Show another description, total or count; what is not given stays."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more as done."""


class NoProgress:
    """Progress that nobody watches."""

    def update(
        self, *, description: Optional[str] = None, total: Optional[float] = None, completed: Optional[float] = None
    ) -> None:
        """Show nothing."""

    def advance(self, amount: float = 1) -> None:
        """Show nothing."""


NO_PROGRESS: Progress = NoProgress()
