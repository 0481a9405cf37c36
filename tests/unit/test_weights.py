"""The `.weights` file: both headers, and every way of not fitting, by layer."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from edgecsp.errors import BadWeights, SourceError
from edgecsp.graph.layers import Net
from edgecsp.importers import darknet
from edgecsp.importers.darknet.weights import WeightsFile, write
from support.tiny import Tiny


def net() -> Net:
    made = Net(3, 8, 8)
    made.at = "layer 0 [convolutional] (line 5)"
    x = made.conv(made.input, 4, 3)
    made.at = "layer 1 [convolutional] (line 12)"
    made.conv(x, 2, 1, bn=False)
    return made


FLOATS = 4 * 4 + 4 * 27 + 2 + 8


def test_floats_are_counted_and_come_in_order(tmp_path: Path) -> None:
    assert net().floats == FLOATS
    path = tmp_path / "a.weights"
    values = np.arange(FLOATS, dtype=np.float32)
    with open(path, "wb") as file:
        write(file, (values[:7], values[7:]), images_seen=12345678901)
    weights = WeightsFile(path, net())
    assert (weights.version, weights.revision, weights.images_seen) == ((0, 2), 5, 12345678901)
    assert weights.take("bias", (4,), "").tolist() == [0, 1, 2, 3]
    assert weights.take("weights", (2, 3, 1, 1), "")[1].reshape(-1).tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("version", "head"),
    [((0, 1), struct.pack("<iiiI", 0, 1, 0, 77)), ((0, 2), struct.pack("<iiiQ", 0, 2, 0, 77)),
     ((1, 0), struct.pack("<iiiQ", 1, 0, 0, 77))],
)  # fmt: skip
def test_both_widths_of_seen(tmp_path: Path, version: tuple, head: bytes) -> None:
    path = tmp_path / "a.weights"
    path.write_bytes(head + np.full(FLOATS, 3, "<f4").tobytes())
    weights = WeightsFile(path, net())
    assert weights.version == version and weights.images_seen == 77
    assert weights.take("bias", (4,), "").tolist() == [3] * 4


def test_an_old_header_gives_the_same_model(tiny: Tiny, tmp_path: Path) -> None:
    old = tmp_path / "tiny.weights"
    old.write_bytes(struct.pack("<iiiI", 0, 1, 0, 0) + tiny.weights.read_bytes()[20:])
    a, b = darknet.load(tiny.cfg, old).model, tiny.model
    assert a.heads == b.heads and a.onnx.replace(a.origin["sha256"].encode(), b.origin["sha256"].encode()) == b.onnx


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is 0 bytes; a .weights file begins with a header"),
        (bytes(19), "is 19 bytes"),
        (struct.pack("<iiiQ", -1, 2, 5, 0), "is not a .weights file: its header says version -1.2"),
        (struct.pack("<iiiQ", 1936876886, 2, 5, 0), "version 1936876886.2"),
        (struct.pack("<iiiQ", 0, 2, 5, 0), "it ends in layer 0 [convolutional] (line 5)"),
        (struct.pack("<iiiQ", 0, 2, 5, 0) + bytes(4 * 124), "it ends in layer 1 [convolutional] (line 12)"),
        (struct.pack("<iiiQ", 0, 2, 5, 0) + bytes(4 * FLOATS - 1), "it ends in layer 1"),
        (struct.pack("<iiiQ", 0, 2, 5, 0) + bytes(4 * FLOATS + 1), "1 bytes are left over after the last layer"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.weights"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match=r"a\.weights") as caught:
        WeightsFile(path, net())
    assert said in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no weights file at"):
        WeightsFile(tmp_path / "a.weights", net())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_name_their_layer(tiny: Tiny, tmp_path: Path, value: float) -> None:
    data = bytearray(tiny.weights.read_bytes())
    data[20 + 4 * 40 : 20 + 4 * 41] = struct.pack("<f", value)
    path = tmp_path / "tiny.weights"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match=r"1 of 216 weights values of layer 0 \[convolutional\] \(line 6\) are NaN"):
        darknet.load(tiny.cfg, path)


@pytest.mark.parametrize(("value", "said"), [(-1.0, "variance of -1"), (3e38, None)])
def test_batch_norm_that_cannot_be(tiny: Tiny, tmp_path: Path, value: float, said: str) -> None:
    data = bytearray(tiny.weights.read_bytes())
    data[20 + 4 * 24 : 20 + 4 * 25] = struct.pack("<f", value)  # the first variance
    path = tmp_path / "tiny.weights"
    path.write_bytes(data)
    if said is None:
        darknet.load(tiny.cfg, path)
    else:
        with pytest.raises(BadWeights, match=rf"layer 0 \[convolutional\] \(line 6\): a batch-norm {said}"):
            darknet.load(tiny.cfg, path)


def test_batch_norm_that_overflows(tiny: Tiny, tmp_path: Path) -> None:
    data = bytearray(tiny.weights.read_bytes())
    data[20 + 4 * 8 : 20 + 4 * 9] = struct.pack("<f", 3e38)  # the first scale
    data[20 + 4 * 24 : 20 + 4 * 25] = struct.pack("<f", 0)
    path = tmp_path / "tiny.weights"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match=r"layer 0 .*folding the batch-norm overflows"):
        darknet.load(tiny.cfg, path)


def test_write_is_version_0_2() -> None:
    file = io.BytesIO()
    write(file, (np.ones(2, np.float32),))
    assert file.getvalue() == struct.pack("<iiiQff", 0, 2, 5, 0, 1, 1)
