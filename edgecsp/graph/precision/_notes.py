"""The measured range of a quantised map, in the file beside its symmetric step: what a form with zero points is of.

It is the documentation string of the QuantizeLinear node, which every engine skips.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

_WORD = "range"


def note_range(node: Any, low: float, high: float) -> None:
    """Note the lowest and highest value that a QuantizeLinear node gets."""
    node.doc_string = f"{_WORD} {low:.9g} {high:.9g}"


def read_range(node: Any) -> Optional[Tuple[float, float]]:
    """The lowest value, 0 at most, and the highest, 0 at least; None where there is no note of them."""
    words = node.doc_string.split()
    if len(words) != 3 or words[0] != _WORD:
        return None
    try:
        low, high = float(words[1]), float(words[2])
    except ValueError:
        return None
    return (min(0.0, low), max(0.0, high)) if math.isfinite(high - low) and low < high else None
