"""A cache of decoded images between epochs: in memory, in a file that is mapped, or none.

    store = open_store("disk", count=200_000, side=400, folder=run_folder)
    kept = store.put(image)      # once an image, while the data set is read
    store.seal()
    store.get(kept)              # in any process

An image is at most `side` pixels wide and high, 3 bytes a pixel.
"""

from __future__ import annotations

import mmap
import os
import shutil
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from ..errors import OutputError, UsageError
from ..system import memory
from ..types import Array

CHOICES = ("ram", "disk", "none")
FILE = "images.cache"
_SHARE = 0.4  # of the free memory, without being asked for it
_SPARE_BYTES = 1 << 30  # of the disk stay free: the run itself writes there


class MemoryStore:
    """Images as they are."""

    name = "in memory"

    def put(self, image: Array) -> Any:
        """Keep an image; what `get` wants for it."""
        return image

    def seal(self) -> None:
        """All images are there."""

    def get(self, token: Any) -> Array:
        """The image, (h, w, 3) uint8."""
        image: Array = token
        return image

    def close(self) -> None:
        """Give back what is held."""


class DiskStore:
    """Images one behind the other in a file, which every process maps for itself; it goes with its `DiskStore`.

    A run that was killed leaves the file; the next one in its folder begins it anew. Raises `OutputError`.
    """

    name = "in a file on disk"

    def __init__(self, path: Path, most: int) -> None:
        self.path, self._end = path, 0
        self._map: Optional[mmap.mmap] = None
        free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.exists() else 0)
        if most + _SPARE_BYTES > free:
            raise OutputError(
                f"--cache disk: the images take up to {_size(most)} and {_size(_SPARE_BYTES)} must stay free, "
                f"but {path.parent} has {_size(free)}; use --cache none, or a --name on another disk"
            )
        try:
            self._file: Any = open(path, "wb")  # noqa: SIM115 - open as long as the images are being read
        except OSError as error:
            raise self._failure(error) from error
        self._remove = weakref.finalize(self, _unlink, path, os.getpid())

    def put(self, image: Array) -> Any:
        """Write an image; what `get` wants for it."""
        offset, self._end = self._end, self._end + image.nbytes
        try:
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise self._failure(error) from error
        return offset, image.shape

    def seal(self) -> None:
        """All images are there: nothing is left in a buffer, which a forked process would have as well."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def get(self, token: Any) -> Array:
        """A copy of the image, (h, w, 3) uint8."""
        offset, shape = token
        if self._map is None:
            try:
                with open(self.path, "rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise OutputError(f"--cache disk: cannot read {self.path}: {error}; continue with --resume") from error
        pixels: Array = np.frombuffer(self._map, np.uint8, int(np.prod(shape)), offset)
        image: Array = pixels.reshape(shape).copy()
        return image

    def close(self) -> None:
        """Remove the file."""
        self._map = None
        self._remove()

    def _failure(self, error: OSError) -> OutputError:
        self._remove()
        return OutputError(
            f"--cache disk: cannot write {self.path}: {error.strerror or error}; "
            "use --cache none, or a --name on another disk"
        )

    def __getstate__(self) -> Any:
        """For a worker process that is not forked: it maps the file itself, and leaves it there."""
        return {"path": self.path, "_map": None}


def _unlink(path: Path, process: int) -> None:
    if os.getpid() == process:  # not in a forked worker that ends
        with suppress(OSError):
            path.unlink()


Store = Union[MemoryStore, DiskStore]


def check(choice: Optional[str]) -> None:
    """Raises `UsageError` for a cache that there is not."""
    if choice not in (None, *CHOICES):
        raise UsageError(f"--cache {choice}: {', '.join(CHOICES)}")


def open_store(
    choice: Optional[str], count: int, side: int, folder: Path, process: int = 0, processes: int = 1
) -> Optional[Store]:
    """A store for `count` images of at most `side` x `side`, or None where they are to be read again each time.

    `wanted` is "ram", "disk", "none", or None: in memory where they fit. Raises `UsageError` where "ram" does not fit,
    `OutputError` where "disk" does not. Of several training `processes` on this machine each keeps its own.
    """
    check(choice)
    most = count * side * side * 3
    free = memory.free()
    if choice == "disk":
        return DiskStore(folder / (FILE if processes == 1 else f"{FILE}.{process}"), most)
    most *= processes
    if choice == "ram" and free is not None and most > free.available * 0.9:
        raise UsageError(
            f"--cache ram: the images take up to {_size(most)}, and {_size(free.available)} of memory is free; "
            "use --cache disk or --cache none"
        )
    if choice == "ram" or (choice is None and (free is None or most < free.available * _SHARE)):
        return MemoryStore()
    return None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
