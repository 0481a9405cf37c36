"""Where a run is, for people: a state for a bar, lines for a log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Optional

EVERY_S = 30.0


@dataclass
class TrainingProgress:
    """Where a run is: `epoch` of `epochs`, `step` of `steps`, the last loss, images a second, the best AP50 so far.

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
    """How much of the time of training no image was ready, and what helps if that is much."""
    advice = "; more --workers or --cache ram (or disk) would help" if share > 0.1 else ""
    return f"waited {share:.0%} of the time for images{advice}"


def ticker(
    tell: Callable[[str], None], done: str, total: int, each: int = 1, clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """What to call after every `each` of `total` images: it tells how many are `done`, twice a minute."""
    count, last = 0, clock()

    def tick() -> None:
        nonlocal count, last
        count = min(total, count + each)
        if clock() - last >= EVERY_S:
            last = clock()
            tell(f"{done} {count:,} of {total:,} images")

    return tick
