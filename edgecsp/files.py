"""Files that appear whole or not at all, and the name that was probably meant."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Union

from .errors import OutputError


@contextmanager
def atomic(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """A binary file for writing that gets its name when the block ends well, and vanishes otherwise.

    Missing folders are made. Raises `OutputError` when the place cannot be written.
    """
    path = Path(path)
    part = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; give a file name")
        handle, part = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
        part = ""
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if part:
            with suppress(FileNotFoundError):  # the folder may have gone, and the file with it
                Path(part).unlink()


@contextmanager
def locked(
    path: Path, waiting: Callable[[], None], *, mode: int = 0o777, hint: str = "Set EDGECSP_HOME to a folder of yours"
) -> Iterator[None]:
    """One process at a time in the block: it holds the lock file `path`, whose folder is made with `mode`.

    `waiting` is called before the wait for another process. Raises `OutputError`, with the hint, when the place cannot
    be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=mode)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise OutputError(f"cannot write to {path.parent}: {error.strerror or error}. {hint}") from error
    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    # There is no way to read it but to set it; mkstemp's 0600 would surprise whoever shares the folder.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sha256(path: Union[str, Path]) -> str:
    """The hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def nearby(path: Union[str, Path]) -> str:
    """ "; did you mean X?" when the folder holds a name like it, else what the folder lacks."""
    path = Path(path)
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; there is no folder {path.parent} either"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean {path.parent / near[0]}?" if near else ""
