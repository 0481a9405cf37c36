"""The cases that are measured: models x options x engines, and why some of them cannot be measured here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from .. import backends, importers, pipeline, zoo
from ..errors import EdgecspError, EngineUnavailable
from ..graph import onnx_model, precision
from ..processing import preprocess
from ..types import Array, Model
from ..zoo import store
from . import _graph_cost
from .images import synthetic_images
from .settings import BenchSettings, engine_device

CALIBRATION = 8  # synthetic images: an int8 graph is equally fast with any ranges


@dataclass(frozen=True)
class BenchmarkModel:
    """A model to measure as the user named it, its cost at its input size, and the origin of its weights."""

    name: str
    title: str
    model: Model
    weights: str
    bflops: float
    parameters: int

    @property
    def is_trained_detector(self) -> bool:
        """Whether its accuracy can be measured on labelled images."""
        return self.weights != "random" and self.model.has_boxes


@dataclass(frozen=True)
class Case:
    """One thing to measure: a model on a device of an engine in a precision.

    `threads` None means the machine's, divided among `at_once` concurrent images. `options` are further keywords of
    `pipeline.load`. `about` is what a report says of the model; `reason` is why the case cannot be measured here.
    `synthetic_ranges`: its int8 graph is calibrated on synthetic images and is for speed only.
    """

    model: Model
    engine: str
    device: str
    precision: str
    threads: Optional[int] = None
    at_once: int = 1
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    about: Optional[BenchmarkModel] = None
    reason: Optional[str] = None
    synthetic_ranges: bool = False

    def __str__(self) -> str:
        return f"{self.name} on {self.engine} in {self.precision}"

    @property
    def name(self) -> str:
        """The model's name as the user gave it."""
        return self.about.name if self.about else self.model.name

    @property
    def engine_device(self) -> str:
        """The engine's name for the device."""
        return engine_device(self.device)

    def open(self) -> pipeline.Detector:
        """Open the detector to measure. Raises an `EdgecspError`."""
        return pipeline.load(
            self.model, self.engine, device=self.engine_device, threads=self.threads, precision=self.precision,
            concurrency=self.at_once, **self.options,
        )  # fmt: skip

    def to_request(self, path: Path, **options: Any) -> Dict[str, Any]:
        """Describe the case to a worker that reads the model from a file; `options` are added to the case's."""
        return {
            "path": str(path), "engine": self.engine, "device": self.engine_device, "precision": self.precision,
            "threads": self.threads, "at_once": self.at_once, "options": {**self.options, **options},
        }  # fmt: skip

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Case:
        """Read a case as `to_request` describes it, with the model from its file. Raises an `EdgecspError`."""
        words = {key: request[key] for key in ("engine", "device", "precision", "threads", "at_once", "options")}
        return cls(importers.load(request["path"]), **words)


def resolve_model(spec: str, settings: BenchSettings) -> BenchmarkModel:
    """Resolve a user's model; a zoo model without weights gets random ones. Raises an `EdgecspError`."""
    weights, named = settings.weights, spec in zoo.names()
    if named and weights is None and store.record(spec) is None and not zoo.get(spec).bundled:
        weights = store.RANDOM
    model = store.resolve(spec, weights, hw=settings.hw)
    if not named:
        bflops, parameters = _graph_cost.count_cost(model)
        return BenchmarkModel(spec, model.name, model, "file", bflops, parameters)
    cost = zoo.get(spec).cost(model.input.hw)
    origin = "random" if weights else "pulled" if store.record(spec) else "shipped"
    return BenchmarkModel(spec, zoo.get(spec).title, model, origin, cost.bflops, cost.weights)


def find_engines(names: Optional[Sequence[str]], device: str) -> Dict[str, Optional[str]]:
    """Find engines, or all for a device; each with why it is unavailable, or None.

    Raises `EngineUnavailable` when a named engine is unavailable, or all are.
    """
    place = engine_device(device)
    every = [name for name in backends.names(with_dummies=False) if place in ("auto", *backends.info(name).devices)]
    reasons = {name: backends.unavailable_reason(name, place) for name in names or every}
    for name, why in reasons.items():
        if names and why:
            raise EngineUnavailable(f"engine {name!r} {why}")
    if all(reasons.values()):
        lines = "".join(f"\n  {name} {why}" for name, why in reasons.items())
        raise EngineUnavailable(f"no engine runs on device {device!r} here; see: edgecsp doctor{lines}")
    return reasons


def list_cases(
    subjects: Sequence[BenchmarkModel], engines: Dict[str, Optional[str]], settings: BenchSettings
) -> List[Case]:
    """List a case per model, engine and precision, in that order."""
    rows = []
    for each in subjects:
        own = precision.detect_precision(each.model)
        for name, why in engines.items():
            offered = backends.info(name).precisions_on(settings.engine_device)
            auto = backends.auto_precision(each.model, name, settings.engine_device)
            requested_names = (auto if word == "auto" else word for word in settings.precisions or ("auto",))
            for requested in dict.fromkeys(requested_names):
                reason = f"engine {name!r} {why}" if why else None
                if reason is None and requested not in offered:
                    reason = f"engine {name!r} computes in {', '.join(offered)}"
                if reason is None and own != "fp32" and requested not in (own, auto):
                    reason = f"it is a graph in {own}, and rounding cannot be undone"
                synthetic = requested == "int8" != own
                about: Dict[str, Any] = {"about": each, "reason": reason, "synthetic_ranges": synthetic}
                rows.append(Case(each.model, name, settings.device, requested, settings.thread_count, **about))
    return rows


class GraphFiles:
    """The graphs of cases as files in a folder, with a batch size, written on first use."""

    def __init__(self, folder: Path, batch: int = 1) -> None:
        self._folder, self._batch = folder, batch
        self._paths: Dict[Tuple[int, bool], Path] = {}

    def path(self, case: Case) -> Path:
        """Return the file that a case's worker opens. Raises an `EdgecspError` when it cannot be written."""
        model = case.model
        key = (id(model), case.precision == "int8")
        if key not in self._paths:
            if key[1] and precision.detect_precision(model) != "int8":
                precision.check_quantizable(model)
                ranges = precision.measure_ranges(
                    model, _batches(model), "minmax", threads=case.threads or 0, least=CALIBRATION
                )
                model = precision.with_ranges(model, ranges)
            path = self._folder / f"{len(self._paths)}.onnx"
            onnx_model.save(onnx_model.reshape(model, batch=self._batch), path)
            self._paths[key] = path
        return self._paths[key]

    def prepare(self, case: Case) -> Case:
        """Write a case's file; returns the case, with a reason if that failed."""
        try:
            if case.reason is None:
                self.path(case)
        except EdgecspError as error:
            return replace(case, reason=" ".join(str(error).split()))
        return case


def _batches(model: Model) -> Iterator[Array]:
    for image in synthetic_images(CALIBRATION):
        yield preprocess.prepare(image, model.input)[0]
