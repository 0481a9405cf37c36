"""The tape: shapes and costs by hand-worked examples, and calls that cannot be meant."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest

from edgecsp.errors import BadModel, BadWeights
from edgecsp.graph.export import RandomWeights, fold_batch_norm, to_bytes
from edgecsp.graph.layers import MAX_LAYERS, MAX_SIDE, Net


def test_costs_are_counted_as_the_paper_counts_them() -> None:
    net = Net(3, 416, 416)
    x = net.conv(net.input, 16, 3)
    assert (net.weights, net.floats) == (432, 432 + 16 * 4)
    assert net.bflops == pytest.approx(2 * 432 * 416 * 416 / 1e9)
    x = net.maxpool(x, 2, 2)
    assert net.bflops == pytest.approx((2 * 432 * 416 * 416 + 4 * 16 * 208 * 208) / 1e9)
    net.conv(x, 32, 3, groups=4, stride=2, bn=False)
    assert net.weights == 432 + 32 * 4 * 9 and net.floats == 432 + 64 + 32 * 4 * 9 + 32
    before = net.bflops
    net.upsample(net.concat(x, net.shortcut(x, x)), 2)
    net.global_avgpool(x)
    net.avgpool(x, 3, 1)
    assert net.bflops == before


def test_pools_pad_where_darknet_does() -> None:
    net = Net(1, 13, 13)
    pads = [net.layers[net.maxpool(net.input, k, s, padding=p).layer].attrs["pads"] for k, s, p in
            ((2, 1, None), (2, 2, None), (5, 1, None), (3, 2, None), (2, 2, 0), (4, 1, None))]  # fmt: skip
    assert pads == [(0, 0, 1, 1), (0, 0, 1, 1), (2, 2, 2, 2), (1, 1, 1, 1), (0, 0, 0, 0), (1, 1, 2, 2)]
    even = Net(1, 12, 12)
    assert even.layers[even.maxpool(even.input, 2, 2).layer].attrs["pads"] == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda n: n.conv(n.input, 0, 3),
        lambda n: n.conv(n.input, 4, 3, groups=2),
        lambda n: n.conv(n.input, 4, 3, groups=3),
        lambda n: n.conv(n.input, 4, 3, pad=-1),
        lambda n: n.conv(n.input, 4, 99, pad=0),
        lambda n: n.conv(n.input, 4, 3, act="loud"),
        lambda n: n.conv(n.input, 10**8, 1),
        lambda n: n.maxpool(n.input, 0, 1),
        lambda n: n.maxpool(n.input, 2, 1, padding=4),
        lambda n: n.maxout(n.input, 2),
        lambda n: n.concat(),
        lambda n: n.concat(n.input, n.maxpool(n.input, 2, 2)),
        lambda n: n.slice(n.input, 1, 4),
        lambda n: n.slice(n.input, 2, 2),
        lambda n: n.shortcut(n.input, n.maxpool(n.input, 2, 2)),
        lambda n: n.mul(n.input, n.maxpool(n.input, 2, 2)),
        lambda n: n.upsample(n.input, 0),
        lambda n: n.upsample(n.input, MAX_SIDE),
        lambda n: n.yolo(n.input, classes=2, anchors_wh=[(1, 2)]),
        lambda n: n.scores(n.input),
        lambda n: Net(3, 0, 8),
        lambda n: Net(3, 8, MAX_SIDE + 1),
        lambda n: Net(3, MAX_SIDE, MAX_SIDE),
        lambda n: [n.upsample(n.conv(n.input, 1, 1, act="linear"), 2) for _ in range(MAX_LAYERS)],
    ],
)
def test_impossible_layers_are_refused(call) -> None:
    with pytest.raises(BadModel):
        call(Net(3, 8, 8))


def test_messages_stay_short_however_many_maps() -> None:
    net = Net(3, 8, 8)
    with pytest.raises(BadModel) as caught:
        net.concat(*[net.input] * 3000, net.maxpool(net.input, 2, 2))
    assert len(str(caught.value)) < 200


def run(net: Net, x: np.ndarray) -> list:
    proto = onnx.load_model_from_string(to_bytes(net, RandomWeights(3), "t"))
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": x})


def test_layers_that_darknet_has_not() -> None:
    """slice with a step, add and mul of a vector or a map, scale, an output that is the picture itself."""
    net = Net(4, 6, 6)
    x = net.input
    gate = net.global_avgpool(x)
    place = net.maxout(x, 1)
    y = net.concat(net.slice(x, 0, 4, 2), net.slice(x, 1, 4, 2))  # a channel shuffle
    y = net.scale(net.mul(net.add(y, gate), place), 0.5)
    for out in (y, y, net.input):
        net.yolo(net.concat(out, net.slice(out, 0, 2)), classes=1, anchors_wh=[(1, 2)])
    picture = np.random.default_rng(0).random((1, 4, 6, 6), np.float32)
    first, second, third = run(net, picture)
    shuffled = picture[:, [0, 2, 1, 3]]
    wanted = (shuffled + picture.mean((2, 3), keepdims=True)) * picture.max(1, keepdims=True) * 0.5
    assert np.abs(first[:, :4] - wanted).max() < 1e-6 and (first == second).all()
    assert (third == picture[:, [0, 1, 2, 3, 0, 1]]).all()


def test_one_map_may_be_two_heads() -> None:
    net = Net(3, 8, 8)
    x = net.conv(net.input, 6, 1)
    net.yolo(x, classes=1, anchors_wh=[(1, 2)])
    net.yolo(x, classes=1, anchors_wh=[(3, 4)])
    a, b = run(net, np.ones((1, 3, 8, 8), np.float32))
    assert (a == b).all()


def test_random_weights_are_seeded_and_keep_activations_their_size() -> None:
    net = Net(3, 32, 32)
    x = net.input
    for _ in range(12):
        x = net.conv(x, 16, 3)
    net.yolo(net.conv(x, 6, 1, bn=False, act="linear"), classes=1, anchors_wh=[(1, 2)])
    a, b = (to_bytes(net, RandomWeights(5), "t") for _ in range(2))
    assert a == b
    (out,) = run(net, np.random.default_rng(0).random((1, 3, 32, 32), np.float32))
    assert 0.01 < np.abs(out).mean() < 100


class Given:
    def __init__(self, **parts: float) -> None:
        self.parts = parts

    def take(self, part: str, shape: tuple, at: str) -> np.ndarray:
        return np.full(shape, self.parts[part], np.float32)


def fold(variance: float) -> tuple:
    net = Net(1, 2, 2)
    net.conv(net.input, 1, 1)
    kernel, bias = fold_batch_norm(net.layers[0], Given(bias=1, scale=2, mean=3, variance=variance, weights=1), "here")
    return kernel.item(), bias.item()


@pytest.mark.parametrize("variance", [0.0, 3e-5, 4.0])
def test_the_epsilon_is_under_the_root(variance: float) -> None:
    factor = 2 / math.sqrt(variance + 1e-5)
    assert fold(variance) == pytest.approx((factor, 1 - 3 * factor), rel=1e-6)


@pytest.mark.parametrize("variance", [-7e-44, -1e-30, -1e-8])
def test_a_variance_that_rounding_put_below_zero_is_zero(variance: float) -> None:
    assert fold(variance) == fold(0.0)


@pytest.mark.parametrize("variance", [-4, -1e-3])
def test_a_variance_below_zero_is_refused(variance: float) -> None:
    with pytest.raises(BadWeights, match=r"^here: a batch-norm variance of -"):
        fold(variance)
