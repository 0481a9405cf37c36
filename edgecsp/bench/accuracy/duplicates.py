"""Find duplicates in a data set: the same file, or nearly the same pixels in two splits.

A model that is trained and validated on the same images looks better than it is.
"""

from __future__ import annotations

from itertools import combinations
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ...types import Array
from .inspection import ImageInspection
from .problem import Problem, build_problems

NEAR_BITS = 12  # of 256 that may differ
MOST_PAIRS = 50_000_000  # beyond it only images whose brightness does not differ at all are found
_BITS: Array = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def find_duplicates(inspections: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    """Find images that are twice in one split, or in several."""
    rows = []
    for name, part in inspections.items():
        rows += build_problems("duplicate", f"{{n}} images are in {name} twice", _format_pairs(_pairs(part, None)))
    for (one, first), (other, second) in combinations(inspections.items(), 2):
        same = _pairs(first, second)
        near = sorted(_near_duplicates(first, second) - set(same))
        rows += build_problems(
            "duplicate in two parts", f"{{n}} images of {other} are also in {one}", _format_pairs(same)
        )
        rows += build_problems(
            "near duplicate in two parts", f"{{n}} images of {other} look like some of {one}", _format_pairs(near)
        )
    return rows


def _format_pairs(pairs: Sequence[Tuple[str, str]]) -> Tuple[str, ...]:
    return tuple(f"{second} = {first}" for first, second in pairs)


def _pairs(first: Sequence[ImageInspection], second: Optional[Sequence[ImageInspection]]) -> List[Tuple[str, str]]:
    """Pairs of paths with the same content: of the first split and of the second (None: later in the first)."""
    at: Dict[bytes, str] = {}
    again = [each for each in first if each.digest and at.setdefault(each.digest, each.path) != each.path]
    return [(at[each.digest], each.path) for each in (again if second is None else second) if each.digest in at]


def _near_duplicates(first: Sequence[ImageInspection], second: Sequence[ImageInspection]) -> Set[Tuple[str, str]]:
    """Pairs of similar fingerprints: for each image of the second split the nearest of the first."""
    ones, others = ([each for each in part if each.shade is not None] for part in (first, second))
    if not ones or not others:
        return set()
    if len(ones) * len(others) > MOST_PAIRS:
        at = {_shade(each).tobytes(): each.path for each in ones}
        keys = ((_shade(each).tobytes(), each.path) for each in others)
        return {(at[key], path) for key, path in keys if key in at}
    table = np.stack([_shade(each) for each in ones])
    pairs = set()
    for each in others:
        differing = _BITS[table ^ _shade(each)].sum(1, dtype=np.int64)
        best = int(differing.argmin())
        if differing[best] <= NEAR_BITS:
            pairs.add((ones[best].path, each.path))
    return pairs


def _shade(each: ImageInspection) -> Array:
    assert each.shade is not None
    return each.shade
