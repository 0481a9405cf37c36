"""Text of the comparison of a plan with onnxruntime on images."""

from __future__ import annotations

import math

from ...bench.comparison import Comparison


def find_fault(compared: Comparison) -> str:
    """Find why a plan's results are unusable; "" if they are usable."""
    if not math.isfinite(compared.largest):
        return "its heads contain NaN or infinity"
    if compared.boxes and not compared.loose:
        return f"it detects none of the {compared.boxes} objects that onnxruntime detects"
    return ""


def format_comparison(compared: Comparison, *, is_synthetic: bool) -> str:
    """Format a comparison as one line."""
    on = f"{compared.images} {'synthetic ' * is_synthetic}image{'s' * (compared.images != 1)}"
    heads = f"with onnxruntime on {on}: heads differ by {compared.largest:.2g} of their largest value at most"
    if not compared.boxes:
        return f"{heads}; they contain no objects, better use others: --images IMAGES"
    return f"{heads}; the plan detects {compared.loose} of its {compared.boxes} objects"
