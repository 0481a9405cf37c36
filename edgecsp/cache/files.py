"""Atomic files, their partial files, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Dict, Iterable, Iterator, Mapping, Optional, Tuple, Union

from ..errors import OutputError, ReaderGone, SourceError, UsageError

LOG = logging.getLogger(__name__)
NAME_BYTES = 255  # of a file's name, on nearly every file system

_PART = re.compile(r"\..*\.edgecsp-[a-z0-9_]{8}\.part", re.DOTALL)
_LOCKED_BYTE = 1 << 62  # behind any file's end: on a Windows share nobody may write where another holds a lock


@contextmanager
def atomic(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """Open a binary file for writing that gets its name when the block ends well, and vanishes otherwise.

    Missing folders are made, a symlink stays and the file it leads to is replaced. What is no regular file (a device, a
    FIFO, /dev/stdout, /dev/fd/N) is written into as it comes. Raises `OutputError` when the place cannot be written,
    `ReaderGone` when it is a pipe that nobody reads any more.
    """
    with _failures(path):
        stream = _stream(Path(path))
        if stream is not None:
            with os.fdopen(stream, "wb") as file:
                yield file
            return
        with PartFile(path) as part:
            with os.fdopen(os.dup(part.handle), "wb") as file:
                yield file
            part.finish()


@contextmanager
def atomic_group(contents: Mapping[Path, bytes]) -> Iterator[Dict[Path, PartFile]]:
    """Write several files that get their names when the block ends well; otherwise none does, and older ones stay.

    Gives the files under way by the names that they will have: the block may read them, and `drop` what is not to be.
    All are on the disk before the first gets its name. Raises `OutputError` for the file that cannot be written.
    """
    with ExitStack() as stack:
        parts: Dict[Path, PartFile] = {}
        for path, data in contents.items():
            with _failures(path):
                part = parts[path] = stack.enter_context(PartFile(path))
                with os.fdopen(os.dup(part.handle), "wb") as file:
                    file.write(data)
                os.fsync(part.handle)
        yield parts
        for path, part in parts.items():
            with _failures(path):
                if part.is_open:
                    part.finish()


def write_new(names: Iterable[Path], data: bytes) -> Path:
    """Write a whole file under the first of `names` that is free, and return that; nothing is replaced.

    Raises `OutputError`.
    """
    names = iter(names)
    first = next(names)
    with _failures(first), PartFile(first) as part:
        with os.fdopen(os.dup(part.handle), "wb") as file:
            file.write(data)
        return part.finish(_chain_links(first, names))


def _chain_links(first: Path, names: Iterable[Path]) -> Iterator[Path]:
    yield first
    yield from names


@contextmanager
def _failures(path: Union[str, Path]) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone(f"nobody reads {path} any more") from None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


class PartFile:
    """A file under way: it is written at `path`, beside the place that it gets when it is whole.

    It is locked as long as its writer lives, so that `remove_leftovers` takes only what dead ones left. As a context
    manager it is removed unless it was finished. Raises `OSError`, and `OutputError` when the place is a folder.
    """

    def __init__(self, target: Union[str, Path]) -> None:
        self._target = Path(os.path.realpath(target)) if os.path.islink(target) else Path(target)
        self._stream = _stream(Path(target))
        folder = self._target.parent if self._stream is None else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(os.path.abspath(folder))
        self.handle, self.path = _create_part(folder, self._target.name)
        self._open = self._has_handle = True

    def finish(self, names: Optional[Iterable[Path]] = None) -> Path:
        """Give the file its name, or with `names` the first of them that is free; return that name."""
        os.fsync(self.handle)
        os.chmod(self.path, 0o666 & ~_umask())
        self._release()
        if self._stream is not None:
            with open(self.path, "rb") as whole, os.fdopen(os.dup(self._stream), "wb") as stream:
                shutil.copyfileobj(whole, stream)
            self.path.unlink()
        elif names is None:
            os.replace(self.path, self._target)
        else:
            self._target = next(name for name in names if _rename(self.path, name))
        self._close()
        return self._target

    @property
    def is_open(self) -> bool:
        """Whether it is still under way: neither finished nor dropped."""
        return self._open

    def drop(self) -> None:
        """Remove the file; after `finish` it does nothing."""
        if self._open:
            self._release()
            with suppress(FileNotFoundError):  # the folder may have gone, and the file with it
                self.path.unlink()
            self._close()

    def _release(self) -> None:
        """Close the file where an open one can be neither renamed nor removed; elsewhere its lock stays until then."""
        if os.name == "nt":
            self._close_handle()

    def _close_handle(self) -> None:
        if self._has_handle:
            self._has_handle = False
            os.close(self.handle)

    def _close(self) -> None:
        self._open = False
        self._close_handle()
        if self._stream is not None:
            os.close(self._stream)

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


def _create_part(folder: Path, name: str) -> Tuple[int, Path]:
    """A new part, open and locked; its name has few bytes, whatever `name` is made of."""
    while True:
        handle, path = tempfile.mkstemp(prefix=f".{name[:24]}.edgecsp-", suffix=".part", dir=folder)
        _lock(handle, wait=True)
        if os.path.exists(path):  # not taken for a leftover before it was locked
            return handle, Path(path)
        os.close(handle)


def _rename(part: Path, name: Path) -> bool:
    """Whether the part got the name, which must not be there; of two that try, one does."""
    try:
        os.link(part, name)
    except FileExistsError:
        return False
    except OSError:  # this disk has no hard links (exFAT): hold the name for the moment of the renaming
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        try:
            os.replace(part, name)
        except OSError:
            name.unlink()
            raise
    else:
        part.unlink()
    return True


def remove_leftovers(folder: Union[str, Path]) -> None:
    """Remove the parts of dead writers from a folder; a living writer, also on another machine, has its own locked."""
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if _PART.fullmatch(entry.name)]:
            with suppress(OSError):
                handle = os.open(os.path.join(folder, name), os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
                try:
                    if _lock(handle, wait=False):
                        os.unlink(os.path.join(folder, name))
                finally:
                    os.close(handle)


@lru_cache(maxsize=1024)
def _remove_leftovers_once(folder: str) -> None:
    # Once in a process: to list a folder for each image that is written there would take longer and longer.
    remove_leftovers(folder)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file until it is closed everywhere in this process; False when another has it, or it cannot be.

    Linux's locks of open file descriptions: unlike POSIX's they do not end when FFmpeg closes the same file.
    """
    if sys.platform != "linux":
        return False
    try:
        import fcntl
    except ImportError:
        return False
    command = 38 if wait else 37  # F_OFD_SETLKW and F_OFD_SETLK, which Python 3.8 has no names for
    try:
        fcntl.fcntl(handle, command, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0))
    except OSError:
        return False
    return True


def _stream(path: Path) -> Optional[int]:
    """A descriptor to write into, where the path leads to no regular file; None where a file is made or replaced."""
    number = descriptor(path)
    if number is not None:
        return os.dup(number)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OutputError(f"cannot write {path}: it is a folder; give a file name")
    if stat.S_ISREG(mode):
        return None
    return os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))  # no O_CREAT: should it go, no file takes its place


def descriptor(path: Union[str, Path]) -> Optional[int]:
    """The number of our own open file that /dev/stdout, /dev/fd/3 or a link to one of them means; None for others."""
    ours = ("/dev/fd", f"/proc/{os.getpid()}/fd")
    for _ in range(40):  # links, as the kernel counts them
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if folder in ours and name.isascii() and name.isdigit():
            return int(name)
        place = os.path.join(folder, name)
        if not os.path.islink(place):
            return None
        path = os.path.join(folder, os.readlink(place))
    return None


def refuse_sources(target: Union[str, Path], sources: Iterable[Union[str, Path, None]]) -> None:
    """Raise `UsageError` when writing `target` would replace one of the files that are read."""
    if os.path.realpath(target) in {os.path.realpath(source) for source in sources if source is not None}:
        raise UsageError(f"writing {target} would replace a source; give -o another name")


def check_target(target: Union[str, Path]) -> None:
    """Raise `OutputError` now where `target` could not be written after long work."""
    place = Path(target)
    if place.is_file() or place.is_dir() or not os.path.lexists(place):  # neither a device nor a pipe
        with _failures(target):
            PartFile(target).drop()


def shorten(name: str, most_bytes: int) -> str:
    """The beginning of a name, cut between two characters to so many bytes of UTF-8."""
    while len(name.encode("utf-8", "surrogateescape")) > most_bytes:
        name = name[:-1]
    return name


@contextmanager
def locked(
    path: Path, waiting: str, *, mode: int = 0o777, hint: str = "Set EDGECSP_HOME to a folder of yours"
) -> Iterator[None]:
    """Let one process at a time into the block: it holds the lock file `path`, whose folder is made with `mode`.

    `waiting` is logged before the wait for another process. Raises `OutputError`, with the hint, when the place cannot
    be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=mode)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            LOG.warning("%s", waiting)
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


def read(path: Union[str, Path], most: int = -1, *, suggest: bool = False) -> bytes:
    """Read a file, or its first `most` bytes. Raises `SourceError`, which may suggest a file of a similar name."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        hint = suggest_similar(path) if suggest else ""
        raise SourceError(f"cannot read {path}: {error.strerror}{hint}") from error


def digest_of(path: Union[str, Path], kind: str = "sha256") -> str:
    """The hex digest of a file, read in pieces; `kind` is hashlib's name for it."""
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def suggest_similar(path: Union[str, Path]) -> str:
    """ "; did you mean X?" when the folder holds a name like it, else what the folder lacks."""
    path = Path(path)
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; there is no folder {path.parent} either"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def home(kind: str) -> Path:
    """Return the folder of all that edgecsp keeps: $EDGECSP_HOME, else the platform's for "data" or for a "cache"."""
    folder = os.environ.get("EDGECSP_HOME")
    if folder:
        return Path(folder).expanduser().absolute()
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_dir")("edgecsp", appauthor=False))
