"""What `edgecsp tune` found to be fastest here, kept and used until the machine or the engine is another one.

    chosen = tuned.choose(model)                 # "auto": what was tuned, else the fixed order; `chosen.why` says which

What no longer fits (see `_kept`) is never an error: it is not used, and `why` says so.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from ... import backends
from ...types import Model
from . import records
from .records import KINDS, CachedTuning, Candidate, StaleTuning, folder, forget, known, machine, path, save, versions

__all__ = [
    "KINDS", "CachedTuning", "Candidate", "EngineSelection", "choose", "folder", "forget", "known", "machine", "path",
    "save", "versions",
]  # fmt: skip


class EngineSelection(NamedTuple):
    """What "auto", or an engine by its name, comes to: the graph to open and how, as `backends.open` takes it.

    `shown` is the choice for people, `why` its reason.
    """

    model: Model
    engine: str
    device: str
    threads: Optional[int]
    precision: Optional[str]
    at_once: int
    shown: str
    why: str


def choose(
    model: Model,
    engine: str = "auto",
    *,
    device: str = "auto",
    threads: Optional[int] = None,
    precision: Optional[str] = None,
    at_once: int = 1,
) -> EngineSelection:
    """What to open a model with: for "auto" what was tuned here if it fits what is asked, else `backends.choose`.

    With `at_once` above 1 that is the choice for most frames a second, else the one for the least delay. Raises what
    `backends.choose` raises.
    """
    reason = ""
    if engine == "auto":
        try:
            found = _tuned(model, KINDS[at_once > 1], device, threads, precision)
            if found:
                one, graph, why = found
                return EngineSelection(
                    graph, one.engine, one.device, one.threads, one.precision, min(at_once, one.at_once), str(one), why
                )
        except StaleTuning as unfit:
            reason = f"; {unfit}"
    fixed = backends.choose(engine, device, precision)
    shown = f"{fixed.engine} on {fixed.device}"
    return EngineSelection(model, fixed.engine, fixed.device, threads, precision, at_once, shown, fixed.why + reason)


def _tuned(
    model: Model, kind: str, device: str, threads: Optional[int], precision: Optional[str]
) -> Optional[Tuple[Candidate, Model, str]]:
    """The cached choice, its graph, and the line about it; None when the model was not tuned. Raises `StaleTuning`."""
    # The digest of a large file takes a while: who never tuned does not pay for it.
    if not folder().is_dir():
        return None
    place = records.path(model)
    if not place.is_file():
        return None
    said = records.read(place)
    one, day = records.fitting(said, kind), said["date"][:10]
    asked = {"device": None if device == "auto" else device, "threads": threads, "precision": precision}
    for name, wanted in asked.items():
        if wanted not in (None, getattr(one, name)):
            raise StaleTuning(f"not as tuned on {day}, with {name} {getattr(one, name)}: {wanted} was asked for")
    return one, records.graph(model, place, said, one), f"tuned here on {day} ({records.command(said)})"
