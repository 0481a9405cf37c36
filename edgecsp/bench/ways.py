"""Which rows there are: models times engines times precisions, and why some of them cannot be measured here."""

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
from . import _counted, verify
from .settings import JETSON, BenchSettings

CALIBRATION = 8  # drawn pictures: an int8 graph is as fast with one range as with another


@dataclass(frozen=True)
class BenchmarkModel:
    """A model to measure, as the user named it, what it costs at its size, and where its weights are from."""

    name: str
    title: str
    model: Model
    weights: str
    bflops: float
    parameters: int


@dataclass(frozen=True)
class BenchmarkCase:
    """One row: a model on an engine in a precision, or the `reason` that it is not measured.

    `drawn_ranges`: its int8 graph is made here from drawn pictures, and is for its speed alone.
    """

    subject: BenchmarkModel
    engine: str
    device: str
    precision: str
    reason: Optional[str] = None
    drawn_ranges: bool = False

    def __str__(self) -> str:
        return f"{self.subject.name} on {self.engine} in {self.precision}"


def subject(spec: str, settings: BenchSettings) -> BenchmarkModel:
    """What a user means by a model; a zoo's without weights here gets random ones. Raises an `EdgecspError`."""
    weights, named = settings.weights, spec in zoo.names()
    if named and weights is None and store.record(spec) is None and not zoo.get(spec).shipped:
        weights = store.RANDOM
    model = store.resolve(spec, weights, hw=settings.hw)
    if not named:
        bflops, parameters = _counted.counted(model)
        return BenchmarkModel(spec, model.name, model, "file", bflops, parameters)
    cost = zoo.get(spec).cost(model.input.hw)
    origin = "random" if weights else "pulled" if store.record(spec) else "shipped"
    return BenchmarkModel(spec, zoo.get(spec).title, model, origin, cost.bflops, cost.weights)


def able(settings: BenchSettings) -> Dict[str, Optional[str]]:
    """The engines that were asked for, or all that know the device, and what keeps each from running, in order.

    Raises `EngineUnavailable` when one that was named does not run, or none does.
    """
    names = settings.engines or [
        name for name in backends.names() if backends.is_real(name) and settings.on in backends.module(name).DEVICES
    ]
    found = {name: backends.why_not(name, settings.on) for name in names}
    for name, why in found.items():
        if settings.engines and why:
            raise EngineUnavailable(f"engine {name!r} {why}")
    if all(found.values()):
        told = "".join(f"\n  {name} {why}" for name, why in found.items())
        raise EngineUnavailable(f"no engine runs on device {settings.device!r} here; see: edgecsp doctor{told}")
    return found


def ways(
    subjects: Sequence[BenchmarkModel], engines: Dict[str, Optional[str]], settings: BenchSettings
) -> List[BenchmarkCase]:
    """A row a model, engine and precision, in that order."""
    device = JETSON if settings.device == JETSON else settings.on
    rows = []
    for each in subjects:
        own = precision.detect_precision(each.model)
        for name, why in engines.items():
            offered = backends.module(name).PRECISIONS
            for wanted in settings.precisions or (own,):
                reason = f"engine {name!r} {why}" if why else None
                if reason is None and wanted not in offered:
                    reason = f"engine {name!r} computes in {', '.join(offered)}"
                if reason is None and own != "fp32" and wanted != own:
                    reason = f"it is a graph in {own}, and what was rounded away is not in it"
                rows.append(BenchmarkCase(each, name, device, wanted, reason, wanted == "int8" != own))
    return rows


class Files:
    """The graphs of the rows as files in a folder, each made when it is first asked for."""

    def __init__(self, folder: Path, settings: BenchSettings) -> None:
        self._folder, self._settings = folder, settings
        self._made: Dict[Tuple[str, bool], Path] = {}

    def path(self, way: BenchmarkCase) -> Path:
        """The file that a way's worker opens. Raises an `EdgecspError` when it cannot be made."""
        key = (way.subject.name, way.precision == "int8")
        if key not in self._made:
            model = way.subject.model
            if key[1] and precision.detect_precision(model) != "int8":
                precision.quantizable(model)
                ranges = precision.measure_ranges(
                    model, _batches(model), "minmax", threads=self._settings.using, least=CALIBRATION
                )
                model = precision.with_ranges(model, ranges)
            path = self._folder / f"{len(self._made)}.onnx"
            onnx_model.save(onnx_model.reshape(model, batch=self._settings.pictures), path)
            self._made[key] = path
        return self._made[key]

    def prepared(self, way: BenchmarkCase) -> BenchmarkCase:
        """The same after its file was made, or with the reason that it could not be."""
        try:
            if way.reason is None:
                self.path(way)
        except EdgecspError as error:
            return replace(way, reason=" ".join(str(error).split()))
        return way


def _batches(model: Model) -> Iterator[Array]:
    for picture in verify.drawn(CALIBRATION):
        yield preprocess.prepare(picture, model.input)[0]
