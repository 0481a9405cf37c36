"""Sinks that other packages add.

A package adds one through an entry point whose name is the sink's and whose value opens a `Sink`:

    [project.entry-points."edgecsp.sinks"]
    toy = "edgecsp_toy:ToySink"         # ToySink(target) for --sink toy=TARGET
"""

from __future__ import annotations

from typing import Tuple

from ...errors import OutputError, UnknownName, UsageError
from ...system import entry_points
from .base import Sink

GROUP = "edgecsp.sinks"


def parse(text: str) -> Tuple[str, str]:
    """Parse NAME=TARGET. Raises `UsageError`."""
    name, separator, target = text.partition("=")
    if not (name and separator and target):
        raise UsageError(f"--sink {text}: must be NAME=TARGET, as in --sink NAME=results.db")
    return name, target


def open_external(name: str, target: str) -> Sink:
    """Open a sink of another package. Raises `UnknownName`, and `OutputError` when it cannot be loaded."""
    points = entry_points.read(GROUP)
    if name not in points:
        raise UnknownName("sink", name, tuple(sorted(points)))
    try:
        sink = entry_points.load(points[name])(target)
    except entry_points.EntryPointError as error:
        raise OutputError(f"sink {name!r} {error}") from error
    if not isinstance(sink, Sink):
        place = entry_points.place(points[name])
        raise OutputError(f"sink {name!r}: {place} gave a {type(sink).__name__}, which is not derived from Sink")
    return sink
