"""Text of the comparison of a plan with onnxruntime on images."""

from __future__ import annotations

import math
from typing import Iterator, Optional, Sequence

from ...bench.comparison import Comparison
from ...bench.images import synthetic_images
from ...errors import SourceError
from ...media import sources
from ...types import Array

MOST = 64  # images: more add nothing


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


def read_images(images: Optional[Sequence[str]]) -> Iterator[Array]:
    """Read the images to compare on, synthetic ones by default. Raises `SourceError` when there are none."""
    if not images:
        yield from synthetic_images()
        return
    count = 0
    for source in sources.open_all(list(images)):
        with source:
            for frame in source:
                yield frame.image
                count += 1
                if count == MOST:
                    return
    if not count:
        raise SourceError(f"--images {' '.join(images)}: no images found")
