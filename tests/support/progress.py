"""A bar that remembers what it was asked to show."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple


class RecordedProgress:
    """`steps` are (completed, total, description) after each call; `hear` is called with the last one and may raise."""

    def __init__(self, hear: Callable[[float, Optional[float]], None] = lambda completed, total: None) -> None:
        self.steps: List[Tuple[float, Optional[float], str]] = []
        self._completed, self._description = 0.0, ""
        self._total: Optional[float] = None
        self._hear = hear

    def update(
        self, *, description: Optional[str] = None, total: Optional[float] = None, completed: Optional[float] = None
    ) -> None:
        self._description = self._description if description is None else description
        self._total = self._total if total is None else total
        self._completed = self._completed if completed is None else completed
        self.steps.append((self._completed, self._total, self._description))
        self._hear(self._completed, self._total)

    def advance(self, amount: float = 1) -> None:
        self.update(completed=self._completed + amount)
