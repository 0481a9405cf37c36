"""Read and write darknet's `.weights`: a header, then every layer's floats in cfg order, little-endian.

Header: int32 major, minor, revision; then how many images were seen, uint64 from version 0.2 on, uint32
before. A convolution stores its bias, with batch-norm also scale, mean and variance, then its weights as
[filters][channels / groups][height][width]. A [connected] layer has its weights behind its bias, a [batchnorm] has no
weights (`graph.weights.stored_parts`; the original darknet's [batchnorm] stored no bias either, and its files do not
fit). Source: darknet parser.c, load_convolutional_weights and those beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Tuple

import numpy as np

from ...cache import files
from ...errors import BadWeights, SourceError
from ...graph.layers import Net
from ...types import Array


class WeightsFile:
    """Reads a `.weights` file for a net; the file's length is checked before anything is read.

    Raises `SourceError` (no such file) or `BadWeights` (too short, too long, not a weights file).
    """

    def __init__(self, path: Path, net: Net) -> None:
        if not path.is_file():
            raise SourceError(f"no weights file at {path}{files.suggest_similar(path)}")
        self.path = path
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(20)
        if len(head) < 20:
            raise BadWeights(f"{path} is {size} bytes; a .weights file begins with a header of 16 or 20 bytes")
        major, minor, self.revision = (int(v) for v in np.frombuffer(head[:12], "<i4"))
        self.version = (major, minor)
        if not (0 <= major < 1000 and 0 <= minor < 1000):
            raise BadWeights(f"{path} is not a .weights file: its header says version {major}.{minor}")
        wide = major * 10 + minor >= 2
        self.images_seen = int(np.frombuffer(head[12:], "<u8" if wide else "<u4", count=1)[0])
        start = 20 if wide else 16
        _check_length(path, net, start, size)
        self._floats = (
            np.memmap(path, "<f4", "r", offset=start, shape=(net.floats,)) if net.floats else np.zeros(0, np.float32)
        )
        self._next = 0

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """Return the next floats. Raises `BadWeights`, naming the layer, for NaN or infinite values."""
        count = int(np.prod(shape))
        values = np.array(self._floats[self._next : self._next + count], np.float32)
        self._next += count
        bad = count - int(np.isfinite(values).sum())
        if bad:
            raise BadWeights(
                f"{self.path}: {bad} of {count} {part} values of {at} are NaN or infinite; "
                "the file is damaged or does not fit this cfg"
            )
        return values.reshape(shape)


def _check_length(path: Path, net: Net, start: int, size: int) -> None:
    expected = start + 4 * net.floats
    if size == expected:
        return
    counts = f"this cfg needs {expected:,} bytes ({net.floats:,} floats), the file has {size:,}"
    if size > expected:
        raise BadWeights(
            f"{path} does not fit its cfg: {counts}; {size - expected:,} bytes are left over after the last layer"
        )
    end = start
    for layer in net.layers:
        end += 4 * layer.floats
        if end > size:
            raise BadWeights(
                f"{path} does not fit its cfg: {counts}; it ends in {layer.at or layer.op}. "
                "(A NAME.conv.N file holds only a backbone; take the full .weights.)"
            )


def write(file: BinaryIO, arrays: Tuple[Array, ...], images_seen: int = 0) -> None:
    """Write a `.weights` file (version 0.2) of the given arrays, in darknet's order."""
    file.write(np.array([0, 2, 5], "<i4").tobytes() + np.array([images_seen], "<u8").tobytes())
    for values in arrays:
        file.write(np.ascontiguousarray(values, "<f4").tobytes())
