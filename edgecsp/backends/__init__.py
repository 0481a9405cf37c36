"""The engines, one file each; `open` does for all of them the checks that every one needs.

A backend module has a docstring whose first line is shown to users, `REQUIRES` (import names), `EXTRA` (the
pip extra that brings them, "" for the base), `DEVICES`, `PRECISIONS`, and a class `Session(model, device,
threads)` with `run` and `close`. Its heavy imports are inside. Adding an engine is adding its file.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from types import ModuleType
from typing import List, Optional, Protocol, Tuple

from ..core import Array, Model
from ..errors import EngineUnavailable, UnknownName, UsageError


class Session(Protocol):
    """A model opened on an engine. Not for two threads at once."""

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head, in the model's order; the arrays are the caller's to keep."""
        ...

    def close(self) -> None:
        """Give everything back; `run` after it is an error."""
        ...


def names() -> Tuple[str, ...]:
    """Every engine edgecsp has a backend for, installed or not."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


def module(engine: str) -> ModuleType:
    """An engine's backend module. Raises `UnknownName`."""
    if engine not in names():
        raise UnknownName("engine", engine, (*names(), "auto"))
    return importlib.import_module(f"{__name__}.{engine}")


def missing(engine: str) -> List[str]:
    """Packages that the engine needs and this Python lacks."""
    return [name for name in module(engine).REQUIRES if importlib.util.find_spec(name) is None]


def choose(engine: str, device: str) -> Tuple[str, str]:
    """What "auto" means here: (engine, why in a few words). Any other name stays as it is."""
    if engine != "auto":
        return engine, "asked for"
    for name in names():
        if not missing(name) and device in module(name).DEVICES:
            return name, f"the engine installed for {device}"
    raise EngineUnavailable(f"no installed engine runs on device {device!r}; see: edgecsp engines")


def open(model: Model, engine: str = "auto", *, device: str = "cpu", threads: Optional[int] = None) -> Session:
    """A session of `model` on an engine. `threads`: None for one a core this process may use.

    Raises `UnknownName`, `EngineUnavailable` (package or device missing) or `BuildFailed`.
    """
    engine, _ = choose(engine, device)
    backend = module(engine)
    lacking = missing(engine)
    if lacking:
        target = f"edgecsp[{backend.EXTRA}]" if backend.EXTRA else "edgecsp"
        raise EngineUnavailable(
            f"engine {engine!r} needs {', '.join(lacking)}, not installed here; type: pip install '{target}'"
        )
    if device not in backend.DEVICES:
        raise EngineUnavailable(
            f"engine {engine!r} runs on {', '.join(backend.DEVICES)}; device {device!r} was asked for"
        )
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: at least 1")
    session: Session = backend.Session(model, device, threads or usable_cores())
    return session


def usable_cores() -> int:
    """Cores this process may run on: affinity (taskset, containers) counts, not the machine's total."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
