"""Assignment: which detection is which track's, for the greatest gain in all."""

from __future__ import annotations

from collections import defaultdict
from typing import DefaultDict, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..types import Array

_Gains = Dict[int, Dict[int, float]]  # of a row with a column


def assign(gain: Array) -> Tuple[Array, Array]:
    """Pair rows with columns, each at most once, for the greatest sum of gains.

    `gain` (N, M) float, 0 where a pair is impossible, else above. Returns the pairs' rows and columns, (P,) int each,
    by row.

    >>> rows, columns = assign(np.array([(5.0, 4.0), (3.5, 0.0), (0.0, 0.0)]))
    >>> rows.tolist(), columns.tolist()
    ([0, 1], [1, 0])
    """
    rows, columns = (gain > 0).nonzero()
    return assign_pairs(rows, columns, gain[rows, columns])


def assign_pairs(rows: Array, columns: Array, gains: Array) -> Tuple[Array, Array]:
    """Pair as `assign`, of the possible pairs (P,) alone, which are in the order of their rows.

    Rows and columns that share no possible pair are solved apart: of a frame's objects few are near each other.
    """
    # Most are a row and a column alone.
    is_alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    if is_alone.all():
        return rows, columns
    pairs = list(zip(rows[is_alone].tolist(), columns[is_alone].tolist()))
    shared = ~is_alone
    for component in _components(rows[shared].tolist(), columns[shared].tolist(), gains[shared].tolist()):
        pairs.extend(_best_of_each(component) or _solve(component))
    pairs.sort()
    both = np.array(pairs, int).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _components(rows: List[int], columns: List[int], gains: List[float]) -> Iterator[_Gains]:
    """Yield the gains of the rows and columns that pairs connect."""
    by_row: DefaultDict[int, Dict[int, float]] = defaultdict(dict)
    rows_of: DefaultDict[int, List[int]] = defaultdict(list)
    for row, column, gain in zip(rows, columns, gains):
        by_row[row][column] = gain
        rows_of[column].append(row)
    while by_row:
        component, todo = {}, [next(iter(by_row))]
        while todo:
            row = todo.pop()
            if row in by_row:
                component[row] = by_row.pop(row)
                for column in component[row]:
                    todo.extend(rows_of[column])
        yield component


def _best_of_each(component: _Gains) -> Optional[List[Tuple[int, int]]]:
    """Pair each row with its best column, or each column with its best row, if no two want the same: none gain more."""
    by_column: DefaultDict[int, Dict[int, float]] = defaultdict(dict)
    for row, gains in component.items():
        for column, gain in gains.items():
            by_column[column][row] = gain
    best = {max(gains, key=gains.__getitem__): row for row, gains in component.items()}
    if len(best) == len(component):
        return [(row, column) for column, row in best.items()]
    best = {max(gains, key=gains.__getitem__): column for column, gains in by_column.items()}
    return list(best.items()) if len(best) == len(by_column) else None


def _solve(component: _Gains) -> List[Tuple[int, int]]:
    """Solve one component exactly: the Hungarian method with potentials (Kuhn, Munkres), O(N^2 M)."""
    rows, columns = sorted(component), sorted({column for gains in component.values() for column in gains})
    gain = np.array([[component[row].get(column, 0.0) for column in columns] for row in rows])
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
    return [(rows[i], columns[j]) for i, j in pairs if gain[i, j] > 0]
