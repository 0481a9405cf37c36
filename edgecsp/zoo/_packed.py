"""Trained weights as they ship: one .npz of half-precision kernels, everything else in full, and a record.

Kernels are 99 % of the floats and lose nothing that boxes would show; the few values of a batch-norm would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, List, Mapping, Tuple
from zipfile import BadZipFile

import numpy as np

from ..errors import BadWeights
from ..types import Array


class PackedWeights:
    """Gives a packed file's floats in darknet's order. `record` says how they were made.

    Raises `BadWeights` when the file is none of ours or does not hold what a net asks for.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                self._kernels, self._rest = content["kernels"], content["rest"]
                self.record: Dict[str, Any] = json.loads(content["record"].tobytes())
        except (OSError, ValueError, KeyError, EOFError, AttributeError, BadZipFile) as error:
            raise BadWeights(f"{path.name} does not hold packed weights: {error}") from error
        self._at = {"kernels": 0, "rest": 0}

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values, of a shape."""
        kind, source = ("kernels", self._kernels) if part == "weights" else ("rest", self._rest)
        begin, count = self._at[kind], int(np.prod(shape))
        if begin + count > len(source):
            raise BadWeights(f"{at}: the packed weights end before its {part}; they are for another network")
        self._at[kind] += count
        values: Array = source[begin : begin + count].astype(np.float32).reshape(shape)
        return values


def pack(file: BinaryIO, parts: Iterable[Tuple[str, Array]], record: Mapping[str, Any]) -> None:
    """Write (part, values) in darknet's order, and a record, to an open file. Raises `BadWeights` on overflow."""
    kernels: List[Array] = []
    rest: List[Array] = []
    for part, values in parts:
        (kernels if part == "weights" else rest).append(values.ravel())
    with np.errstate(over="ignore"):
        packed = np.concatenate(kernels).astype(np.float16)
    if not np.isfinite(packed).all():
        raise BadWeights("a kernel is too large for half precision")
    record_bytes = np.frombuffer(json.dumps(record, indent=1).encode(), np.uint8)
    np.savez_compressed(file, kernels=packed, rest=np.concatenate(rest).astype(np.float32), record=record_bytes)


def record_of(path: Path) -> Dict[str, Any]:
    """A packed file's record; its weights are not read."""
    with np.load(path, allow_pickle=False) as content:
        record: Dict[str, Any] = json.loads(content["record"].tobytes())
    return record
