"""The stored results of `edgecsp tune`, used until the machine or the engine changes.

    selection = tuning.choose(model)             # "auto": the tuned choice, else the fixed order; see `selection.why`

A stale result (see `records`) is never an error: it is not used, and `why` says so.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ... import backends
from ...types import Model
from . import records
from .records import (
    KINDS,
    CachedTuning,
    Candidate,
    StaleTuning,
    describe_machine,
    folder,
    forget,
    list_tunings,
    path,
    save,
    versions,
)

__all__ = [
    "KINDS", "CachedTuning", "Candidate", "EngineSelection", "choose", "describe_machine", "folder", "forget",
    "list_tunings", "path", "save", "versions",
]  # fmt: skip


class EngineSelection(NamedTuple):
    """A resolved engine: the graph to open and the options of `backends.open`.

    `summary` is the choice in words, `why` its reason. `is_rounded`: "auto" took another precision than the graph's,
    untuned.
    """

    model: Model
    engine: str
    device: str
    threads: Optional[int]
    precision: Optional[str]
    at_once: int
    summary: str
    why: str
    is_rounded: bool = False


def choose(
    model: Model,
    engine: str = "auto",
    *,
    device: str = "auto",
    threads: Optional[int] = None,
    precision: Optional[str] = "auto",
    at_once: int = 1,
) -> EngineSelection:
    """Choose how to open a model: for "auto" the tuned choice if it fits the request, else `backends.choose`.

    With `at_once` above 1 that is the choice for throughput, else the one for latency. Precision "auto" is the tuned
    one too, else `backends.auto_precision`'s; None is the graph's. Raises what `backends.choose` raises.
    """
    reason = ""
    if engine == "auto":
        try:
            tuned = _load_tuned(model, KINDS[at_once > 1], device, threads, precision)
            if tuned:
                one, graph, why = tuned
                return EngineSelection(
                    graph, one.engine, one.device, one.threads, one.precision, min(at_once, one.at_once), str(one), why
                )
        except StaleTuning as unfit:
            reason = f"; {unfit}"
    fixed = backends.choose_for(model, engine, device, precision)
    summary = f"{fixed.engine} on {fixed.device}" + (f" in {fixed.precision}" if fixed.precision else "")
    return EngineSelection(
        model, fixed.engine, fixed.device, threads, fixed.precision, at_once, summary, fixed.why + reason,
        fixed.is_rounded,
    )  # fmt: skip


def _load_tuned(
    model: Model, kind: str, device: str, threads: Optional[int], precision: Optional[str]
) -> Optional[Tuple[Candidate, Model, str]]:
    """The cached choice, its graph, and the line about it; None when the model was not tuned. Raises `StaleTuning`."""
    # The digest of a large file takes a while; without any tuning it is not computed.
    if not folder().is_dir():
        return None
    place = records.path(model)
    if not place.is_file():
        return None
    content = records.read(place)
    one, day = records.select_choice(content, kind), content["date"][:10]
    requested = {"device": device, "threads": threads, "precision": precision}
    for name, value in requested.items():
        if value not in (None, "auto", getattr(one, name)):
            raise StaleTuning(f"not as tuned on {day}, with {name} {getattr(one, name)}: {value} was requested")
    return one, records.graph(model, place, content, one), f"tuned here on {day} ({records.command(content)})"
