"""The files of tuning results. `folder()` has, for each tuned model,

DIGEST.json        the machine, the versions, all figures, and two choices: for latency and for throughput
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
from ...errors import OutputError, UnknownName
from ...graph import onnx_model
from ...system import cpu
from ...system import versions as installed
from ...types import Model
from ...zoo import store
from .. import registry

SCHEMA = "edgecsp-tuned/1"
KINDS = ("latency", "throughput")
ROOT = Path("/")
_FACTS = {"name": "the CPU", "isa": "what it can", "logical": "CPUs", "allowed": "CPUs for this process"}
_PACKAGES = {"cv2": "opencv"}  # what `installed` calls a module, where that is another name


@dataclass(frozen=True)
class Candidate:
    """A way to run a model: `threads` in total, divided among `at_once` concurrent images."""

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
    """A file of `folder()`: its content ({} if it is damaged), and why it is stale, if it is."""

    path: Path
    content: Dict[str, Any]
    stale_reason: Optional[str]


class StaleTuning(Exception):
    """A stored tuning cannot be used; the message says why and what to type."""


def folder() -> Path:
    """Return the folder of tunings: $EDGECSP_HOME/tuned, else in the platform's folder for user data."""
    return store.home() / "tuned"


def path(model: Model) -> Path:
    """Return the path of a model's tuning, whether it exists or not."""
    return folder() / f"{hashlib.sha256(model.onnx).hexdigest()[:40]}.json"


def save(
    model: Model, spec: str, choices: Mapping[str, Candidate], report: Mapping[str, Any], int8: Optional[Model] = None
) -> Path:
    """Save the tuning of a model that the user calls `spec`, and the int8 graph if a choice needs it.

    `choices` are by `KINDS`; `report` is for people, as JSON. Returns the file. Raises `OutputError`.
    """
    place = path(model)
    needed = int8 if any(each.precision == "int8" for each in choices.values()) else None
    content = {
        "schema": SCHEMA,
        "spec": spec,
        "model": model.name,
        "input_hw": list(model.input.hw),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "edgecsp": installed.own(),
        "versions": versions([each.engine for each in choices.values()]),
        "machine": describe_machine(),
        "choices": {kind: asdict(each) for kind, each in choices.items()},
        "int8_sha256": hashlib.sha256(needed.onnx).hexdigest() if needed else None,
        "report": dict(report),
    }
    # The graph first: a concurrent reader sees a digest that does not match, and uses the fixed order.
    if needed:
        with files.atomic(_int8(place)) as file:
            file.write(needed.onnx)
    with files.atomic(place) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")
    if not needed:
        _remove(_int8(place))
    return place


def read(place: Path) -> Dict[str, Any]:
    """Read a file. Raises `StaleTuning` for one that is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content: Dict[str, Any] = json.loads(place.read_text("utf-8"))
        words = all(isinstance(content[key], str) for key in ("date", "spec", "edgecsp", "model"))
        maps = all(isinstance(content[key], dict) for key in ("versions", "machine", "choices"))
        if content["schema"] == SCHEMA and words and maps and content["choices"].keys() == set(KINDS):
            return content
    raise StaleTuning(f"the stored tuning is damaged and not used: {place}; type: edgecsp tune MODEL")


def select_choice(content: Mapping[str, Any], kind: str) -> Candidate:
    """Return the choice of a kind, if machine and engine are still the same. Raises `StaleTuning`."""
    one = _candidate(content["choices"][kind])
    if one is None:
        raise StaleTuning(_stale_message(content, f"its choice for {kind} is not supported by this version"))
    for key, here in describe_machine().items():
        before = content["machine"].get(key)
        if before != here:
            was = f"{_FACTS.get(key, key)} was {_shorten(before)} then"
            raise StaleTuning(_stale_message(content, f"{was} and is {_shorten(here)} now"))
    then = {**content["versions"], "edgecsp": content["edgecsp"]}
    for name, version in {"edgecsp": installed.own(), **versions([one.engine])}.items():
        if then.get(name) != version:
            raise StaleTuning(
                _stale_message(content, f"{name} was {then.get(name)} then and is {version or 'gone'} now")
            )
    why = backends.unavailable_reason(one.engine, one.device)
    if why:
        raise StaleTuning(_stale_message(content, f"engine {one.engine} {why}"))
    return one


def _candidate(fields: Any) -> Optional[Candidate]:
    """Build a candidate from its JSON, None when it is invalid."""
    try:
        one = Candidate(**fields)
    except TypeError:
        return None
    typed = [type(value) for value in astuple(one)] == [str, str, str, int, int]
    if not typed or not 1 <= one.at_once <= one.threads:
        return None
    try:
        info = backends.info(one.engine)
    except UnknownName:
        return None
    return (
        one
        if not info.is_dummy and one.device in info.devices and one.precision in info.precisions_on(one.device)
        else None
    )


def graph(model: Model, place: Path, content: Mapping[str, Any], one: Candidate) -> Model:
    """Return the graph of a choice: the model's own, or the stored int8 one. Raises `StaleTuning`."""
    if one.precision != "int8" or not content.get("int8_sha256"):
        return model
    data = b""
    with suppress(OSError):
        data = _int8(place).read_bytes()
    if hashlib.sha256(data).hexdigest() != content["int8_sha256"]:
        raise StaleTuning(_stale_message(content, f"its int8 graph is missing or damaged, {_int8(place)}"))
    return replace(model, onnx=onnx_model.check(data, str(_int8(place))))


def list_tunings() -> List[CachedTuning]:
    """List all stored tunings, the newest last."""
    return sorted(map(_inspect, folder().glob("*.json")), key=lambda tuning: str(tuning.content.get("date", "")))


def _inspect(place: Path) -> CachedTuning:
    content: Dict[str, Any] = {}
    try:
        content = read(place)
        for kind in KINDS:
            select_choice(content, kind)
    except StaleTuning as unfit:
        return CachedTuning(place, content, str(unfit))
    return CachedTuning(place, content, None)


def forget(spec: str, model: Optional[Model] = None) -> List[Path]:
    """Remove the tunings of a model, at every size, by its name and by its file; returns the removed files.

    Raises `OutputError`.
    """
    gone = [tuning.path for tuning in list_tunings() if tuning.content.get("spec") == spec]
    if model is not None and path(model) not in gone and path(model).exists():
        gone.append(path(model))
    for place in gone:
        _remove(place)
        _remove(_int8(place))
    return gone


def describe_machine() -> Dict[str, Any]:
    """Describe the machine: the CPU with its limits, and NVIDIA's GPUs, as plain values."""
    return {**dict(cpu.describe()), "gpus": list(_gpus())}


def versions(engines: Sequence[str]) -> Dict[str, Optional[str]]:
    """Return the versions of the packages that some engines use or come from; None for one that is not installed."""
    here = installed.versions()
    needed = {_PACKAGES.get(name, name) for engine in engines for name in backends.info(engine).requires}
    added_by = dict(filter(None, (registry.distribution(engine) for engine in engines)))
    return {**{name: here[name] for name in sorted(needed) if name in here}, **added_by}


def command(content: Mapping[str, Any]) -> str:
    """Return the command to tune it again."""
    return f"edgecsp tune {shlex.quote(content['spec'])}"


def _gpus(root: Path = ROOT) -> Iterator[str]:
    """Yield the names of NVIDIA's GPUs; a Jetson's is known by the board's name."""
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


def _stale_message(content: Mapping[str, Any], why: str) -> str:
    return f"the tuning of {content['date'][:10]} is not used: {why}; type: {command(content)}"


def _shorten(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 48 else text[:45] + "..."
