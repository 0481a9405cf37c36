"""When to try again: later each time, and never all at once."""

from __future__ import annotations

import random
from typing import Callable

_OWN = random.Random()  # the module's own state is everybody's


class Backoff:
    """How long to wait before each try: by chance from `least_s` to twice, four times ... it, at most `most_s` seconds.

    Twenty cameras behind a switch that was without power come back one by one. Source: M. Brooker, "Exponential
    backoff and jitter" (2015), full jitter above a floor.
    """

    def __init__(self, least_s: float = 1.0, most_s: float = 30.0, chance: Callable[[], float] = _OWN.random) -> None:
        self.least_s, self.most_s = least_s, most_s
        self._chance = chance
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        self._tries += 1
        # The exponent is bounded, or a camera that is gone for years overflows a float.
        most = min(self.most_s, self.least_s * 2.0 ** min(self._tries, 64))
        return self.least_s + self._chance() * (most - self.least_s)

    def reset(self) -> None:
        """It worked: the next wait is a short one again."""
        self._tries = 0
