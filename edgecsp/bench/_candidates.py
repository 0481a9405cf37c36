"""The candidates of a tuning run: engines, their devices and precisions, threads, and concurrent frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import backends
from ..backends.tuning import Candidate
from ..errors import EngineUnavailable, UnknownName, UsageError
from ..graph import precision
from ..media import scheduler
from ..options.choices import REQUESTED_PRECISIONS
from ..system import cpu
from ..types import Model
from ._accuracy_gate import EngineDevice
from ._successive_halving import FAR, ContestRow


class Contender(NamedTuple):
    """A precision of an engine on one of its devices."""

    engine: str
    device: str
    precision: str


@dataclass(frozen=True)
class Tuning:
    """The candidates to try; None means everything available.

    `seconds` is the time for speed, half of it for each of the two contests; int8's ranges and AP are measured before.
    `max_ap_drop` is how much of COCO's AP (0..1) a precision other than the graph's may cost.
    """

    seconds: float = 60.0
    device: str = "auto"
    engines: Optional[Tuple[str, ...]] = None
    precisions: Optional[Tuple[str, ...]] = None
    threads: Optional[Tuple[int, ...]] = None
    max_ap_drop: float = 0.01

    def __post_init__(self) -> None:
        devices = sorted({device for name in backends.names() for device in backends.info(name).devices})
        if self.device not in ("auto", *devices):
            raise UnknownName("device", self.device, ("auto", *devices))
        for name in self.engines or ():
            if backends.info(name).is_dummy:
                raise UsageError(f"engine {name} computes nothing, by design: it would be the fastest of all")
        for name in self.precisions or ():
            if name not in REQUESTED_PRECISIONS:
                raise UnknownName("precision", name, REQUESTED_PRECISIONS)
        for count in self.threads or ():
            if count < 1:
                raise UsageError(f"--threads {count}: at least 1")
        if not 1 <= self.seconds <= 36000:
            raise UsageError(f"--seconds {self.seconds:g}: from 1 to 36000; a minute is enough for most models")
        if not 0 <= self.max_ap_drop <= 1:
            raise UsageError(f"--max-ap-drop {self.max_ap_drop:g}: AP is in 0..1, so 0.01 is one point of a hundred")


def find_engine_devices(tuning: Tuning) -> List[EngineDevice]:
    """List the requested (engine, device) pairs that are available. Raises `EngineUnavailable`."""
    names = tuning.engines or backends.names(with_dummies=False)
    available, reasons = [], []
    for name in names:
        devices = backends.info(name).devices if tuning.device == "auto" else (tuning.device,)
        why = {device: backends.unavailable_reason(name, device) for device in devices}
        available += [(name, device) for device in devices if why[device] is None]
        reasons += [f"engine {name!r} {reason}" for reason in list(dict.fromkeys(why.values()))[:1] if reason]
        if tuning.engines and not any(place[0] == name for place in available):
            raise EngineUnavailable(reasons[-1])
    if not available:
        lines = "".join(f"\n  {line}" for line in reasons)
        raise EngineUnavailable(f"no engine runs on device {tuning.device!r} here; see: edgecsp doctor{lines}")
    return available


def select_precisions(model: Model, engine: str, device: str, tuning: Tuning) -> List[str]:
    """List the requested precisions that the engine has."""
    auto = backends.auto_precision(model, engine, device)
    requested = {auto if name == "auto" else name for name in tuning.precisions or backends.PRECISIONS}
    return [name for name in backends.info(engine).precisions_on(device) if name in requested]


def needs_no_data(model: Model, engine: str, device: str, name: str) -> bool:
    """Whether a precision is tried without labelled images: the graph's own, and what "auto" takes there."""
    return name in (precision.detect_precision(model), backends.auto_precision(model, engine, device))


def list_other_precisions(
    model: Model, places: Sequence[EngineDevice], tuning: Tuning, *, judged: bool
) -> Dict[EngineDevice, List[str]]:
    """List the precisions to judge on labelled images, by engine. Raises `UsageError` for impossible ones."""
    own = precision.detect_precision(model)
    unjudged = {own, "auto", *(backends.auto_precision(model, *place) for place in places)}
    others = [name for name in tuning.precisions or () if name not in unjudged]
    if others and own != "fp32":
        raise UsageError(
            f"--precision {','.join(others)}: {model.name} is a graph in {own}, and rounding cannot be undone; "
            f"use the file that it was made from, or --precision {own}"
        )
    if others and not judged:
        raise UsageError(
            f"--precision {','.join(others)}: {model.name} is a graph in {own}, and another precision finds other "
            "boxes; give labelled images to check them on: --data FOLDER"
        )
    if own != "fp32" or not judged:
        return {}
    others_by_engine = {}
    for engine, device in places:
        names = [name for name in select_precisions(model, engine, device, tuning) if name != own]
        # An x86 CPU computes fp16 by turning it into fp32 and back, unless that is asked for by name.
        is_x86 = device == "cpu" and cpu.is_x86()
        others_by_engine[engine, device] = [name for name in names if name != "fp16" or not is_x86 or name in others]
    return others_by_engine


def build_rows(kind: str, offered: Sequence[Contender], model: Model, tuning: Tuning) -> Iterator[ContestRow]:
    """Yield the candidates of a contest, and what "auto" does untuned."""
    default = _default(kind, model, tuning.device)
    named = [
        Candidate(engine, device, name, threads, at_once)
        for engine, device, name in offered
        for threads in _thread_counts(kind, device, tuning)
        for at_once in _concurrencies(kind, engine, device, threads)
    ]
    if default is not None and default not in named:
        yield ContestRow(default, kind, default=True, is_requested=False)
    for each in named:
        yield ContestRow(each, kind, default=each == default)


def _default(kind: str, model: Model, device: str) -> Optional[Candidate]:
    try:
        fixed = backends.choose_for(model, device=device)
    except EngineUnavailable:
        return None
    threads = cpu.threads()
    beside = _concurrencies(kind, fixed.engine, fixed.device, threads)[-1]
    return Candidate(fixed.engine, fixed.device, str(fixed.precision), threads, beside)


def _thread_counts(kind: str, device: str, tuning: Tuning) -> List[int]:
    """List thread counts to try: all, and for latency a half and a quarter too, since more is not always faster."""
    most = cpu.threads()
    if tuning.threads:
        return sorted(set(tuning.threads), reverse=True)
    if kind == "throughput" or device != "cpu":
        return [most]
    return list(dict.fromkeys(max(1, most >> halved) for halved in range(3)))


def _concurrencies(kind: str, engine: str, device: str, threads: int) -> List[int]:
    """List how many concurrent frames to try: one, half as many as there are threads, as many."""
    if kind == "latency" or device not in backends.info(engine).concurrent_devices:
        return [1]
    most = scheduler.default_concurrency(threads)
    return sorted({1, max(1, most // 2), most})


def drop_slow_candidates(field: Sequence[ContestRow], before: Sequence[ContestRow]) -> None:
    """Drop from the second contest what was far behind in the first on any number of threads."""
    best: Dict[Contender, float] = {}
    for row in before:
        if row.rounds and row.is_requested:
            key = _contender(row)
            best[key] = min(row.quiet_ms, best.get(key, row.quiet_ms))
    for row in field:
        key = _contender(row)
        if before and not row.default and key not in best:
            row.dropped = "not measured: nor was it for latency"
        elif before and not row.default and best[key] > FAR * min(best.values()):
            row.dropped = f"not measured: {best[key] / min(best.values()):.1f} times as slow as the best for latency"


def _contender(row: ContestRow) -> Contender:
    return Contender(row.candidate.engine, row.candidate.device, row.candidate.precision)
