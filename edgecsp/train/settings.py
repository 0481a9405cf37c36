"""What a training run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple

from ..errors import UsageError


@dataclass(frozen=True)
class TrainSettings:
    """How a run learns. A resumed run must be given the same, but for `epochs` of a run that has ended.

    `imgsz` is the side of the network's input in pixels (None: the model's), `epochs` passes over the images, `batch`
    images a step (0: what the memory is enough for), `lr` the highest learning rate, `warmup` steps until it is
    reached, `decay` AdamW's weight decay, `average` the decay of the exponential moving average, `assigner` "dynamic"
    or "shape" (`loss`), `mosaic` the share of images that are made of four, `scale` by which share images become larger
    or smaller at most, `multi_scale` whether batches differ in size, `flip` whether images may be mirrored,
    `freeze_bn` whether the statistics of batch-norms stay as the weights bring them (None: where their heads know a
    class of the data), `patience` epochs without a better AP after which the run ends (0: never), `teacher_conf` the
    score from which a teacher's box is a label, `distill` the network whose heads are learned from, cell by cell ("":
    none).
    """

    epochs: int = 100
    batch: int = 16
    imgsz: Optional[int] = None
    lr: float = 2e-3
    warmup: int = 100
    decay: float = 0.02
    average: float = 0.998
    assigner: str = "dynamic"
    smooth: float = 0.0
    mosaic: float = 0.8
    scale: float = 0.5
    flip: bool = True
    multi_scale: bool = False
    freeze: int = 0
    freeze_bn: Optional[bool] = None
    patience: int = 0
    seed: int = 0
    teacher_conf: float = 0.3
    distill: str = ""

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch": 0, "warmup": 1, "freeze": 0, "patience": 0, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name} {getattr(self, name)}: at least {low}")
        if self.imgsz is not None and not 32 <= self.imgsz <= 4096:
            raise UsageError(f"imgsz {self.imgsz}: from 32 to 4096 pixels, and a multiple of the model's stride")
        if not 0 < self.lr <= 1:
            raise UsageError(f"lr {self.lr:g}: above 0, at most 1")
        for name in ("mosaic", "scale", "average", "smooth"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name):g}: a number from 0 to 1")
        if not 0 < self.teacher_conf < 1:
            raise UsageError(f"teacher_conf {self.teacher_conf:g}: above 0 and below 1")
        if self.assigner not in ("dynamic", "shape"):
            raise UsageError(f"assigner {self.assigner!r}: dynamic or shape")

    def differing(self, other: Dict[str, Any]) -> Dict[str, Tuple[Any, Any]]:
        """The fields that `other` (a run's record) has another value of: name -> (its, ours); `epochs` may differ."""
        ours = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "epochs"}
        return {name: (other[name], value) for name, value in ours.items() if other.get(name, value) != value}
