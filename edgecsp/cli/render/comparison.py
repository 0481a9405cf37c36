"""A model on an engine against the same model on onnxruntime: what differs, on pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

import numpy as np

from ... import backends, pipeline
from ...bench import verify
from ...errors import SourceError
from ...media import sources
from ...processing import two_stage
from ...types import Array, Model

MOST = 64  # pictures: more say nothing new


@dataclass
class Compared:
    """What a comparison found.

    `worst` is the largest difference of a head's value, as a share of that head's largest; `boxes` are what
    onnxruntime found, `again` how many of them the engine found too (a classifier's best class counts as one).
    """

    pictures: int = 0
    drawn: bool = False
    worst: float = 0.0
    boxes: int = 0
    again: int = 0
    odd: bool = False

    @property
    def why(self) -> str:
        """Why the engine's answers are useless, "" when they are not."""
        if self.odd:
            return "its heads hold values that are no numbers"
        return f"it finds none of the {self.boxes} that onnxruntime finds" if self.boxes and not self.again else ""

    @property
    def works(self) -> bool:
        """Whether the engine's answers can be used."""
        return not self.why

    def __str__(self) -> str:
        on = f"{self.pictures} {'drawn ' * self.drawn}picture{'s' * (self.pictures != 1)}"
        heads = f"with onnxruntime on {on}: heads differ by {self.worst:.2g} of their largest value at most"
        if not self.boxes:
            return f"{heads}; there is nothing to find on them, others say more: --images PICTURES"
        return f"{heads}; of {self.boxes} objects that it finds, the plan finds {self.again}"


def compare(model: Model, detector: pipeline.Detector, images: Optional[Sequence[str]], batch: int) -> Compared:
    """Hold a detector against onnxruntime; `batch` is how many pictures its graph takes at once.

    Raises `SourceError` when `images` are no pictures.
    """

    def opened(stage: Model) -> backends.Session:
        return backends.open(stage, "ort")

    found = Compared(drawn=not images)
    session = opened(model) if model.second is None else two_stage.open_stages(model, opened)
    with pipeline.Detector(model, session) as reference:
        for picture in _pictures(images):
            single, geometry = reference.prepare(picture)
            prepared = np.repeat(single, batch, axis=0)
            wanted, got = reference.infer(prepared), detector.infer(prepared)
            found.pictures += 1
            found.odd |= not all(np.isfinite(out).all() for out in got)
            if not found.odd:
                found.worst = max(found.worst, *(_off(a, b) for a, b in zip(got, wanted)))
                first = [out[:1] for out in wanted], [out[:1] for out in got]
                results = [reference.finish(outputs, geometry) for outputs in first]
                found.boxes += verify.count_boxes(results[0])
                found.again += verify.count_matches(results[0], results[1], verify.LOOSE)
    return found


def _off(got: Array, wanted: Array) -> float:
    return float(np.abs(got - wanted).max() / max(1e-12, float(np.abs(wanted).max())))


def _pictures(images: Optional[Sequence[str]]) -> Iterator[Array]:
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
        raise SourceError(f"--images {' '.join(images)}: no picture is there")
