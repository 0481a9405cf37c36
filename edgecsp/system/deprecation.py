"""Old names that still work for a release, with a warning."""

from __future__ import annotations

import sys
from typing import Any, Callable, Mapping, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def deprecate(old: str, new: str, *, remove_in: str) -> Callable[[F], F]:
    """Decorate the function behind an old name: a call warns and names the new one."""
    import functools

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def warning(*args: Any, **keywords: Any) -> Any:
            warn_deprecated(old, new, remove_in=remove_in)
            return function(*args, **keywords)

        return warning  # type: ignore[return-value]

    return wrap


class MovedModules:
    """Finds and loads modules under the paths that they had: `moved` is old path -> new path.

    It is what importlib calls a meta path finder and a loader; importlib.abc would cost each start 5 ms.
    """

    def __init__(self, moved: Mapping[str, str], *, remove_in: str) -> None:
        self._moved, self._remove_in = dict(moved), remove_in

    def install(self) -> None:
        """Ask this finder last, after all that find modules where they are."""
        sys.meta_path.append(self)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """The spec of a module that has moved, or None."""
        if fullname not in self._moved:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        """Leave it to importlib."""

    def exec_module(self, module: Any) -> None:
        """Let the old module answer with the new one's names."""
        import importlib

        new = self._moved[module.__name__]
        warn_deprecated(module.__name__, new, remove_in=self._remove_in)
        target = importlib.import_module(new)
        module.__dict__.update({"__getattr__": lambda name: getattr(target, name), "__doc__": target.__doc__})


def moved_names(module: str, package: str, modules: Mapping[str, str], *, remove_in: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose names have moved: `modules` is name -> its module in `package`."""

    def getattr_(name: str) -> Any:
        import importlib

        if name not in modules:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home = f"{package}.{modules[name]}"
        warn_deprecated(f"{module}.{name}", f"{home}.{name}", remove_in=remove_in)
        return getattr(importlib.import_module(home), name)

    return getattr_


class RenamedAttribute:
    """The old name of a class's attribute or method: `old = RenamedAttribute("new", remove_in="0.3")`."""

    def __init__(self, new: str, *, remove_in: str) -> None:
        self._new, self._remove_in = new, remove_in

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._old = owner.__name__, name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Warn, and give what has the new name."""
        warn_deprecated(f"{self._owner}.{self._old}", f"{self._owner}.{self._new}", remove_in=self._remove_in)
        return getattr(owner if instance is None else instance, self._new)


def warn_deprecated(old: str, new: str, *, remove_in: str, stacklevel: int = 3) -> None:
    """Warn that `old` will go and name what replaces it; the warning points `stacklevel` calls up."""
    import warnings

    warnings.warn(
        f"{old} is deprecated and will be removed in edgecsp {remove_in}; use {new}", DeprecationWarning, stacklevel
    )
