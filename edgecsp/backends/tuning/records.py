"""The files of tunings. Under `folder()` lie, for each model that was tuned,

DIGEST.json        the machine, the versions, all figures, and two choices: least delay, most frames a second
DIGEST-int8.onnx   its int8 graph, if one of them computes in int8

DIGEST is of the model's ONNX file at its input size. A choice fits as long as the CPU, what of it may be used, the
GPUs, edgecsp and the engine's own packages are what they were.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from ... import backends
from ...cache import files
from ...errors import OutputError
from ...graph import onnx_model
from ...system import cpu
from ...system import versions as installed
from ...types import Model
from ...zoo import store

SCHEMA = "edgecsp-tuned/1"
KINDS = ("latency", "throughput")
ROOT = Path("/")
_FACTS = {"name": "the CPU", "isa": "what it can", "logical": "CPUs", "allowed": "CPUs for this process"}
_PACKAGES = {"cv2": "opencv"}  # what `installed` calls a module, where that is another name


@dataclass(frozen=True)
class Candidate:
    """A way of running a model: `threads` in all, shared out among `at_once` pictures side by side."""

    engine: str
    device: str
    precision: str
    threads: int
    at_once: int = 1

    def __str__(self) -> str:
        share = self.threads // self.at_once
        each = f"{share} thread{'s' * (share > 1)}"
        beside = f" a frame, {self.at_once} at once" if self.at_once > 1 else ""
        return f"{self.engine} on {self.device} in {self.precision}, {each}{beside}"


class CachedTuning(NamedTuple):
    """A file of `folder()`: what it says ({} if it is damaged), and what keeps it from being used here, if anything."""

    path: Path
    said: Dict[str, Any]
    unfit: Optional[str]


class StaleTuning(Exception):
    """What is kept cannot be used; the text says why and what to type."""


def folder() -> Path:
    """Where it is kept: $EDGECSP_HOME/tuned, else in the platform's place for a user's data."""
    return store.home() / "tuned"


def path(model: Model) -> Path:
    """Where what is known of a model is kept, or would be."""
    return folder() / f"{hashlib.sha256(model.onnx).hexdigest()[:40]}.json"


def save(
    model: Model, spec: str, choices: Mapping[str, Candidate], report: Mapping[str, Any], int8: Optional[Model] = None
) -> Path:
    """Keep what was found for a model that the user calls `spec`, and the int8 graph if a choice needs it.

    `choices` are by `KINDS`; `report` is what there is to read of it, as JSON. Returns the file. Raises `OutputError`.
    """
    place = path(model)
    needed = int8 if any(each.precision == "int8" for each in choices.values()) else None
    said = {
        "schema": SCHEMA,
        "spec": spec,
        "model": model.name,
        "input_hw": list(model.input.hw),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "edgecsp": installed.own(),
        "versions": versions([each.engine for each in choices.values()]),
        "machine": machine(),
        "choices": {kind: asdict(each) for kind, each in choices.items()},
        "int8_sha256": hashlib.sha256(needed.onnx).hexdigest() if needed else None,
        "report": dict(report),
    }
    # The graph first: whoever reads in between sees a digest that does not fit, and takes the fixed order.
    if needed:
        with files.atomic(_int8(place)) as file:
            file.write(needed.onnx)
    with files.atomic(place) as file:
        file.write(json.dumps(said, indent=2, allow_nan=False).encode() + b"\n")
    if not needed:
        _remove(_int8(place))
    return place


def read(place: Path) -> Dict[str, Any]:
    """What a file says. Raises `StaleTuning` for one that is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        said: Dict[str, Any] = json.loads(place.read_text("utf-8"))
        words = all(isinstance(said[key], str) for key in ("date", "spec", "edgecsp", "model"))
        maps = all(isinstance(said[key], dict) for key in ("versions", "machine", "choices"))
        if said["schema"] == SCHEMA and words and maps and said["choices"].keys() == set(KINDS):
            return said
    raise StaleTuning(f"what was tuned is damaged and not used: {place}; again: edgecsp tune MODEL")


def fitting(said: Mapping[str, Any], kind: str) -> Candidate:
    """The choice of a kind, if this is still the machine and the engine that it was made for. Raises `StaleTuning`."""
    one = _candidate(said["choices"][kind])
    if one is None:
        raise StaleTuning(_unused(said, f"its choice for {kind} is none of this edgecsp's"))
    for key, here in machine().items():
        before = said["machine"].get(key)
        if before != here:
            was = f"{_FACTS.get(key, key)} was {_short(before)} then"
            raise StaleTuning(_unused(said, f"{was} and is {_short(here)} now"))
    then = {**said["versions"], "edgecsp": said["edgecsp"]}
    for name, version in {"edgecsp": installed.own(), **versions([one.engine])}.items():
        if then.get(name) != version:
            raise StaleTuning(_unused(said, f"{name} was {then.get(name)} then and is {version or 'gone'} now"))
    why = backends.why_not(one.engine, one.device)
    if why:
        raise StaleTuning(_unused(said, f"engine {one.engine} {why}"))
    return one


def _candidate(said: Any) -> Optional[Candidate]:
    """A candidate from its JSON, None when it is not one that can be opened."""
    try:
        one = Candidate(**said)
    except TypeError:
        return None
    typed = [type(value) for value in astuple(one)] == [str, str, str, int, int]
    if not typed or not 1 <= one.at_once <= one.threads:
        return None
    if one.engine not in backends.names() or not backends.is_real(one.engine):
        return None
    backend = backends.module(one.engine)
    return one if one.device in backend.DEVICES and one.precision in backend.PRECISIONS else None


def graph(model: Model, place: Path, said: Mapping[str, Any], one: Candidate) -> Model:
    """The graph that a choice computes: the model's own, or the int8 one beside the file. Raises `StaleTuning`."""
    if one.precision != "int8" or not said.get("int8_sha256"):
        return model
    data = b""
    with suppress(OSError):
        data = _int8(place).read_bytes()
    if hashlib.sha256(data).hexdigest() != said["int8_sha256"]:
        raise StaleTuning(_unused(said, f"its int8 graph is missing or damaged, {_int8(place)}"))
    return replace(model, onnx=onnx_model.check(data, str(_int8(place))))


def known() -> List[CachedTuning]:
    """All that is kept, the newest last."""
    return sorted(map(_looked_at, folder().glob("*.json")), key=lambda kept: str(kept.said.get("date", "")))


def _looked_at(place: Path) -> CachedTuning:
    said: Dict[str, Any] = {}
    try:
        said = read(place)
        for kind in KINDS:
            fitting(said, kind)
    except StaleTuning as unfit:
        return CachedTuning(place, said, str(unfit))
    return CachedTuning(place, said, None)


def forget(spec: str, model: Optional[Model] = None) -> List[Path]:
    """Remove what is kept for a model, at every size, by the user's name for it and by its file; what was removed.

    Raises `OutputError`.
    """
    gone = [kept.path for kept in known() if kept.said.get("spec") == spec]
    if model is not None and path(model) not in gone and path(model).exists():
        gone.append(path(model))
    for place in gone:
        _remove(place)
        _remove(_int8(place))
    return gone


def machine() -> Dict[str, Any]:
    """What figures hold for: the CPU and what of it may be used, and NVIDIA's GPUs, as JSON has them."""
    return {**dict(cpu.described()), "gpus": list(_gpus())}


def versions(engines: Sequence[str]) -> Dict[str, Optional[str]]:
    """The versions of the packages that some engines compute with; None for one that is not here."""
    here = installed.versions()
    needed = {_PACKAGES.get(name, name) for engine in engines for name in backends.module(engine).REQUIRES}
    return {name: here[name] for name in sorted(needed) if name in here}


def command(said: Mapping[str, Any]) -> str:
    """What to type to tune it again."""
    return f"edgecsp tune {shlex.quote(said['spec'])}"


def _gpus(root: Path = ROOT) -> Iterator[str]:
    """What NVIDIA's driver calls its GPUs; a Jetson's is told by the board's name."""
    for place in sorted((root / "proc" / "driver" / "nvidia" / "gpus").glob("*/information")):
        lines: List[str] = []
        with suppress(OSError):
            lines = place.read_text("utf-8", errors="replace").splitlines()
        yield from (line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))


def _int8(place: Path) -> Path:
    return place.with_name(f"{place.stem}-int8.onnx")


def _remove(place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove {place}: {error.strerror}") from error


def _unused(said: Mapping[str, Any], why: str) -> str:
    return f"what was tuned on {said['date'][:10]} is not used: {why}; again: {command(said)}"


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 48 else text[:45] + "..."
