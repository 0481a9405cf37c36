"""File storage: a local disk, or a store that pyarrow or fsspec supports (s3://, gs://, hdfs://, ...)."""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple
from urllib.parse import unquote, urlsplit

from ..cache import files
from ..errors import EngineUnavailable, OutputError, SourceError, UsageError
from ..media.sources import redact
from ..media.sources.network import SCHEMES
from ..system import install

FLAT = ("s3", "gcs")  # stores that know no folders: to make one is a request for nothing


def arrow() -> Any:
    """Import pyarrow. Raises `EngineUnavailable`."""
    try:
        import pyarrow
    except ImportError as error:
        raise EngineUnavailable(
            f"edgecsp batch writes Parquet with pyarrow, not installed here; type: {install.command('batch')}"
        ) from error
    return pyarrow


def is_uri(place: str) -> bool:
    """Whether a path is a URI of a remote store."""
    return "://" in place and not place.startswith("file://")


def local(place: str) -> str:
    """Return the absolute path of a local file, also of a file:// URI."""
    if place.startswith("file://"):
        place = unquote(urlsplit(place).path)
    return os.path.abspath(place)


def store(uri: str) -> Tuple[Any, str]:
    """Resolve a URI to a pyarrow file system and the path in it. Raises `UsageError`."""
    before, question, options = uri.partition("?")
    scheme, _, rest = before.partition("://")
    authority, _, path = rest.partition("/")
    system, root = _system(f"{scheme}://{authority}{question}{options}")
    return system, f"{root.rstrip('/')}/{unquote(path)}".rstrip("/")


def join_uri(uri: str, name: str) -> str:
    """Append a name to a URI's path, keeping its options (a region, an endpoint)."""
    before, question, options = uri.partition("?")
    return f"{before.rstrip('/')}/{name.translate(_ESCAPES)}{question}{options}"


_ESCAPES = str.maketrans({char: f"%{ord(char):02X}" for char in "%?#"})  # what would mean something in a URI


@lru_cache(maxsize=64)  # to find a bucket's region is a request
def _system(uri: str) -> Tuple[Any, str]:
    arrow()
    from pyarrow import ArrowInvalid
    from pyarrow import fs as systems

    scheme = uri.partition("://")[0]
    if scheme in SCHEMES:
        raise UsageError(
            f"{redact(uri)}: {scheme}:// is a stream, not a store of files; copy it first, or use: edgecsp run"
        )
    try:
        system, root = systems.FileSystem.from_uri(uri)
        return system, root
    except OSError as error:
        raise SourceError(f"cannot reach {redact(uri)}: {_reason(error)}") from error
    except ArrowInvalid as refused:
        try:
            import fsspec

            file_system, root = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"{redact(uri)}: neither pyarrow nor fsspec supports {scheme}:// here ({refused}; {error}); install "
                "fsspec's package for it, or give a path, s3:// or gs://"
            ) from refused
        return systems.PyFileSystem(systems.FSSpecHandler(file_system)), root


def stamp(place: str) -> Optional[List[int]]:
    """Read a file's size in bytes and modification time in ns, to notice changes; None if it is missing."""
    if is_uri(place):
        system, path = store(place)
        info = system.get_file_info(path)
        return [int(info.size), int(info.mtime_ns or 0)] if info.is_file else None
    try:
        status = os.stat(place)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else None


@contextmanager
def open_remote(place: str) -> Iterator[Any]:
    """Open a remote file for random reads. Raises `SourceError`."""
    system, path = store(place)
    try:
        with system.open_input_file(path) as file:
            yield file
    except OSError as error:
        raise SourceError(f"cannot read {redact(place)}: {_reason(error)}") from error


class Folder:
    """A folder on a disk or in a store, with atomic writes. Raises `OutputError`."""

    def __init__(self, place: str) -> None:
        self.label = redact(place)
        self.place = place if is_uri(place) else local(place)
        self._store: Any = None
        if is_uri(place):
            self._store, self._root = store(place)
        else:
            self._root = self.place

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing an existing one."""
        if self._store is None:
            with files.atomic(os.path.join(self._root, name)) as file:
                file.write(data)
            return
        try:
            target = f"{self._root}/{name}"
            if self._store.type_name not in FLAT:
                self._store.create_dir(target.rpartition("/")[0], recursive=True)
            # A stream that an error closes leaves a truncated file, so the file is renamed once it is complete.
            part = f"{target}.{uuid.uuid4().hex[:12]}.part"
            with self._store.open_output_stream(part) as stream:
                stream.write(data)
            self._store.move(part, target)
        except OSError as error:
            raise OutputError(f"cannot write {self.label}/{name}: {_reason(error)}") from error

    def read(self, name: str) -> Optional[bytes]:
        """Read a file's bytes, None if it is missing."""
        try:
            if self._store is None:
                return Path(self._root, name).read_bytes()
            with self._store.open_input_stream(f"{self._root}/{name}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"cannot read {self.label}/{name}: {_reason(error)}") from error

    def names(self, under: str) -> List[str]:
        """List the files below a subfolder, sorted, relative to this folder."""
        if self._store is None:
            paths = [path for path in Path(self._root, under).rglob("*") if path.is_file()]
            return sorted(path.relative_to(self._root).as_posix() for path in paths)
        from pyarrow import fs as systems

        selector = systems.FileSelector(f"{self._root}/{under}", allow_not_found=True, recursive=True)
        strip = len(self._root.rstrip("/")) + 1
        return sorted(info.path[strip:] for info in self._store.get_file_info(selector) if info.is_file)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        try:
            if self._store is None:
                Path(self._root, name).unlink(missing_ok=True)
            elif self._store.get_file_info(f"{self._root}/{name}").is_file:
                self._store.delete_file(f"{self._root}/{name}")
        except OSError as error:
            raise OutputError(f"cannot remove {self.label}/{name}: {_reason(error)}") from error

    def remove_leftovers(self, under: str) -> None:
        """Remove partial files of killed writers below a subfolder."""
        parts = [name for name in self.names(under) if name.endswith(".part")]
        if self._store is None:
            for folder in {Path(self._root, name).parent for name in parts}:
                files.remove_leftovers(folder)
            return
        for name in parts:
            self.remove(name)


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())[:200]
