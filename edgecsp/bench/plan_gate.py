"""Whether a TensorRT plan is worth its precision: as fast as fp16's, and no less accurate than a budget allows."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

import numpy as np

from .. import backends, pipeline
from ..backends import Session
from ..errors import UsageError
from ..graph import precision
from ..system.progress import NO_PROGRESS, Progress
from ..types import Model
from . import accuracy, stats

ROUNDS, RUNS = 10, 10  # of each plan in turn
NOISE = 1.02  # a plan that takes this much longer is slower


@dataclass(frozen=True)
class PlanFigures:
    """A plan's median milliseconds and fp16's, and its COCO AP and AP50 and the float model's; None: not measured."""

    ms: Optional[float] = None
    fp16_ms: Optional[float] = None
    ap: Optional[float] = None
    ap50: Optional[float] = None
    float_ap: Optional[float] = None
    float_ap50: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)

    def find_fault(self, max_ap_drop: Optional[float]) -> str:
        """Find why the plan is not worth it; "" when it is."""
        if self.ms is not None and self.fp16_ms is not None and self.ms > NOISE * self.fp16_ms:
            return (
                f"it takes {self.ms:.2f} ms and a plan in fp16 {self.fp16_ms:.2f} ms; build the float model with "
                "--precision fp16"
            )
        falls = {"AP": (self.float_ap, self.ap), "AP50": (self.float_ap50, self.ap50)}
        for name, (before, after) in falls.items():
            if max_ap_drop is not None and before is not None and after is not None and before - after > max_ap_drop:
                return (
                    f"its {name} falls by {before - after:.4f}, from {before:.4f} to {after:.4f}: more than "
                    f"--max-ap-drop {max_ap_drop:g}"
                )
        return ""


def time_plans(session: Session, other: Session, model: Model, batch: int) -> List[float]:
    """Time two sessions in turn: median milliseconds of each."""
    images = np.full((batch, model.input.channels, *model.input.hw), 0.5, np.float32)
    samples: List[List[float]] = [[], []]
    for _ in range(ROUNDS):
        for each, taken in zip((session, other), samples):
            each.run(images)  # the clocks go up
            for _ in range(RUNS):
                start = time.perf_counter()
                each.run(images)
                taken.append(1e3 * (time.perf_counter() - start))
    return [stats.median(taken) for taken in samples]


def measure_ap(
    model: Model, detector: pipeline.Detector, data: accuracy.Data, progress: Progress = NO_PROGRESS
) -> Dict[str, float]:
    """Measure AP and AP50 of a detector, and those of the float model on onnxruntime, as fields of `PlanFigures`.

    The float model of an int8 file has weights of int8's values and rounds no activation. Raises `UsageError` where
    the float model finds nothing, and what `accuracy.predict` raises.
    """
    plain = precision.to_float(model) if precision.detect_precision(model) == "int8" else model
    with pipeline.Detector(plain, backends.open(plain, backends.REFERENCE)) as reference:
        before = accuracy.score(accuracy.predict(reference, data, progress=progress)).averages
    if not before["AP50"]:
        raise UsageError(f"AP of {model.name} in float is 0 on {data.name}, so that there is nothing to lose")
    after = accuracy.score(accuracy.predict(detector, data, progress=progress)).averages
    return {
        "ap": after["AP"] or 0.0, "ap50": after["AP50"] or 0.0, "float_ap": before["AP"] or 0.0,
        "float_ap50": before["AP50"] or 0.0,
    }  # fmt: skip
