"""The assignment of boxes to tracks, beside all that are possible."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecsp.track.assignment import assign


def best(gain: np.ndarray) -> float:
    """The greatest sum of gains, by trying all."""
    work = gain if len(gain) <= gain.shape[1] else gain.T
    columns = range(work.shape[1])
    return max(work[range(len(work)), order].sum() for order in itertools.permutations(columns, len(work)))


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_no_other_assignment_gains_more(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        shape = rng.integers(1, 7, 2)
        gain = rng.uniform(0.1, 10, shape) * (rng.random(shape) < share)
        rows, columns = assign(gain)
        assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
        assert (gain[rows, columns] > 0).all() and (np.diff(rows) > 0).all()
        assert gain[rows, columns].sum() == pytest.approx(best(gain))


def test_nothing_is_paired_with_nothing() -> None:
    for shape in ((0, 3), (3, 0), (2, 2)):
        rows, columns = assign(np.zeros(shape))
        assert len(rows) == len(columns) == 0
