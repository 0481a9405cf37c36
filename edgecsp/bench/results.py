"""Results of cases: samples in rounds, accuracy on labelled images, and how they compare with the reference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Tuple

from . import interference, stats
from .accuracy import Confusion, Predictions, Score, count_confusions, score
from .cases import Case
from .comparison import Comparison

SPREAD = 0.10  # share of the median: a larger interquartile range marks a result unstable
UNSURE = 0.03  # share of the median: so does an interval of the median that is wider than this to either side
NOTHING = "no cause is visible in /proc and /sys"


@dataclass
class Timing:
    """The samples of a case in milliseconds, a list per round, each of `per_sample` images.

    `cpu_ms`, `wall_s` and `noise` are of each round, `watts` of those that a board has measured; `stages` are the
    samples' parts, None where a sample has none; `ready` is what the worker reported when it was warm.
    """

    rounds: List[List[float]] = field(default_factory=list)
    cpu_ms: List[float] = field(default_factory=list)
    wall_s: List[float] = field(default_factory=list)
    stages: Optional[Dict[str, List[float]]] = None
    noise: List[interference.SystemNoise] = field(default_factory=list)
    watts: List[float] = field(default_factory=list)
    ready: Dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: Optional[int] = None
    per_sample: int = 1

    @property
    def ms(self) -> List[float]:
        """All samples, in order."""
        return [ms for each in self.rounds for ms in each]

    @property
    def per_image(self) -> List[List[float]]:
        """The milliseconds per image of the samples of each round."""
        return [[ms / self.per_sample for ms in each] for each in self.rounds]

    @property
    def counts(self) -> List[int]:
        """The number of samples of each round."""
        return [len(each) for each in self.rounds]

    def add(self, answer: Dict[str, Any]) -> None:
        """Add a worker's round."""
        self.rounds.append(answer["ms"])
        self.cpu_ms.append(answer["cpu_ms"])
        self.wall_s.append(answer["wall_s"])
        self.peak_memory_bytes, self.per_sample = answer["peak_memory_bytes"], answer["per_sample"]
        if answer["stages"]:
            self.stages = self.stages or {name: [] for name in answer["stages"]}
            for name, samples in answer["stages"].items():
                self.stages[name] += samples

    def after(self, count: int) -> Timing:
        """The rounds behind the first `count`."""
        return replace(
            self, rounds=self.rounds[count:], cpu_ms=self.cpu_ms[count:], wall_s=self.wall_s[count:],
            noise=self.noise[count:], stages=None, watts=[],
        )  # fmt: skip

    def summary(self) -> Dict[str, Any]:
        """Compute `stats.summary` and the bootstrap interval of the median, interval_ms."""
        return {**stats.summary(self.ms), "interval_ms": list(stats.interval(stats.medians(self.rounds)))}

    def find_causes(self, governor: Optional[str]) -> Tuple[bool, List[str]]:
        """Find whether the samples are unstable, and the likely causes if they are."""
        figures = self.summary()
        median, (low, high) = figures["median_ms"], figures["interval_ms"]
        unstable = figures["iqr_ms"] > SPREAD * median or max(high - median, median - low) > UNSURE * median
        return unstable, (interference.find_causes(self.noise, governor) or [NOTHING]) if unstable else []


@dataclass
class Accuracy:
    """The accuracy of a case on labelled images.

    `paths` are the images that could be read, `problems` counts non-fatal problems by their message. `predictions`
    may be set to None once they are no longer needed: they are as large as the data.
    """

    images: int
    paths: Tuple[str, ...]
    detections: int
    problems: Dict[str, int]
    score: Score
    confusion: Confusion
    predictions: Optional[Predictions]

    @classmethod
    def from_predictions(cls, predictions: Predictions, confusion_conf: float) -> Accuracy:
        """Score predictions; confusions count those of at least `confusion_conf`."""
        return cls(
            len(predictions.images),
            tuple(dict.fromkeys(each.path for each in predictions.images)),
            sum(map(len, predictions.detections)),
            predictions.problems,
            score(predictions),
            count_confusions(predictions, confusion_conf),
            predictions,
        )

    @property
    def averages(self) -> Dict[str, Optional[float]]:
        """COCO's averages, in 0..1; None where there is no object."""
        return self.score.averages


@dataclass
class CaseResult:
    """The measurements of a case, empty or None where nothing was measured.

    `failure` is why it was not measured, or only partly. Why it cannot be measured at all is the case's `reason`.
    """

    case: Case
    timing: Timing = field(default_factory=Timing)
    accuracy: Optional[Accuracy] = None
    comparison: Optional[Comparison] = None
    failure: Optional[str] = None
