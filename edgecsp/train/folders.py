"""The folder of a run: a new one, or one that goes on as it was begun."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Sequence, Union

from ..errors import OutputError, SourceError, UsageError
from . import cache, distributed
from .model import Layout
from .settings import TrainSettings
from .sightings import FILE
from .teacher import Teaching


def new(out: Union[str, Path, None]) -> Path:
    """The folder that was asked for, else the next runs/train/N.

    It must be new or hold nothing but what a teacher found, and images that a killed run kept. Raises `UsageError`,
    `OutputError` where no folder can be made.
    """
    try:
        return _new(out)
    except OSError as error:
        raise OutputError(
            f"cannot make the run's folder {error.filename or out}: {error.strerror}; --name FOLDER takes another place"
        ) from error


def _new(out: Union[str, Path, None]) -> Path:
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(_counts(each) for each in folder.iterdir())):
            raise UsageError(
                f"{folder} exists and is not empty; use another --name, or continue with --resume {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    root = Path("runs") / "train"
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1_000_000):
        try:
            (root / str(number)).mkdir()
        except FileExistsError:
            continue
        return root / str(number)
    raise UsageError(f"{root} is full")


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Remove a folder that holds nothing yet when its run fails to begin."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it holds something
            folder.rmdir()
        raise


def _counts(path: Path) -> bool:
    return path.name != FILE and not path.name.startswith(cache.FILE)


def record(folder: Path) -> Dict[str, Any]:
    """Read what a run that can go on was begun with. Raises `SourceError`."""
    path = folder / "run.json"
    if not path.is_file() or not (folder / "last.pt").is_file():
        raise SourceError(f"{folder} is not a run of edgecsp train that can be resumed: it lacks run.json or last.pt")
    try:
        record: Dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise SourceError(f"{path} is damaged: {error}") from error
    missing = {"settings", "layout", "data", "versions"} - (set(record) if isinstance(record, dict) else set())
    if missing:
        raise SourceError(f"{path} is damaged: it has no {', '.join(sorted(missing))}")
    return record


def settings(resume: Union[str, Path, None], explicit: Mapping[str, Any]) -> TrainSettings:
    """Settings of a new run; of a run to resume, its own where `explicit` has no other."""
    names = {each.name for each in fields(TrainSettings)}
    known = record(Path(resume))["settings"] if resume is not None else {}
    return TrainSettings(**{**{name: value for name, value in known.items() if name in names}, **explicit})


def check_same(folder: Path, record: Dict[str, Any], settings: TrainSettings, model: str, teaching: Teaching) -> None:
    """Raise `UsageError` when a run is asked to go on otherwise than it was begun."""
    changed = settings.differing(record["settings"])
    if other := Layout.from_dict(record["layout"]).differs_from(model):
        changed["model"] = (record["layout"]["model"], other)
    before = record.get("teacher", Teaching().to_dict())
    for name, value in teaching.to_dict().items():
        if before[name] != value:
            changed[name] = (_listed(before[name]), _listed(value))
    if record.get("processes", 1) != distributed.size():
        changed["processes"] = (record.get("processes", 1), distributed.size())
    if changed:
        changes = ", ".join(f"{name} {was} (now {now})" for name, (was, now) in changed.items())
        raise UsageError(
            f"{folder} was started with {changes}; give the same, or start a new run with --weights {folder}"
        )


def _listed(words: Sequence[str]) -> str:
    return " ".join(words) or "none"
