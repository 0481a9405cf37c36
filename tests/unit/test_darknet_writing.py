"""Networks written as darknet's files are read back as the same networks, and give the same heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest

from edgecsp import backends, zoo
from edgecsp.errors import BadModel
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.layers import Net
from edgecsp.importers import darknet
from edgecsp.importers.darknet import cfg, layers, writing
from edgecsp.types import Input
from edgecsp.zoo import store
from edgecsp.zoo._packed import PackedWeights

WITH_HEADS = [name for name in zoo.names() if zoo.get(name).anchors]


def described(net: Net) -> List[Tuple[Any, ...]]:
    """Layers as data; which of two factors is named first is no difference."""
    order = {"mul": lambda inputs: tuple(sorted(inputs))}
    return [(each.op, order.get(each.op, tuple)(each.inputs), each.shape, each.attrs) for each in net.layers]


def read_back(net: Net, anchors: Any) -> Net:
    return layers.build(cfg.parse(writing.text(net, anchors)))[0].net


@pytest.mark.parametrize("name", WITH_HEADS)
def test_a_cfg_is_the_tape_that_it_was_written_from(name: str) -> None:
    entry = zoo.get(name)
    for net in (entry.net(), entry.net((64, 96), 3, scale_xy=(2.0,) * len(entry.masks))):
        again = read_back(net, entry.anchors)
        assert described(again) == described(net)
        assert again.heads == net.heads and (again.bflops, again.floats) == (net.bflops, net.floats)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_HEADS)
def test_random_weights_give_the_same_heads_by_way_of_darknets_files(name: str, tmp_path: Path) -> None:
    entry, made = zoo.get(name), (tmp_path / "best.cfg", tmp_path / "best.weights")
    net = entry.net((64, 64), 2)
    writing.write(net, RandomWeights(7), entry.anchors, *made)
    model = onnx_model.build(net, RandomWeights(7), name=name, labels=("a", "b"), input=Input((64, 64), "stretch"))
    batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    wanted, got = (backends.open(each, "ort").run(batch) for each in (model, darknet.load(*made).model))
    assert len(got) == len(entry.masks)
    for a, b in zip(got, wanted):
        assert np.ptp(b) > 0.1, "and they differ from place to place"
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def test_the_model_in_the_box_gives_the_same_heads_by_way_of_darknets_files(tmp_path: Path) -> None:
    entry, made = zoo.get("codes"), (tmp_path / "codes.cfg", tmp_path / "codes.weights")
    assert entry.bundled is not None
    writing.write(entry.net(), PackedWeights(entry.bundled), entry.anchors, *made)
    model, batch = darknet.load(*made, resize="stretch").model, np.random.default_rng(0).random((1, 3, 320, 320))
    wanted, got = (backends.open(each, "ort").run(batch.astype(np.float32)) for each in (store.resolve("codes"), model))
    assert len(got) == 2 and all(np.array_equal(a, b) for a, b in zip(got, wanted))
    assert np.ptp(wanted[0]) > 1, "and they say something"


ANCHORS = [(9.0, 9.5), (20.25, 30.0)]


def headed(net: Net, x: Any, mask: Tuple[int, ...] = (0, 1), **more: Any) -> Net:
    x = net.conv(x, 6 * len(mask), 1, bn=False, act="linear")
    net.yolo(x, classes=1, anchors_wh=[ANCHORS[i] for i in mask], mask=mask, **more)
    return net


def test_layers_that_no_zoo_model_has_come_back() -> None:
    net = Net(3, 64, 64)
    x = net.conv(net.input, 16, 3, stride=(2, 1), act="mish")
    x = net.conv(x, 16, 3, dilation=2, groups=4, stride=(1, 2))
    x = net.avgpool(net.maxpool(x, 3, 1, padding=0), 3, 1)
    gate = net.conv(net.global_avgpool(x), 16, 1, bn=False, act="logistic")
    x = net.mul(x, gate, "leaky")
    x = net.shortcut(x, net.conv(x, 4, 1), "relu")  # fewer channels
    x = net.shortcut(net.conv(x, 8, 1), x)  # more channels
    place = net.conv(x, 1, 1, act="logistic")
    x = net.scale(net.upsample(net.mul(x, place), 2), 0.5)
    x = net.concat(net.slice(x, 4, 8), net.slice(x, 2, 4))
    headed(net, x, scale_xy=1.05)
    headed(net, net.maxpool(x, 2, 2), mask=(1,), new_coords=True)
    again = read_back(net, ANCHORS)
    assert described(again) == described(net) and again.heads == net.heads


def test_layers_of_older_darknets_come_back() -> None:
    net = Net(3, 64, 64)
    first = net.conv(net.crop(net.input, 32, 32, 16, 16), 8, 3, act="linear")
    x = net.batchnorm(net.conv(first, 8, 3))
    kernel = net.conv(x, 8, 3, act="linear")
    x = net.conv(kernel, 8, 3, dilation=2, share=kernel, act="relu")
    x = net.reorg3d(net.reorg(x, 2), 2)
    anchors = [(24.0, 8.0), (12.0, 4.0)]
    net.region(net.conv(x, 14, 1, bn=False, act="linear"), classes=2, cells_wh=[(3, 1), (1.5, 0.5)])
    net.gaussian_yolo(net.conv(x, 22, 1, bn=False, act="linear"), classes=2, anchors_wh=anchors, mask=(0, 1))
    net.yolo(net.connected(x, 14, act="linear"), classes=2, anchors_wh=anchors, mask=(0, 1))
    again = read_back(net, anchors)
    assert described(again) == described(net) and again.heads == net.heads


def test_heads_keep_their_order() -> None:
    net = Net(3, 64, 64)
    fine = net.conv(net.conv(net.input, 8, 3, stride=2), 12, 1, bn=False, act="linear")
    coarse = net.conv(net.conv(fine, 8, 3, stride=2), 12, 1, bn=False, act="linear")
    for x in (coarse, fine, fine):
        net.yolo(x, classes=1, anchors_wh=ANCHORS, mask=(0, 1))
    again = read_back(net, ANCHORS)
    assert described(again) == described(net) and again.heads == net.heads
    assert [head.stride for _, head in again.heads] == [4, 2, 2]


def cut() -> Net:
    net = Net(3, 64, 64)
    return headed(net, net.slice(net.conv(net.input, 8, 3), 3, 8))


def branched() -> Net:
    net = Net(3, 64, 64)
    x = net.conv(net.input, 8, 3, act="linear")
    return headed(net, net.concat(x, net.act(x, "relu")))


def behind_a_join() -> Net:
    net = Net(3, 64, 64)
    x = net.conv(net.input, 8, 3)
    return headed(net, net.act(net.concat(x, x), "relu"))


def two_stems() -> Net:
    net = Net(3, 64, 64)
    return headed(net, net.concat(net.conv(net.input, 8, 3), net.conv(net.input, 8, 1)))


def uneven() -> Net:
    net = Net(3, 64, 64)
    return headed(net, net.conv(net.input, 8, (3, 1)))


def vector() -> Net:
    net = Net(3, 64, 64)
    x = net.conv(net.input, 8, 3)
    return headed(net, net.add(x, net.global_avgpool(x)))


def off_centre() -> Net:
    net = Net(3, 64, 64)
    return headed(net, net.crop(net.conv(net.input, 8, 3), 32, 32, 0, 0))


def shifted() -> Net:
    net = Net(3, 64, 64)
    return headed(net, net.shift(net.conv(net.input, 8, 3), 1))


def scores() -> Net:
    net = Net(3, 64, 64)
    net.scores(net.global_avgpool(net.conv(net.input, 8, 3)))
    return net


WRONG = [
    (cut, "takes channels 3:8:1 of 8"),
    (branched, "layer 0 of the tape is read with act and without"),
    (behind_a_join, "is act behind concat"),
    (two_stems, "the input image is read by more than the first layer"),
    (uneven, "a convolution that is not square"),
    (vector, "adds maps of two shapes"),
    (scores, "is no YOLO head"),
    (off_centre, "cuts out a part that is not the middle"),
    (shifted, "is shift, which darknet has no section for"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[make.__name__ for make, _ in WRONG])
def test_what_a_cfg_cannot_state_is_not_written(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=message):
        writing.write(make(), RandomWeights(0), ANCHORS, tmp_path / "x.cfg", tmp_path / "x.weights")
    assert not list(tmp_path.iterdir())


def test_anchors_must_be_those_of_the_heads() -> None:
    net = Net(3, 64, 64)
    with pytest.raises(BadModel, match="which its mask does not choose"):
        writing.text(headed(net, net.conv(net.input, 8, 3)), [(1.0, 2.0), (3.0, 4.0)])
