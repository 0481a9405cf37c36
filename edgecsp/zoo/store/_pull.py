"""Install a model from the network or from a user's file."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional, Sequence, Tuple

from ... import zoo
from ...cache import download, files
from ...errors import BadWeights, IntegrityError, SourceError, UsageError
from ...graph import onnx_model
from ...importers.darknet.weights import WeightsFile
from ...system.progress import NO_PROGRESS, Progress
from .index import RANDOM, Record, downloads, locked, path, pin_path, read, record, record_path, write

LOG = logging.getLogger(__name__)
HEADER_BYTES = 20  # of a .weights file, at most


@dataclass(frozen=True)
class LocatedWeights:
    """A weights file that is here, and what is known of it: fields of `Record`."""

    weights: str
    source: str
    check: str
    licence: str


def pull(
    name: str,
    *,
    source: Optional[Path] = None,
    labels: Optional[Sequence[str]] = None,
    patience: Optional[download.Patience] = None,
    progress: Progress = NO_PROGRESS,
) -> Record:
    """Put a model where `resolve` finds it.

    Its public weights are downloaded and checked, once. `source` is a `.weights` file to take instead, which may be
    the user's own, for as many classes as `labels`. Raises an `EdgecspError`; what was there before then stays.
    """
    entry = zoo.get(name)
    if source is None and entry.weights is None:
        raise absent_error(name)
    if entry.second is not None:
        raise UsageError(f"{name} has two stages, and a .weights file holds one. {_timed(name)}")
    if source is None and labels is not None:
        raise UsageError(f"the public weights of {name} have labels; others go with a file of your own (--from)")
    with locked(name):
        if source is not None:
            return _install(name, source, _identify(name, source), labels)
        here = record(name)
        if here and here.weights == "own":
            raise UsageError(f"{name} has your own weights, {here.source}. To drop them: edgecsp models rm {name}")
        if here and files.digest_of(path(name)) == here.onnx_sha256:
            LOG.info("%s is here already", name)
            return here
        target = downloads() / f"{name}.weights"
        try:
            return _install(name, target, _fetch(name, target, patience, progress))
        finally:
            target.unlink(missing_ok=True)


def absent_error(name: str) -> SourceError:
    """The error for a model that is not here: what can be done about it."""
    if zoo.get(name).weights is not None:
        return SourceError(f"{name} is not here yet. Download it: edgecsp models pull {name}")
    own = "" if zoo.get(name).second else f"With your own: edgecsp models pull {name} --from MINE.weights. "
    return SourceError(f"{name} has no public weights: its authors published none. {own}{_timed(name)}")


def _timed(name: str) -> str:
    return f"To time it: edgecsp run SOURCE --model {name} --weights {RANDOM}"


def _fetch(name: str, target: Path, patience: Optional[download.Patience], progress: Progress) -> LocatedWeights:
    """The public weights, downloaded to `target` and held against the published digest, or the first one seen."""
    public = zoo.get(name).weights
    assert public is not None
    pin = {} if public.is_pinned else read(pin_path(name))
    digest = public.digest if public.is_pinned else ("sha256", str(pin["sha256"])) if pin else None
    most = HEADER_BYTES + 4 * zoo.net(name).floats
    size = f", {public.size / 1e6:.1f} MB" if public.size else ""
    LOG.info("downloading %s%s; %s", public.url, size, _expected(public, digest))
    try:
        download.download(
            public.url, target, digest=digest, size=public.size, limit=most, patience=patience, progress=progress
        )
    except SourceError as error:
        raise SourceError(
            f"{error}. If you get the file another way: edgecsp models pull {name} --from FILE"
        ) from error
    except IntegrityError as error:
        if not pin:
            raise
        raise IntegrityError(
            f"{error}. It is not the file that came first, on {pin['first']}. If its authors say that they changed it, "
            f"delete {pin_path(name)} and pull again"
        ) from error
    check = f"{public.digest[0]} as published" if public.is_pinned else "sha256 as at the first download"
    return LocatedWeights(
        "public", public.url, check if digest else "first download, its sha256 is now pinned", public.licence
    )


def _expected(public: zoo.PublicWeights, digest: Optional[Tuple[str, str]]) -> str:
    """Say what a download is held against."""
    if digest is None:
        return "no digest of it is known: the sha256 of this first download is kept, and another file is refused later"
    whose = "as published" if public.is_pinned else "of the first download"
    return f"its {digest[0]} must be {digest[1]}, {whose}"


def _identify(name: str, source: Path) -> LocatedWeights:
    """What a user's file is: the public one if it has its digest, else one of their own."""
    if not source.is_file():
        raise SourceError(f"no weights file at {source}{files.suggest_similar(source)}")
    public = zoo.get(name).weights
    try:
        if public and public.is_pinned and files.digest_of(source, public.digest[0]) == public.digest[1]:
            return LocatedWeights("public", public.url, f"{public.digest[0]} as published", public.licence)
    except OSError as error:
        raise SourceError(f"cannot read {source}: {error.strerror}") from error
    return LocatedWeights("own", source.name, "none, it is a file of your own", "whatever came with the file")


def _install(name: str, weights: Path, located: LocatedWeights, labels: Optional[Sequence[str]] = None) -> Record:
    digest, size = files.digest_of(weights), weights.stat().st_size
    origin = {"source": located.source, "sha256": digest, "licence": located.licence}
    model = zoo.model(name, _open(name, weights, labels), labels=labels, origin=origin)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    public = zoo.get(name).weights
    if located.weights == "public" and public and not public.is_pinned and not read(pin_path(name)):
        write(pin_path(name), {"url": located.source, "sha256": digest, "size": size, "first": now})
    onnx_sha256 = hashlib.sha256(model.onnx).hexdigest()
    record = Record(
        name, located.weights, located.source, digest, size, located.check, located.licence, now, onnx_sha256
    )
    onnx_model.save(model, path(name))
    write(record_path(name), asdict(record))
    return record


def _open(name: str, weights: Path, labels: Optional[Sequence[str]]) -> WeightsFile:
    """The file, for as many classes as labels; its error says how many it was trained on, if that can be told."""
    try:
        return WeightsFile(weights, zoo.net(name, classes=None if labels is None else len(labels)))
    except BadWeights as error:
        classes = _classes(name, weights.stat().st_size)
        hint = f". They fit {name} with {classes} classes: name them with --names, one a line" if classes else ""
        raise BadWeights(f"these are not the weights of {name}: {error}{hint}") from error


def _classes(name: str, size: int) -> int:
    """How many classes a `.weights` file of `size` bytes is for, 0 when no number of them fits."""
    one, two = (zoo.net(name, classes=n).floats for n in (1, 2))
    for header in (HEADER_BYTES, HEADER_BYTES - 4):
        more, rest = divmod(size - header - 4 * one, 4 * (two - one))
        if more >= 0 and not rest:
            return 1 + more
    return 0
