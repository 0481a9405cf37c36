"""The engines: choose one, check that it runs here, open a model on it.

    session = backends.open(model, "openvino", threads=4)
    heads = session.run(batch)

`base` is the contract of an engine, `registry` finds them by name; adding one is adding its file to this folder, or
an entry point to another package. What all engines need (packages, devices, precisions, the choice of "auto") is here.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import BuildFailed, EngineUnavailable, UnknownName, UsageError
from ..options.choices import PRECISIONS, REQUESTED_PRECISIONS
from ..processing import preprocess
from ..system import cpu, install
from ..types import Model
from . import registry
from ._two_stage import open_stages
from .base import EngineInfo, Session, SessionOptions
from .registry import REFERENCE

__all__ = [
    "PRECISIONS", "REFERENCE", "AutoChoice", "EngineInfo", "ModelChoice", "Session", "SessionOptions", "auto_precision",
    "choose", "choose_for", "engines", "explain_precision", "info", "install_command", "list_faster",
    "missing_packages", "names", "native_precision", "open", "open_stages", "require", "unavailable_reason",
]  # fmt: skip


WORTHWHILE = 1.05  # times as fast: less is no reason to install something


class AutoChoice(NamedTuple):
    """An engine, one of its devices, and the reason of the choice."""

    engine: str
    device: str
    why: str


class ModelChoice(NamedTuple):
    """An engine, one of its devices, and the reason of the choice; the precision to compute in, None for the graph's.

    `is_rounded`: "auto" took a precision below the graph's.
    """

    engine: str
    device: str
    why: str
    precision: Optional[str]
    is_rounded: bool = False


def names(*, with_dummies: bool = True) -> Tuple[str, ...]:
    """List every engine that edgecsp or an installed package has a backend for, whether it runs here or not."""
    return tuple(name for name in registry.names() if with_dummies or not info(name).is_dummy)


def engines() -> List[str]:
    """List the engines that run here, as `edgecsp.load` takes them. Imports their packages."""
    return [name for name in names(with_dummies=False) if unavailable_reason(name) is None]


def info(engine: str) -> EngineInfo:
    """Describe an engine. Raises `UnknownName`."""
    return registry.find(engine).info


def missing_packages(engine: str) -> List[str]:
    """List packages that the engine needs and that are not installed."""
    return [name for name in info(engine).requires if importlib.util.find_spec(name) is None]


def install_command(engine: str) -> str:
    """Return what to type to install what an engine needs."""
    package, extra = registry.distribution(engine), info(engine).extra
    if package is None:
        return install.command(extra)
    return f"pip install '{package.name}[{extra}]'" if extra else f"pip install '{package.name}'"


def unavailable_reason(engine: str, device: str = "auto") -> Optional[str]:
    """Say why an engine cannot run on a device and what to type, or None if it can. Imports its packages."""
    session, facts, install = registry.find(engine), info(engine), install_command(engine)
    lacking = missing_packages(engine)
    if lacking:
        return f"needs {', '.join(lacking)}, not installed here; type: {install}"
    if device not in ("auto", *facts.devices):
        return f"runs on {', '.join(facts.devices)}; device {device!r} was requested"
    for name in facts.requires:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:  # a system library that is not there, a wheel for another machine
            message = " ".join(str(error).split())
            return (
                f"needs {name}, which is installed and cannot be loaded ({message}); type: {install} --force-reinstall"
            )
    return session.unavailable_reason(_resolve_device(facts, device))


def require(engine: str, device: str = "auto") -> None:
    """Raise `EngineUnavailable` unless the engine runs on the device."""
    why = unavailable_reason(engine, device)
    if why:
        raise EngineUnavailable(f"engine {engine!r} {why}", docs=_docs_of(device, info(engine).devices))


def choose(engine: str = "auto", device: str = "auto", precision: Optional[str] = None) -> AutoChoice:
    """Resolve "auto" for an engine, a device or both; any other name stays as it is, an alias becomes the name.

    Engines of other packages come after all built-in ones. Raises `UnknownName`, or `EngineUnavailable` when nothing
    installed runs on the device.
    """
    if precision not in (None, *PRECISIONS):
        raise UnknownName("precision", str(precision), PRECISIONS)
    if engine != "auto":
        return AutoChoice(info(engine).name, _resolve_device(info(engine), device), "requested")
    passed: List[Tuple[EngineInfo, str]] = []
    for list_names in (registry.built_in, registry.external):  # the second reads files: only where the first is no use
        for each in _by_rank(list_names()):
            if precision not in (None, *each.precisions_on(device)) or (each.auto_x86_only and not cpu.is_x86()):
                continue
            lacks = unavailable_reason(each.name, device)
            if lacks is None:
                chosen = _resolve_device(each, device)
                better = [f"{other.name} {reason}" for other, reason in passed if chosen in other.devices]
                return AutoChoice(each.name, chosen, "; ".join((each.auto_reason or "it runs here", *better)))
            passed.append((each, lacks))
    near = [f"\n  {other.name} {reason}" for other, reason in passed if device in other.devices]
    target = f"device {device!r}" + (f" in {precision}" if precision else "")
    message = f"no installed engine runs on {target}; see: edgecsp doctor"
    raise EngineUnavailable(message + "".join(near), docs=_docs_of(device))


def _docs_of(device: str, devices: Sequence[str] = ()) -> str:
    is_cuda = device in ("cuda", "tensorrt") or tuple(devices) == ("cuda",)
    return "cuda-not-seen" if is_cuda else "engine-not-available"


def choose_for(
    model: Model, engine: str = "auto", device: str = "auto", precision: Optional[str] = "auto"
) -> ModelChoice:
    """Resolve "auto" for an engine, a device and a precision, for a model. Raises what `choose` raises."""
    from ..graph.precision import detect_precision

    if precision not in (None, *REQUESTED_PRECISIONS):
        raise UnknownName("precision", str(precision), REQUESTED_PRECISIONS)
    if precision != "auto":
        return ModelChoice(*choose(engine, device, precision), precision)
    own = detect_precision(model)
    chosen = choose(engine, device, own if own == "int8" else None)
    taken = auto_precision(model, chosen.engine, chosen.device)
    if taken in (own, "fp32"):
        return ModelChoice(*chosen, taken)
    why = f"{chosen.why}; {explain_precision(taken)}"
    return ModelChoice(chosen.engine, chosen.device, why, taken, is_rounded=True)


def auto_precision(model: Model, engine: str, device: str) -> str:
    """Return the precision that "auto" means for a graph on a device of an engine.

    An fp32 graph, and one in fp16 that the engine cannot compute so, is computed in `native_precision`, else in fp32;
    others stay what they are.
    """
    from ..graph.precision import detect_precision

    own = detect_precision(model)
    if own == "int8" or (own == "fp16" and own in info(engine).precisions_on(device)):
        return own
    return native_precision(engine, device) or "fp32"


def explain_precision(native: Optional[str]) -> str:
    """Say why precision "auto" is this `native_precision` for an fp32 graph."""
    if native is None:
        return "it computes no lower precision natively here"
    return f"it computes {native} natively here (--precision fp32 is exact)"


def list_faster(than: str) -> Dict[str, float]:
    """List engines that are not installed and were measured to be faster on CPUs like this one, with how many times."""
    speeds = {name: registry.find(name).measured_speed() or 0.0 for name in names(with_dummies=False)}
    base = 1.0 if than == REFERENCE else speeds[than]
    return {name: s / base for name, s in speeds.items() if base and s > WORTHWHILE * base and missing_packages(name)}


def native_precision(engine: str, device: str = "auto") -> Optional[str]:
    """Return the precision below fp32 that an engine computes natively here; None for none, or where it cannot run."""
    if unavailable_reason(engine, device):
        return None
    return registry.find(engine).auto_precision(_resolve_device(info(engine), device))


def _by_rank(engines: Tuple[str, ...]) -> List[EngineInfo]:
    """List the engines that "auto" may take, the first choice first."""
    ranked = [(each.auto_rank, each.name, each) for each in map(info, engines) if each.auto_rank is not None]
    return [each for *_, each in sorted(ranked, key=lambda entry: entry[:2])]


def _resolve_device(facts: EngineInfo, device: str) -> str:
    return facts.devices[0] if device == "auto" else device


def open(
    model: Model,
    engine: str = "auto",
    *,
    device: str = "auto",
    threads: Optional[int] = None,
    precision: Optional[str] = None,
    concurrency: int = 1,
    accepts_uint8: bool = False,
) -> Session:
    """Open a session of `model` on an engine, of both its stages where it has two.

    `device`: "auto" for the engine's own; `threads`: None for one a core (see `cpu.threads`); `precision`: "fp32",
    "fp16", "bf16", "int8", or None for what the graph is. With `concurrency` above 1 the engine, if it can, computes so
    many images side by side, with fewer threads each: more of them a second, each one later. `accepts_uint8`: the
    session will be given an image's bytes, if its engine can scale them itself (`Session.accepts_uint8` says so).
    Raises `UnknownName`, `UsageError`, `EngineUnavailable` (package, device or precision missing) or `BuildFailed`.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: at least 1")
    engine, device, _ = choose(engine, device, precision)
    require(engine, device)
    threads, is_concurrent = threads or cpu.threads(), device in info(engine).concurrent_devices
    options = SessionOptions(
        device, threads, concurrency=min(concurrency, threads) if is_concurrent else 1,
        accepts_uint8=accepts_uint8 and info(engine).accepts_uint8
        and all(preprocess.has_pixels(stage.input) for stage in filter(None, (model, model.second))),
    )  # fmt: skip
    return open_stages(model, lambda stage: _open_stage(stage, engine, precision, options))


def _open_stage(model: Model, engine: str, precision: Optional[str], options: SessionOptions) -> Session:
    """Open one graph on an engine that runs here; `precision` as it was requested."""
    precision = _precision(model, info(engine), options.device, precision)
    model = _convert_precision(model, precision)
    try:
        return registry.find(engine)(model, replace(options, precision=precision))
    except BuildFailed as error:
        if engine == REFERENCE:
            raise
        raise BuildFailed(f"{error}; another engine may take it: --engine {REFERENCE}") from error


def _convert_precision(model: Model, precision: str) -> Model:
    """Convert an fp16 graph to fp32 if that or bf16 was requested; return any other as it is."""
    from ..graph import precision as precisions

    widens = precision in ("fp32", "bf16") and precisions.detect_precision(model) == "fp16"
    return precisions.to_fp32(model) if widens else model


def _precision(model: Model, facts: EngineInfo, device: str, requested: Optional[str]) -> str:
    """Resolve the precision to compute in; raises when the engine or the graph does not support it."""
    from ..graph import precision

    current = precision.detect_precision(model)
    target = requested or current
    offered = facts.precisions_on(device)
    if target not in offered:
        able = [name for name in names(with_dummies=False) if target in info(name).precisions]
        raise EngineUnavailable(
            f"engine {facts.name!r} computes in {', '.join(offered)}; {model.name} "
            f"{'is' if target == current else 'was requested in'} {target}; type: --engine {' or '.join(able)}"
        )
    # Whoever computes in fp16 or bf16 rounds the weights itself; for fp32 see `_convert_precision`.
    if "int8" not in (target, current) or target == current:
        return target
    if target == "int8":
        raise UsageError(
            f"precision int8 was requested and {model.name} is a graph in {current}; quantize it first: "
            "edgecsp quantize MODEL --calib FOLDER"
        )
    raise UsageError(
        f"precision {target} was requested and {model.name} is a graph in {current}: rounding cannot be undone; "
        f"use the file that it was made from, or --precision {current}"
    )
