"""Compare a model on an engine with the same model on onnxruntime, on images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

import numpy as np

from ... import backends, pipeline
from ...bench import verify
from ...errors import SourceError
from ...media import sources
from ...types import Array, Model

MOST = 64  # images: more add nothing


@dataclass
class ComparisonResult:
    """Result of a comparison.

    `worst` is the largest difference of a head's value relative to the head's largest; `boxes` counts detections of
    onnxruntime, `again` how many of them the engine has too (a classifier's best class counts as one).
    """

    images: int = 0
    is_synthetic: bool = False
    worst: float = 0.0
    boxes: int = 0
    again: int = 0
    odd: bool = False

    @property
    def reason(self) -> str:
        """Why the engine's results are unusable, "" if they are usable."""
        if self.odd:
            return "its heads contain NaN or infinity"
        return (
            f"it detects none of the {self.boxes} objects that onnxruntime detects"
            if self.boxes and not self.again
            else ""
        )

    @property
    def works(self) -> bool:
        """Whether the engine's results can be used."""
        return not self.reason

    def __str__(self) -> str:
        on = f"{self.images} {'synthetic ' * self.is_synthetic}image{'s' * (self.images != 1)}"
        heads = f"with onnxruntime on {on}: heads differ by {self.worst:.2g} of their largest value at most"
        if not self.boxes:
            return f"{heads}; they contain no objects, better use others: --images IMAGES"
        return f"{heads}; the plan detects {self.again} of its {self.boxes} objects"


def compare(model: Model, detector: pipeline.Detector, images: Optional[Sequence[str]], batch: int) -> ComparisonResult:
    """Compare a detector with onnxruntime; `batch` is the batch size of its graph.

    Raises `SourceError` when there are no images.
    """
    result = ComparisonResult(is_synthetic=not images)
    with pipeline.Detector(model, backends.open(model, backends.REFERENCE)) as reference:
        for image in _read_images(images):
            single, geometry = reference.prepare(image)
            prepared = np.repeat(single, batch, axis=0)
            expected, got = reference.infer(prepared), detector.infer(prepared)
            result.images += 1
            result.odd |= not all(np.isfinite(out).all() for out in got)
            if not result.odd:
                result.worst = max(result.worst, *(_off(a, b) for a, b in zip(got, expected)))
                first = [out[:1] for out in expected], [out[:1] for out in got]
                results = [reference.finish(outputs, geometry) for outputs in first]
                result.boxes += len(results[0].counted())
                result.again += verify.count_matches(results[0], results[1], verify.LOOSE)
    return result


def _off(got: Array, expected: Array) -> float:
    return float(np.abs(got - expected).max() / max(1e-12, float(np.abs(expected).max())))


def _read_images(images: Optional[Sequence[str]]) -> Iterator[Array]:
    if not images:
        yield from verify.synthetic_images()
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
