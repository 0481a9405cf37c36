"""The engines by name: the files of this folder, and those of other packages.

A package adds an engine through an entry point whose name is the engine's and whose value is its `Session` class:

    [project.entry-points."edgecsp.engines"]
    toy = "edgecsp_toy:ToySession"

Entry points are read only for a name that is not built in, and for lists of all engines: a start stays fast.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache
from typing import Any, Dict, List, Optional, Tuple, Type

from ..errors import EngineUnavailable, UnknownName
from ..system import entry_points
from ..system.entry_points import EntryPoint, EntryPointError
from ..types import Array, Model
from .base import EngineInfo, Session, SessionOptions

GROUP = "edgecsp.engines"
REFERENCE = "ort"  # a base dependency with every operator: the engine that the others are compared with
_NO_ENGINES = ("base", "recipes", "registry")  # modules of this folder that are not engines
_PACKAGE = __name__.rpartition(".")[0]


@lru_cache(maxsize=None)
def built_in() -> Tuple[str, ...]:
    """List the engines of edgecsp itself, installed or not."""
    files = (
        module.name for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__) if not module.ispkg
    )
    return tuple(sorted(name for name in files if not name.startswith("_") and name not in _NO_ENGINES))


def external() -> Tuple[str, ...]:
    """List the engines that other packages add."""
    return tuple(sorted(set(entry_points.read(GROUP)) - set(built_in())))


def names() -> Tuple[str, ...]:
    """List every engine, whether what it needs is installed or not."""
    return tuple(sorted((*built_in(), *external())))


def distribution(name: str) -> Optional[entry_points.Distribution]:
    """Return the package that adds an engine, None for a built-in one."""
    return None if name in built_in() else entry_points.read(GROUP)[name].distributions[0]


def resolve(name: str) -> str:
    """Return the name of the built-in engine that an alias means; any other name as it is."""
    return name if name in ("auto", *built_in()) else _aliases().get(name, name)


@lru_cache(maxsize=None)
def _aliases() -> Dict[str, str]:
    return {alias: name for name in built_in() for alias in _built_in_session(name).info.aliases}


def find(name: str) -> Type[Session]:
    """Find an engine's session class, by name or alias; its `info` is the engine's. Raises `UnknownName`.

    Another package's engine that cannot be loaded is one whose `unavailable_reason` says why.
    """
    name = resolve(name)
    if name in built_in():
        return _built_in_session(name)
    if name not in entry_points.read(GROUP):
        raise UnknownName("engine", name, (*names(), "auto"))
    return _external_session(name)


@lru_cache(maxsize=None)
def _built_in_session(name: str) -> Type[Session]:
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    (session,) = (each for each in vars(module).values() if _is_session(each) and each.__module__ == module.__name__)
    return session  # type: ignore[no-any-return]


@lru_cache(maxsize=None)
def _external_session(name: str) -> Type[Session]:
    try:
        return _load(name, entry_points.read(GROUP)[name])
    except EntryPointError as error:
        info = EngineInfo(name, "cannot be loaded.", requires=(), devices=("cpu",))
        return type("UnloadableSession", (UnloadableSession,), {"info": info, "reason": str(error)})


def _load(name: str, point: EntryPoint) -> Type[Session]:
    """Import another package's engine and check it. Raises `EntryPointError`."""
    session, place = entry_points.load(point), entry_points.place(point)
    if not _is_session(session) or inspect.isabstract(session):
        raise EntryPointError(f"cannot be used: {place} is no class derived from {_PACKAGE}.Session with run and close")
    info = getattr(session, "info", None)
    if not isinstance(info, EngineInfo) or info.name != name:
        raise EntryPointError(f"cannot be used: the info of {place} must be an EngineInfo named {name!r}")
    return session  # type: ignore[no-any-return]


def _is_session(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Session)


class UnloadableSession(Session):
    """Stands in for an engine that cannot be loaded, so that lists of engines have it, with the reason."""

    reason = ""

    @classmethod
    def unavailable_reason(cls, device: str) -> Optional[str]:
        """Return why it cannot be loaded."""
        return cls.reason

    def __init__(self, model: Model, options: SessionOptions) -> None:
        raise EngineUnavailable(f"engine {self.info.name!r} {self.reason}")

    def run(self, batch: Array) -> List[Array]:
        """Is never called: there is no instance."""
        raise NotImplementedError

    def close(self) -> None:
        """Is never called: there is no instance."""
        raise NotImplementedError
