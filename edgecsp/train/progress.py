"""Progress of a run, for people: a state for a bar, lines for a log."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Callable, Optional

from ..system.progress import NoProgress

LOG = logging.getLogger(__name__)
EVERY_S = 30.0


@dataclass
class TrainingProgress:
    """Progress of a run: `epoch` of `epochs`, `step` of `steps`, the last loss, images per second, the best AP50.

    `waited` is the share of the time in which no image was ready, `left_s` how long the rest takes.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    waited: float
    ap50: Optional[float]
    left_s: float = 0.0

    def line(self) -> str:
        """The state as one line of a log."""
        return (
            f"epoch {self.epoch} of {self.epochs}: loss {self.loss:.3f}, {self.images_per_s:.1f} images/s, "
            f"{duration(self.left_s)} left"
        )


def duration(seconds: float) -> str:
    """A time as people read it: 45 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def waiting(share: float) -> str:
    """Say how much of the training time no image was ready, and what helps if that is much."""
    advice = "; more --workers or --cache ram (or disk) would help" if share > 0.1 else ""
    return f"waited {share:.0%} of the time for images{advice}"


class LoggedProgress(NoProgress):
    """Logs twice a minute how many of `total` images are `done`, a participle: read, validated."""

    def __init__(self, done: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._done, self._total, self._clock = done, total, clock
        self._count, self._last = 0.0, clock()

    def advance(self, amount: float = 1) -> None:
        """Count images, and log them when it is time."""
        self._count = min(self._total, self._count + amount)
        if self._clock() - self._last >= EVERY_S:
            self._last = self._clock()
            LOG.info("%s %s of %s images", self._done, f"{self._count:,.0f}", f"{self._total:,}")
