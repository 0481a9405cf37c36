"""Statistics of samples: medians, tails, spread, ratios of alternating rounds, and bootstrap intervals.

A row's samples come in rounds, and interference affects whole rounds. So the bootstrap draws rounds first and samples
within them second; drawing samples alone would turn every drift into a difference.
"""

from __future__ import annotations

import math
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..types import Array

Rounds = Sequence[Sequence[float]]
TAILS = {"p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}
DRAWS = 400
TOGETHER = 4  # rows that are needed to tell the machine's speed from a row's own
CONFIDENCE = 0.95


def median(samples: Sequence[float]) -> float:
    """The median of at least one sample."""
    return float(np.median(samples))


def mean(samples: Sequence[float]) -> float:
    """The mean of at least one sample: means of parts add up, unlike medians."""
    return float(np.mean(samples))


def quantiles(samples: Union[Sequence[float], Array], *shares: float) -> List[float]:
    """The quantiles at shares in 0..1, interpolated between samples."""
    return [float(value) for value in np.quantile(samples, shares)]


def percentile(samples: Sequence[float], share: float) -> float:
    """The percentile by nearest rank, as MLPerf's LoadGen computes it; `share` in 0..1."""
    ordered = sorted(samples)
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])


def summary(samples: Sequence[float]) -> Dict[str, float]:
    """median_ms, p50_ms, p90_ms, p99_ms, p999_ms and iqr_ms of at least one sample in milliseconds."""
    low, middle, high = quantiles(samples, 0.25, 0.5, 0.75)
    tails = {key: percentile(samples, share) for key, share in TAILS.items()}
    return {"median_ms": middle, "p50_ms": middle, **tails, "iqr_ms": high - low}


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Format values as their median with the least and the largest: "1.02 [0.97 .. 1.10]"."""
    return f"{median(values):{form}} [{min(values):{form}} .. {max(values):{form}}]"


def ratios(over: Sequence[float], under: Sequence[float]) -> List[float]:
    """The ratio of each round of two alternating series: interference of a round affects both sides."""
    return [a / b for a, b in zip(over, under)]


def split(samples: Sequence[float], counts: Sequence[int]) -> List[List[float]]:
    """Split samples into rounds by the number of samples of each."""
    ends = np.cumsum([0, *counts])
    return [list(samples[a:b]) for a, b in zip(ends[:-1], ends[1:]) if b > a]


def medians(rounds: Rounds, draws: int = DRAWS, seed: int = 0) -> Array:
    """(draws,) bootstrap medians: rounds drawn with replacement, then samples within each."""
    random = np.random.default_rng(seed)
    flat = np.concatenate([np.asarray(each, np.float64) for each in rounds])
    counts = np.array([len(each) for each in rounds])
    starts = np.cumsum(counts) - counts
    drawn_medians = np.empty(draws)
    for i, picked in enumerate(random.integers(len(counts), size=(draws, len(counts)))):
        sizes = counts[picked]
        places = np.repeat(starts[picked], sizes) + (random.random(sizes.sum()) * np.repeat(sizes, sizes)).astype(
            np.int64
        )
        drawn_medians[i] = np.median(flat[places])
    return drawn_medians


def round_medians(rounds: Rounds) -> List[float]:
    """The median of each round."""
    return [median(each) for each in rounds]


def ratio_interval(over: Rounds, under: Rounds, draws: int = DRAWS) -> Tuple[float, float]:
    """The bootstrap interval of the ratio of two medians."""
    return interval(medians(over, draws, seed=0) / medians(under, draws, seed=1))


def round_paces(rows: Sequence[Rounds]) -> List[float]:
    """Each round's slowdown over all rows: 1.1 means that the median row took 1.1 times its own median.

    [] for fewer than `TOGETHER` rows with the same number of rounds.
    """
    most = max((len(rounds) for rounds in rows), default=0)
    whole = [rounds for rounds in rows if len(rounds) == most]
    if most < 2 or len(whole) < TOGETHER:
        return []
    taken = [round_medians(rounds) for rounds in whole]
    return [float(value) for value in np.median([np.array(row) / np.median(row) for row in taken], axis=0)]


def interval(values: Array, confidence: float = CONFIDENCE) -> Tuple[float, float]:
    """The central interval of bootstrap values at a confidence level."""
    low, high = quantiles(values, (1 - confidence) / 2, (1 + confidence) / 2)
    return low, high


def spearman(pairs: Sequence[Tuple[float, float]]) -> Optional[float]:
    """Spearman's rank correlation, ties sharing their rank; None for fewer than three pairs or constant values."""
    if len(pairs) < 3:
        return None
    x, y = (_ranks(side) for side in np.asarray(pairs, np.float64).T)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / norm) if norm else None


def _ranks(values: Array) -> Array:
    below = (values[None] < values[:, None]).sum(1)
    same = (values[None] == values[:, None]).sum(1)
    ranks: Array = below + (same + 1) / 2
    return ranks
