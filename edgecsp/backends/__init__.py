"""The engines, one file each; `open` does the checks that all of them need.

A backend module has a docstring whose first line is shown to users, `REQUIRES` (import names), `EXTRA` (the
pip extra that brings them, "" for the base), `DEVICES` (its own first), `PRECISIONS`, and a class `Session(model,
device, threads, precision)` with `run` and `close`. It may have `usable(device)`: None, or what keeps it from running
there and how to mend that, worded to stand behind the engine's name; `REAL = False` when its heads are not the
model's; and `SHARED`, devices on which several threads may be in `run` at once: there `Session` takes a fifth word
`at_once`, shares its threads out among so many images and keeps the number as `at_once`. With `PIXELS = True`,
`Session` takes the keyword `pixels`: its `run` then takes (N, h, w, 3) uint8 of `preprocess.pixels`, too, and says so
as `pixels`. Its heavy imports are inside. Adding an engine is adding its file.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType
from typing import Any, List, NamedTuple, Optional, Protocol, Tuple

from ..errors import BuildFailed, EngineUnavailable, UnknownName, UsageError
from ..processing import preprocess
from ..system import cpu
from ..types import Array, Model

PRECISIONS = ("fp32", "fp16", "int8")
# What "auto" tries, in this order, and why it is the choice.
_AUTO = {
    "trt": "the first choice on a CUDA device",
    "openvino": "the first choice on an x86 CPU",
    "ort": "the one that runs everywhere",
    "opencv": "the one that is always there",
}


class Session(Protocol):
    """A model opened on an engine. For so many threads at once as `at_once` says of it, which is one for most."""

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head, in the model's order; the arrays are the caller's to keep."""
        ...

    def close(self) -> None:
        """Give everything back; `run` after it is an error."""
        ...


class AutoChoice(NamedTuple):
    """An engine, one of its devices, and the reason of the choice."""

    engine: str
    device: str
    why: str


_NO_ENGINES = ("recipes",)  # modules of this folder that are not engines


def names() -> Tuple[str, ...]:
    """List every engine that edgecsp has a backend for, installed or not."""
    files = (module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return tuple(sorted(name for name in files if not name.startswith("_") and name not in _NO_ENGINES))


def module(engine: str) -> ModuleType:
    """Import an engine's backend module. Raises `UnknownName`."""
    if engine not in names():
        raise UnknownName("engine", engine, (*names(), "auto"))
    return importlib.import_module(f"{__name__}.{engine}")


def is_real(engine: str) -> bool:
    """Whether the engine computes the model; `null` does not."""
    return getattr(module(engine), "REAL", True)


def missing_packages(engine: str) -> List[str]:
    """List packages that the engine needs and that are not installed."""
    return [name for name in module(engine).REQUIRES if importlib.util.find_spec(name) is None]


def why_not(engine: str, device: str = "auto") -> Optional[str]:
    """What keeps an engine from running on a device and the line that mends it, or None. Imports its packages."""
    backend = module(engine)
    install = f"pip install '{f'edgecsp[{backend.EXTRA}]' if backend.EXTRA else 'edgecsp'}'"
    lacking = missing_packages(engine)
    if lacking:
        return f"needs {', '.join(lacking)}, not installed here; type: {install}"
    if device not in ("auto", *backend.DEVICES):
        return f"runs on {', '.join(backend.DEVICES)}; device {device!r} was requested"
    for name in backend.REQUIRES:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:  # a system library that is not there, a wheel for another machine
            message = " ".join(str(error).split())
            return (
                f"needs {name}, which is installed and cannot be loaded ({message}); type: {install} --force-reinstall"
            )
    usable: Any = getattr(backend, "usable", None)
    reason: Optional[str] = usable(_resolve_device(backend, device)) if usable else None
    return reason


def require(engine: str, device: str = "auto") -> None:
    """Raise `EngineUnavailable` unless the engine runs on the device."""
    why = why_not(engine, device)
    if why:
        raise EngineUnavailable(f"engine {engine!r} {why}")


def choose(engine: str = "auto", device: str = "auto", precision: Optional[str] = None) -> AutoChoice:
    """Resolve "auto" for an engine, a device or both; any other name stays as it is.

    Raises `UnknownName`, or `EngineUnavailable` when nothing installed runs on the device.
    """
    if precision not in (None, *PRECISIONS):
        raise UnknownName("precision", str(precision), PRECISIONS)
    if engine != "auto":
        return AutoChoice(engine, _resolve_device(module(engine), device), "requested")
    passed: List[Tuple[str, str]] = []
    for name, why in _AUTO.items():
        backend = module(name)
        if precision not in (None, *backend.PRECISIONS) or (name == "openvino" and not cpu.is_x86()):
            continue
        lacks = why_not(name, device)
        if lacks is None:
            chosen = _resolve_device(backend, device)
            better = [f"{other} {reason}" for other, reason in passed if chosen in module(other).DEVICES]
            return AutoChoice(name, chosen, "; ".join((why, *better)))
        passed.append((name, lacks))
    near = [f"\n  {other} {reason}" for other, reason in passed if device in module(other).DEVICES]
    wanted = f"device {device!r}" + (f" in {precision}" if precision else "")
    raise EngineUnavailable(f"no installed engine runs on {wanted}; see: edgecsp doctor" + "".join(near))


def _resolve_device(backend: ModuleType, device: str) -> str:
    first: str = backend.DEVICES[0]
    return first if device == "auto" else device


def open(
    model: Model,
    engine: str = "auto",
    *,
    device: str = "auto",
    threads: Optional[int] = None,
    precision: Optional[str] = None,
    at_once: int = 1,
    pixels: bool = False,
) -> Session:
    """Open a session of `model` on an engine.

    `device`: "auto" for the engine's own; `threads`: None for one a core (see `cpu.threads`); `precision`: "fp32",
    "fp16", "int8", or None for what the graph is. With `at_once` above 1 the engine, if it can, computes so many
    images side by side, with fewer threads each: more of them a second, each one later. `pixels`: it will be given
    an image's bytes, if it can scale them itself (`takes_pixels`). Raises `UnknownName`, `UsageError`,
    `EngineUnavailable` (package, device or precision missing) or `BuildFailed`.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: at least 1")
    engine, device, _ = choose(engine, device, precision)
    require(engine, device)
    precision = _precision(model, engine, precision)
    model = _convert_precision(model, precision)
    try:
        threads = threads or cpu.threads()
        backend, at_once = module(engine), min(at_once, threads)
        shared = (at_once,) if at_once > 1 and device in getattr(backend, "SHARED", ()) else ()
        scales = pixels and getattr(backend, "PIXELS", False) and preprocess.has_pixels(model.input)
        more = {"pixels": True} if scales else {}
        session: Session = backend.Session(model, device, threads, precision, *shared, **more)
    except BuildFailed as error:
        if engine == "ort":
            raise
        raise BuildFailed(f"{error}; another engine may take it: --engine ort") from error
    return session


def at_once(session: Any) -> int:
    """How many threads may be in a session's `run` at the same time."""
    return getattr(session, "at_once", 1)


def takes_pixels(session: Any) -> bool:
    """Whether a session's `run` takes what `preprocess.pixels` gives: (N, h, w, 3) uint8 in the model's colours."""
    return getattr(session, "pixels", False)


def _convert_precision(model: Model, precision: str) -> Model:
    """Convert an fp16 graph to fp32 if fp32 was requested; return any other as it is."""
    from ..graph import precision as precisions

    return precisions.to_fp32(model) if precision == "fp32" and precisions.detect_precision(model) == "fp16" else model


def _precision(model: Model, engine: str, requested: Optional[str]) -> str:
    """Resolve the precision to compute in; raises when the engine or the graph does not support it."""
    from ..graph import precision

    current = precision.detect_precision(model)
    wanted = requested or current
    if wanted not in module(engine).PRECISIONS:
        able = [name for name in names() if wanted in module(name).PRECISIONS and is_real(name)]
        raise EngineUnavailable(
            f"engine {engine!r} computes in {', '.join(module(engine).PRECISIONS)}; {model.name} "
            f"{'was requested in' if requested else 'is'} {wanted}; type: --engine {' or '.join(able)}"
        )
    # Whoever computes in fp16 rounds the weights itself; for fp32 see `_computing_in`.
    if wanted == current or {wanted, current} == {"fp16", "fp32"}:
        return wanted
    if wanted == "int8":
        raise UsageError(
            f"precision int8 was requested and {model.name} is a graph in {current}; quantize it first: "
            "edgecsp quantize MODEL --calib FOLDER"
        )
    raise UsageError(
        f"precision {wanted} was requested and {model.name} is a graph in {current}: rounding cannot be undone; "
        f"use the file that it was made from, or --precision {current}"
    )
