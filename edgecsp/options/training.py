"""Settings of a training run. `edgecsp train` has an option for each of them that has a help text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple

from ..errors import UsageError
from .declaration import list_options, option


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run. A resumed run keeps its own; only `epochs` may change.

    `imgsz` is the side of the network's input in pixels (None: the model's), `epochs` passes over the images, `batch`
    images a step (0: what the memory is enough for), `lr` the highest learning rate, `warmup` steps until it is
    reached, `decay` AdamW's weight decay, `average` the decay of the exponential moving average, `assigner` "dynamic"
    or "shape" (`loss`), `mosaic` the share of images that are made of four, `mixup` the share that is blended with
    another image, `scale` by which share images become larger or smaller at most, `multi_scale` whether batches differ
    in size, `progressive` whether images are smaller in the first part of the run, `flip` whether images may be
    mirrored, `freeze_bn` whether the statistics of batch-norms stay as the weights bring them (None: where their heads
    know a class of the data), `blend` whether the best weights are mixed with such initial ones where that gives a
    higher AP, `patience` epochs without a better AP after which the run ends (0: never), `teacher_conf` the score from
    which a teacher's box is a label, `distill` the network whose heads are learned from, cell by cell ("": none).
    """

    epochs: int = option(100, "number of epochs", least=1)
    batch: int = option(16, least=0)
    imgsz: Optional[int] = option(None, "side of the network's input", default_help="the model's")
    lr: float = option(2e-3, "highest learning rate (AdamW)")
    warmup: int = option(100, least=1)
    decay: float = option(0.02)
    average: float = option(0.998, least=0, most=1)
    assigner: str = option("dynamic")
    smooth: float = option(0.0, least=0, most=1)
    mosaic: float = option(
        0.8, "share of images made of four, 0 to 1; none in the last tenth of the run", least=0, most=1
    )
    mixup: float = option(
        0.0, "share of images blended with another one, 0 to 1; none in the last tenth of the run", least=0, most=1
    )
    scale: float = option(0.5, "images become up to this share larger or smaller, 0 to 1", least=0, most=1)
    flip: bool = option(True)
    multi_scale: bool = option(False, "batches of several sizes")
    progressive: bool = option(False, "smaller images in the first part of the run, which then takes half the time")
    freeze: int = option(0, "epochs with frozen initial weights", least=0)
    freeze_bn: Optional[bool] = option(
        None, "keep the batch normalisation statistics of the weights", flag="--freeze-bn/--no-freeze-bn",
        default_help="if they know the classes",
    )  # fmt: skip
    blend: bool = option(
        True, "mix the result with initial weights of the same classes where that is better", flag="--blend/--no-blend",
        default_help="if they know the classes",
    )  # fmt: skip
    patience: int = option(0, "stop after so many epochs without a better AP [default: never]", least=0)
    seed: int = option(0, "seed of weights, order and augmentation", least=0)
    teacher_conf: float = option(0.3, "confidence threshold for a teacher's boxes")
    distill: str = option(
        "", "learn from another network's heads, cell by cell: a run's folder, or X.cfg with X.weights beside it"
    )

    def __post_init__(self) -> None:
        for name, declared in list_options(TrainSettings).items():
            mismatch = declared.mismatch(getattr(self, name))
            if mismatch:
                raise UsageError(f"{name} {getattr(self, name)}: {mismatch}")
        if self.imgsz is not None and not 32 <= self.imgsz <= 4096:
            raise UsageError(f"imgsz {self.imgsz}: from 32 to 4096 pixels, and a multiple of the model's stride")
        if not 0 < self.lr <= 1:
            raise UsageError(f"lr {self.lr:g}: above 0, at most 1")
        if not 0 < self.teacher_conf < 1:
            raise UsageError(f"teacher_conf {self.teacher_conf:g}: above 0 and below 1")
        if self.assigner not in ("dynamic", "shape"):
            raise UsageError(f"assigner {self.assigner!r}: dynamic or shape")

    def differing(self, other: Dict[str, Any]) -> Dict[str, Tuple[Any, Any]]:
        """The fields that `other` (a run's record) has another value of: name -> (its, ours); `epochs` may differ."""
        ours = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "epochs"}
        return {name: (other[name], value) for name, value in ours.items() if other.get(name, value) != value}
