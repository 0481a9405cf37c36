"""Entry points: what other installed packages add to edgecsp, by group and name.

Reading them looks at every installed package, so callers ask for what is built in first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, NamedTuple, Tuple


class Distribution(NamedTuple):
    """An installed package that adds something."""

    name: str
    version: str


class EntryPoint(NamedTuple):
    """A name of a group; more than one distribution: they claim the same name."""

    distributions: Tuple[Distribution, ...]
    value: Any  # an importlib.metadata.EntryPoint


class EntryPointError(Exception):
    """An entry point cannot be used; the message stands behind its name and says of which package it is and why."""


@lru_cache(maxsize=None)
def read(group: str) -> Dict[str, EntryPoint]:
    """Read the entry points of a group by name; a package that is on the path twice counts once, as for imports."""
    from importlib import metadata

    points: Dict[str, EntryPoint] = {}
    for installed in metadata.distributions():
        for point in installed.entry_points:
            if point.group != group:
                continue
            package = Distribution(installed.metadata["Name"], installed.version)
            other = points.get(point.name)
            if other is None:
                points[point.name] = EntryPoint((package,), point)
            elif package.name not in [each.name for each in other.distributions]:
                points[point.name] = other._replace(distributions=(*other.distributions, package))
    return points


def load(point: EntryPoint) -> Any:
    """Import what an entry point names. Raises `EntryPointError`."""
    if len(point.distributions) > 1:
        packages = " and ".join(each.name for each in point.distributions)
        raise EntryPointError(f"is added by several packages, {packages}; uninstall all but one")
    try:
        return point.value.load()
    except Exception as error:  # whatever a module raises while it is imported
        package, message = " ".join(point.distributions[0]), " ".join(str(error).split())
        raise EntryPointError(f"of {package} cannot be loaded ({type(error).__name__}: {message})") from error


def place(point: EntryPoint) -> str:
    """Say where an entry point is, for messages: module:name of a package."""
    return f"{point.value.value} of {' '.join(point.distributions[0])}"
