"""The cache of plans: what an engine compiles ahead of time, built once, signed, and refused if not by this user.

    plan = plans.get_or_build({"engine": "...", "model": ..., "options": ...}, build)      # minutes to build
    data = plans.get_or_rebuild({"engine": "...", "model": ..., "options": ...}, build)  # a moment, at every start

A plan is code that an engine will run, so it carries a tag that only this user of this machine can make. Under
`folder()` lie, for each plan,

ENGINE-DIGEST.plan   the bytes
ENGINE-DIGEST.json   what it was made from and for, to be read; its last field is the tag
ENGINE-DIGEST.lock   who builds it now

DIGEST is of everything that decides what the plan is. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, List, Mapping, Optional

from ..errors import IntegrityError, OutputError
from . import files

KEY_BYTES = 32
# Bytes of a graph from which on `get_or_rebuild` is not worth it: of yolov4 an engine keeps 260 MB, to save a second.
LARGE_GRAPH = 64 << 20
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A plan's bytes, its path, whether it was built just now, and what its build noted."""

    data: bytes = field(repr=False)
    path: Path
    is_new: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


def folder() -> Path:
    """Return the folder of plans: $EDGECSP_HOME/plans, else the platform's cache folder."""
    return files.home("cache") / "plans"


def key_path() -> Path:
    """The key of the tags. Not in `folder()`: who copies the plans must not copy the key by accident."""
    return files.home("data") / "plan.key"


def path(facts: Mapping[str, Any]) -> Path:
    """Return the path of the plan of `facts`, whether it exists or not."""
    return folder() / f"{facts['engine']}-{hashlib.sha256(_canonical(facts)).hexdigest()[:40]}.plan"


def get_or_build(
    facts: Mapping[str, Any], build: Callable[[], bytes], *, trust: bool = False,
    notes: Optional[Mapping[str, Any]] = None,
) -> Plan:  # fmt: skip
    """Return the plan of `facts`, building it unless it is cached. Of several processes one builds, the others wait.

    `facts` holds all that decides what the plan is, as JSON; `facts["engine"]` begins the file's name. `trust`
    takes a plan that was not made here, and signs it. `notes`, as JSON, are what `build` leaves in them; they are kept
    with the plan. Raises `IntegrityError`, `OutputError`, and what `build` raises.
    """
    place = path(facts)
    plan = _load(place, facts, trust)
    if plan is not None:
        LOG.debug("%s is built already", place)
        return plan
    with locked(place):
        plan = _load(place, facts, trust)
        if plan is not None:
            return plan
        files.remove_leftovers(place.parent)
        data = build()
        with files.atomic(place) as file:
            file.write(data)
        noted = _plain(notes or {})
        _sign(place, facts, data, noted)
    LOG.debug("built %s, %d bytes", place, len(data))
    return Plan(data, place, True, noted)


def get_or_rebuild(facts: Mapping[str, Any], build: Callable[[], bytes], *, most: int = 8) -> bytes:
    """Return the result of `build`, cached between starts; for quick builds, where a bad cache is no error.

    What is refused is built anew, what cannot be written is not kept; each engine has its `most` newest. Raises what
    `build` raises.
    """
    try:
        plan = get_or_build(facts, build)
    except OutputError:
        return build()
    except IntegrityError as error:
        LOG.warning("%s. It is not used, but built anew", str(error).split(". ")[0])
        with suppress(OSError):
            drop(facts)
        return build()
    if plan.is_new:
        for old in list_facts(facts["engine"])[most:]:
            with suppress(OSError):  # another user's folder: it stays
                drop(old)
    return plan.data


def list_facts(engine: str) -> List[Dict[str, Any]]:
    """The facts of every plan of an engine that is here, the newest first; `get` says whether one can be trusted."""
    sidecars = [place for place in folder().glob(f"{engine}-*.json") if place.with_suffix(".plan").exists()]
    all_facts = [_read(place.read_bytes()).get("facts") for place in sorted(sidecars, key=_age, reverse=True)]
    return [facts for facts in all_facts if isinstance(facts, dict) and facts.get("engine") == engine]


def _age(place: Path) -> float:
    return place.stat().st_mtime


def drop(facts: Mapping[str, Any]) -> None:
    """Remove the plan of `facts` from the cache."""
    place = path(facts)
    for each in (_sidecar(place), place):  # the sidecar first: a plan without one does not count
        with suppress(FileNotFoundError):
            each.unlink()


def locked(place: Path) -> ContextManager[None]:
    """Let one process at a time make the file `place`; the next one waits for it."""
    waiting = f"another process is making {place.name}; waiting for it"
    return files.locked(place.with_suffix(".lock"), waiting, mode=0o700)


def _load(place: Path, facts: Mapping[str, Any], trust: bool) -> Optional[Plan]:
    """A plan that is here and ours; None when there is none, or its writer was stopped half way."""
    try:
        written, data = _sidecar(place).read_bytes(), place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IntegrityError(f"cannot read {place}: {error.strerror}; delete it, and it is built anew") from error
    sidecar = _read(written)
    notes = sidecar.get("notes")
    noted: Mapping[str, Any] = notes if isinstance(notes, dict) else {}
    if sidecar.get("facts") != _plain(facts) and sidecar:
        raise IntegrityError(f"{place} was made for something else than its name says; delete it, it is built anew")
    if sidecar.get("sha256") != hashlib.sha256(data).hexdigest():
        why = "it has changed since it was built"
    elif not hmac.compare_digest(str(sidecar.get("tag")), _tag(sidecar)):
        why = "it was built by somebody else, on another machine, or its description has changed"
    else:
        return Plan(data, place, False, noted)
    if not trust:
        raise IntegrityError(
            f"{place} is refused: {why}. A plan is code that the engine runs. Delete it and it is built anew; or, if "
            "you know where it comes from, say so once: edgecsp build MODEL --recipe RECIPE --trust-plan",
            docs="engine-plan-file-is-not-compatible",
        )
    _sign(place, facts, data, noted)
    return Plan(data, place, False, noted)


def _sign(place: Path, facts: Mapping[str, Any], data: bytes, notes: Mapping[str, Any]) -> None:
    """Write a plan's description beside it, with the tag."""
    sidecar: Dict[str, Any] = {
        "facts": _plain(facts),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **({"notes": notes} if notes else {}),
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    with files.atomic(_sidecar(place)) as file:
        file.write(json.dumps({**sidecar, "tag": _tag(sidecar)}, indent=2).encode() + b"\n")


def _tag(sidecar: Mapping[str, Any]) -> str:
    signed = {name: value for name, value in sidecar.items() if name != "tag"}
    return hmac.new(_key(), _canonical(signed), hashlib.sha256).hexdigest()


def _key() -> bytes:
    """The user's key, made at first use. Raises `IntegrityError` when others can read it, or it is another's."""
    place = key_path()
    try:
        with nullcontext() if place.exists() else locked(place):
            if not place.exists():
                part = place.with_suffix(".part")
                part.unlink(missing_ok=True)
                with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(place)
            with place.open("rb") as file:
                key, state = file.read(KEY_BYTES + 1), os.fstat(file.fileno())
    except OSError as error:
        raise OutputError(
            f"cannot make {place}, the key of your plans: {error.strerror or error}. Set EDGECSP_HOME to a folder of "
            "yours"
        ) from error
    if os.name == "posix" and state.st_uid != os.geteuid():
        raise IntegrityError(
            f"{place} belongs to user {state.st_uid}, who could make plans in your name; delete "
            "it, or set EDGECSP_HOME to a folder of yours"
        )
    if os.name == "posix" and stat.S_IMODE(state.st_mode) & 0o077:
        raise IntegrityError(f"{place} can be read by others, who could make plans in your name: chmod 600 {place}")
    if len(key) != KEY_BYTES:
        raise IntegrityError(f"{place} is not a key of edgecsp; delete it, and plans are rebuilt")
    return key


def _sidecar(place: Path) -> Path:
    return place.with_suffix(".json")


def _read(written: bytes) -> Dict[str, Any]:
    """A sidecar's object; a damaged one is an empty one, which no tag fits."""
    try:
        content = json.loads(written)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _plain(facts: Mapping[str, Any]) -> Any:
    return json.loads(_canonical(facts))


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
