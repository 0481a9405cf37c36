"""The rows of a run: models x engines x precisions, and why some of them cannot be measured here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .. import backends, zoo
from ..errors import EdgecspError, EngineUnavailable
from ..graph import onnx_model, precision
from ..processing import preprocess
from ..types import Array, Model
from ..zoo import store
from . import _graph_cost, verify
from .settings import JETSON, BenchSettings

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


@dataclass(frozen=True)
class BenchmarkCase:
    """One row: a model on an engine in a precision, or the `reason` that it is not measured.

    `synthetic_ranges`: its int8 graph is calibrated on synthetic images and is for speed only.
    """

    subject: BenchmarkModel
    engine: str
    device: str
    precision: str
    reason: Optional[str] = None
    synthetic_ranges: bool = False

    def __str__(self) -> str:
        return f"{self.subject.name} on {self.engine} in {self.precision}"


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


def find_engines(settings: BenchSettings) -> Dict[str, Optional[str]]:
    """Find the requested engines, or all for the device; each with why it is unavailable, or None.

    Raises `EngineUnavailable` when a named engine is unavailable, or all are.
    """
    names = settings.engines or [
        name
        for name in backends.names()
        if not backends.info(name).is_dummy and settings.engine_device in backends.info(name).devices
    ]
    reasons = {name: backends.unavailable_reason(name, settings.engine_device) for name in names}
    for name, why in reasons.items():
        if settings.engines and why:
            raise EngineUnavailable(f"engine {name!r} {why}")
    if all(reasons.values()):
        lines = "".join(f"\n  {name} {why}" for name, why in reasons.items())
        raise EngineUnavailable(f"no engine runs on device {settings.device!r} here; see: edgecsp doctor{lines}")
    return reasons


def list_cases(
    subjects: Sequence[BenchmarkModel], engines: Dict[str, Optional[str]], settings: BenchSettings
) -> List[BenchmarkCase]:
    """List a case per model, engine and precision, in that order."""
    device = JETSON if settings.device == JETSON else settings.engine_device
    rows = []
    for each in subjects:
        own = precision.detect_precision(each.model)
        for name, why in engines.items():
            offered = backends.info(name).precisions
            for requested in settings.precisions or (own,):
                reason = f"engine {name!r} {why}" if why else None
                if reason is None and requested not in offered:
                    reason = f"engine {name!r} computes in {', '.join(offered)}"
                if reason is None and own != "fp32" and requested != own:
                    reason = f"it is a graph in {own}, and rounding cannot be undone"
                rows.append(BenchmarkCase(each, name, device, requested, reason, requested == "int8" != own))
    return rows


class GraphFiles:
    """The graphs of the rows as files in a folder, written on first use."""

    def __init__(self, folder: Path, settings: BenchSettings) -> None:
        self._folder, self._settings = folder, settings
        self._paths: Dict[Tuple[str, bool], Path] = {}

    def path(self, case: BenchmarkCase) -> Path:
        """Return the file that a case's worker opens. Raises an `EdgecspError` when it cannot be written."""
        key = (case.subject.name, case.precision == "int8")
        if key not in self._paths:
            model = case.subject.model
            if key[1] and precision.detect_precision(model) != "int8":
                precision.check_quantizable(model)
                ranges = precision.measure_ranges(
                    model, _batches(model), "minmax", threads=self._settings.thread_count, least=CALIBRATION
                )
                model = precision.with_ranges(model, ranges)
            path = self._folder / f"{len(self._paths)}.onnx"
            onnx_model.save(onnx_model.reshape(model, batch=self._settings.batch_size), path)
            self._paths[key] = path
        return self._paths[key]

    def prepare(self, case: BenchmarkCase) -> BenchmarkCase:
        """Write a case's file; returns the case, with a reason if that failed."""
        try:
            if case.reason is None:
                self.path(case)
        except EdgecspError as error:
            return replace(case, reason=" ".join(str(error).split()))
        return case


def _batches(model: Model) -> Iterator[Array]:
    for image in verify.synthetic_images(CALIBRATION):
        yield preprocess.prepare(image, model.input)[0]
