"""Images that are in a data set more than once: the same file, or nearly the same pixels in two parts of it.

What is learned and judged by the same images looks better than it is.
"""

from __future__ import annotations

from itertools import combinations
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ...types import Array
from .look import ImageInspection
from .problem import Problem, problems

NEAR_BITS = 12  # of 256 that may differ
MOST_PAIRS = 50_000_000  # beyond it only images whose brightness does not differ at all are found
_BITS: Array = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def find(looks: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    """What is in one part twice, or in several."""
    rows = []
    for name, part in looks.items():
        rows += problems("duplicate", f"{{n}} images are in {name} twice", _shown(_pairs(part, None)))
    for (one, first), (other, second) in combinations(looks.items(), 2):
        same = _pairs(first, second)
        near = sorted(_near(first, second) - set(same))
        rows += problems("duplicate in two parts", f"{{n}} images of {other} are also in {one}", _shown(same))
        rows += problems(
            "near duplicate in two parts", f"{{n}} images of {other} look like some of {one}", _shown(near)
        )
    return rows


def _shown(pairs: Sequence[Tuple[str, str]]) -> Tuple[str, ...]:
    return tuple(f"{second} = {first}" for first, second in pairs)


def _pairs(first: Sequence[ImageInspection], second: Optional[Sequence[ImageInspection]]) -> List[Tuple[str, str]]:
    """Paths of one content: of the first part and of the second (None: later in the first)."""
    at: Dict[bytes, str] = {}
    again = [each for each in first if each.digest and at.setdefault(each.digest, each.path) != each.path]
    return [(at[each.digest], each.path) for each in (again if second is None else second) if each.digest in at]


def _near(first: Sequence[ImageInspection], second: Sequence[ImageInspection]) -> Set[Tuple[str, str]]:
    """Pairs whose brightness differs in the same places; for each of the second part the nearest of the first."""
    ones, others = ([each for each in part if each.shade is not None] for part in (first, second))
    if not ones or not others:
        return set()
    if len(ones) * len(others) > MOST_PAIRS:
        at = {_shade(each).tobytes(): each.path for each in ones}
        keys = ((_shade(each).tobytes(), each.path) for each in others)
        return {(at[key], path) for key, path in keys if key in at}
    table = np.stack([_shade(each) for each in ones])
    found = set()
    for each in others:
        differing = _BITS[table ^ _shade(each)].sum(1, dtype=np.int64)
        best = int(differing.argmin())
        if differing[best] <= NEAR_BITS:
            found.add((ones[best].path, each.path))
    return found


def _shade(each: ImageInspection) -> Array:
    assert each.shade is not None
    return each.shade
