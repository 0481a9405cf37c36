"""Assignment: which detection is which track's, for the greatest gain in all."""

from __future__ import annotations

from typing import Iterator, List, Set, Tuple

import numpy as np

from ..types import Array


def assign(gain: Array) -> Tuple[Array, Array]:
    """Pair rows with columns, each at most once, for the greatest sum of gains.

    `gain` (N, M) float, 0 where a pair is impossible, else above. Returns the pairs' rows and columns, (P,) int each,
    by row. Rows and columns that share no possible pair are solved apart: of a frame's objects few are near each other.

    >>> rows, columns = assign(np.array([(5.0, 4.0), (3.5, 0.0), (0.0, 0.0)]))
    >>> rows.tolist(), columns.tolist()
    ([0, 1], [1, 0])
    """
    possible = gain > 0
    rows, columns = np.nonzero(possible)
    # Most are a row and a column alone.
    is_alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    if is_alone.all():
        return rows, columns
    pairs = list(zip(rows[is_alone].tolist(), columns[is_alone].tolist()))
    for some, others in _components(possible, set(rows[~is_alone].tolist())):
        pairs.extend((some[i], others[j]) for i, j in _solve(gain[np.ix_(some, others)]))
    pairs.sort()
    both = np.array(pairs, int).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _components(possible: Array, left: Set[int]) -> Iterator[Tuple[List[int], List[int]]]:
    """Yield the rows, of those that are left, and columns that possible pairs connect."""
    while left:
        rows, columns, todo = set(), set(), {left.pop()}
        while todo:
            rows |= todo
            columns |= set(np.flatnonzero(possible[sorted(todo)].any(0)).tolist())
            todo = set(np.flatnonzero(possible[:, sorted(columns)].any(1)).tolist()) - rows
        left -= rows
        yield sorted(rows), sorted(columns)


def _solve(gain: Array) -> List[Tuple[int, int]]:
    """Solve one component exactly: the Hungarian method with potentials (Kuhn, Munkres), O(N^2 M)."""
    turned = gain.shape[0] > gain.shape[1]
    work = -(gain.T if turned else gain)
    n, m = work.shape
    row_potential, column_potential = np.zeros(n + 1), np.zeros(m + 1)
    row_of = np.zeros(m + 1, int)  # 1-based; 0: free
    for row in range(1, n + 1):
        row_of[0], column = row, 0
        shortest, previous, done = np.full(m + 1, np.inf), np.zeros(m + 1, int), np.zeros(m + 1, bool)
        while row_of[column]:
            done[column] = True
            at = row_of[column]
            reduced = work[at - 1] - row_potential[at] - column_potential[1:]
            is_better = ~done[1:] & (reduced < shortest[1:])
            shortest[1:][is_better], previous[1:][is_better] = reduced[is_better], column
            step = np.where(done, np.inf, shortest)
            step[0] = np.inf
            best = int(step.argmin())
            delta = step[best]
            row_potential[row_of[done]] += delta
            column_potential[done] -= delta
            shortest[~done] -= delta
            column = best
        while column:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    pairs = [(int(row_of[column]) - 1, column - 1) for column in range(1, m + 1) if row_of[column]]
    pairs = [(j, i) if turned else (i, j) for i, j in pairs]
    return [(i, j) for i, j in pairs if gain[i, j] > 0]
