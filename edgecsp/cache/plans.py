"""Plans: what an engine compiles ahead of time, built once, found again, and refused when it is not ours.

    plan = plans.get_or_build({"engine": "trt", "model": ..., "options": ...}, build)      # minutes to build
    data = plans.get_or_rebuild({"engine": "openvino", "model": ..., "options": ...}, build)  # a moment, at every start

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
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A plan's bytes, where they lie, and whether they were built just now."""

    data: bytes = field(repr=False)
    path: Path
    built: bool


def folder() -> Path:
    """Where plans are: $EDGECSP_HOME/plans, else the platform's place for what can be made again."""
    said = os.environ.get("EDGECSP_HOME")
    if said:
        return Path(said).expanduser().absolute() / "plans"
    import platformdirs

    return Path(platformdirs.user_cache_dir("edgecsp", appauthor=False)) / "plans"


def key_path() -> Path:
    """The key of the tags. Not in `folder()`: who copies the plans must not copy the key by accident."""
    said = os.environ.get("EDGECSP_HOME")
    if said:
        return Path(said).expanduser().absolute() / "plan.key"
    import platformdirs

    return Path(platformdirs.user_data_dir("edgecsp", appauthor=False)) / "plan.key"


def path(facts: Mapping[str, Any]) -> Path:
    """Where the plan of `facts` lies, or would lie."""
    return folder() / f"{facts['engine']}-{hashlib.sha256(_canonical(facts)).hexdigest()[:40]}.plan"


def get_or_build(facts: Mapping[str, Any], build: Callable[[], bytes], *, trust: bool = False) -> Plan:
    """The plan of `facts`, built unless it is here. Of several processes one builds and the others wait for it.

    `facts` holds all that decides what the plan is, as JSON; `facts["engine"]` begins the file's name. `trust`
    takes a plan that was not made here, and signs it. Raises `IntegrityError`, `OutputError`, and what `build` raises.
    """
    place = path(facts)
    data = _found(place, facts, trust)
    if data is not None:
        LOG.debug("%s is built already", place)
        return Plan(data, place, built=False)
    with locked(place):
        data = _found(place, facts, trust)
        if data is not None:
            return Plan(data, place, built=False)
        files.remove_leftovers(place.parent)
        data = build()
        with files.atomic(place) as file:
            file.write(data)
        _sign(place, facts, data)
    LOG.debug("built %s, %d bytes", place, len(data))
    return Plan(data, place, built=True)


def get_or_rebuild(facts: Mapping[str, Any], build: Callable[[], bytes], *, most: int = 8) -> bytes:
    """What `build` makes, kept from one start to the next; for what takes a moment to build, and is worth no error.

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
    if plan.built:
        for old in known(facts["engine"])[most:]:
            with suppress(OSError):  # another user's folder: it stays
                drop(old)
    return plan.data


def known(engine: str) -> List[Dict[str, Any]]:
    """The facts of every plan of an engine that is here, the newest first; `get` says whether one can be trusted."""
    sidecars = [place for place in folder().glob(f"{engine}-*.json") if place.with_suffix(".plan").exists()]
    said = [_read(place.read_bytes()).get("facts") for place in sorted(sidecars, key=_age, reverse=True)]
    return [facts for facts in said if isinstance(facts, dict) and facts.get("engine") == engine]


def _age(place: Path) -> float:
    return place.stat().st_mtime


def drop(facts: Mapping[str, Any]) -> None:
    """Forget the plan of `facts`, if it is here."""
    place = path(facts)
    for each in (_sidecar(place), place):  # the sidecar first: a plan without one does not count
        with suppress(FileNotFoundError):
            each.unlink()


def locked(place: Path) -> ContextManager[None]:
    """One process at a time may make the file `place`; the next one waits for it."""
    waiting = f"another process is making {place.name}; waiting for it"
    return files.locked(place.with_suffix(".lock"), waiting, mode=0o700)


def _found(place: Path, facts: Mapping[str, Any], trust: bool) -> Optional[bytes]:
    """The bytes of a plan that is here and ours; None when there is none, or its writer was stopped half way."""
    try:
        written, data = _sidecar(place).read_bytes(), place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IntegrityError(f"cannot read {place}: {error.strerror}; delete it, and it is built anew") from error
    said = _read(written)
    if said.get("facts") != _plain(facts) and said:
        raise IntegrityError(f"{place} was made for something else than its name says; delete it, it is built anew")
    if said.get("sha256") != hashlib.sha256(data).hexdigest():
        why = "it has changed since it was built"
    elif not hmac.compare_digest(str(said.get("tag")), _tag(said)):
        why = "it was built by somebody else, on another machine, or its description has changed"
    else:
        return data
    if not trust:
        raise IntegrityError(
            f"{place} is refused: {why}. A plan is code that the engine runs. Delete it and it is built anew; or, if "
            "you know where it comes from, say so once: edgecsp build MODEL --recipe RECIPE --trust-plan"
        )
    _sign(place, facts, data)
    return data


def _sign(place: Path, facts: Mapping[str, Any], data: bytes) -> None:
    """Write what a plan is beside it, with the tag."""
    said: Dict[str, Any] = {
        "facts": _plain(facts),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    with files.atomic(_sidecar(place)) as file:
        file.write(json.dumps({**said, "tag": _tag(said)}, indent=2).encode() + b"\n")


def _tag(said: Mapping[str, Any]) -> str:
    signed = {name: value for name, value in said.items() if name != "tag"}
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
        raise IntegrityError(f"{place} is no key of ours; delete it, and plans are built anew")
    return key


def _sidecar(place: Path) -> Path:
    return place.with_suffix(".json")


def _read(written: bytes) -> Dict[str, Any]:
    """A sidecar's object; a damaged one is an empty one, which no tag fits."""
    try:
        said = json.loads(written)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _plain(facts: Mapping[str, Any]) -> Any:
    return json.loads(_canonical(facts))


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
