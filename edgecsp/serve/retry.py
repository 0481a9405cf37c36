"""Exponential backoff with jitter."""

from __future__ import annotations

import random
from typing import Callable

_OWN = random.Random()  # independent of the global random state


class Backoff:
    """Random waits before each retry: from `least_s` to twice, four times ... it, at most `most_s` seconds.

    Twenty cameras behind one switch that lost power reconnect one by one. Source: M. Brooker, "Exponential
    backoff and jitter" (2015), full jitter above a floor.
    """

    def __init__(self, least_s: float = 1.0, most_s: float = 30.0, chance: Callable[[], float] = _OWN.random) -> None:
        self.least_s, self.most_s = least_s, most_s
        self._chance = chance
        self._tries = 0

    def next_s(self) -> float:
        """Return the seconds to wait before the next retry."""
        self._tries += 1
        # The exponent is bounded, or a float would overflow after years of retries.
        most = min(self.most_s, self.least_s * 2.0 ** min(self._tries, 64))
        return self.least_s + self._chance() * (most - self.least_s)

    def reset(self) -> None:
        """Start again with short waits, after a success."""
        self._tries = 0
