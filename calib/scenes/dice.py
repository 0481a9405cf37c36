"""`Dice`: the one source of chance of a scene; scalars from `random`, which is ten times quicker at them than numpy."""

from __future__ import annotations

import math
import random
from typing import List, Sequence, Tuple, TypeVar

import numpy as np

T = TypeVar("T")


class Dice(random.Random):
    """Seeded chance with the few distributions that scenes need."""

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return self.random() < p

    def log(self, low: float, high: float) -> float:
        """Log-uniform: as many between 1 and 2 as between 2 and 4."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def pick(self, pairs: Sequence[Tuple[T, float]]) -> T:
        """One of (value, weight) pairs."""
        values, weights = zip(*pairs)
        return self.choices(values, weights)[0]

    def letters(self, alphabet: str, n: int) -> str:
        """A string of `n` characters."""
        return "".join(self.choices(alphabet, k=n))

    def colour(self, low: int = 0, high: int = 255) -> Tuple[int, int, int]:
        """Any BGR colour with its channels between two values."""
        return self.randint(low, high), self.randint(low, high), self.randint(low, high)

    def tint(self, grey: float, spread: float) -> Tuple[int, int, int]:
        """A BGR colour near a grey."""
        return tuple(int(min(255, max(0, grey + self.uniform(-spread, spread)))) for _ in range(3))  # type: ignore

    def arrays(self) -> np.random.Generator:
        """A numpy generator for whole arrays; each call gives another."""
        return np.random.default_rng(self.getrandbits(64))

    def shuffled(self, values: Sequence[T]) -> List[T]:
        """A shuffled copy."""
        return self.sample(list(values), len(values))
