"""The torch module computes what the exported graph computes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import zoo  # noqa: E402
from edgecsp.graph.export import RandomWeights, to_bytes  # noqa: E402
from edgecsp.train import from_cfg  # noqa: E402
from edgecsp.train import network as networks  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402


@pytest.mark.parametrize(
    "name", ["cspdensenetb-ref-prn", "csppeleenet-ref-efm-sam", "yolov4-tiny"], ids=["prn", "efm-sam", "groups"]
)
def test_the_network_is_the_exported_net(name: str) -> None:
    import onnxruntime

    net = zoo.net(name, (96, 64))
    network = Network(net).load(RandomWeights(3)).eval()
    session = onnxruntime.InferenceSession(to_bytes(net, RandomWeights(3), name), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 3, 96, 64), np.float32)
    with torch.no_grad():
        mine = network(torch.from_numpy(x))
    for a, b in zip(mine, session.run(None, {"images": x})):
        assert a.shape == b.shape
        assert np.abs(a.numpy() - b).max() < 1e-3 * max(1.0, np.abs(b).max())


# A pool reads the image itself, and the last layer is a leaky ReLU.
POOLS = """[net]
width=64
height=64
channels=3

[maxpool]
size=2
stride=2

[convolutional]
filters=18
size=1
activation=linear

[yolo]
mask=0,1,2
anchors=4,4,8,8,12,12
classes=1
num=3

[route]
layers=-2

[convolutional]
filters=18
size=1
activation=leaky
"""


def test_a_pool_of_the_image_has_no_activation() -> None:
    import onnxruntime

    net = from_cfg.entry("pools", POOLS).net()
    network = Network(net).load(RandomWeights(3)).eval()
    session = onnxruntime.InferenceSession(to_bytes(net, RandomWeights(3), "pools"), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32) - 0.5
    image = torch.from_numpy(x.copy())
    with torch.no_grad():
        mine = network(image)
    for a, b in zip(mine, session.run(None, {"images": x})):
        assert np.abs(a.numpy() - b).max() < 1e-4
    assert np.array_equal(image.numpy(), x)


@pytest.mark.parametrize("name", ["cspdensenetb-ref-prn", "csppeleenet-ref-prn", "yolov3-tiny"])
def test_gradients_are_those_of_the_layers_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concatenation and pooling are reordered for speed; torch's own, in the graph's order, are the oracle."""
    torch.manual_seed(0)
    net = zoo.net(name, (64, 64))
    fast = Network(net).start().to(memory_format=torch.channels_last)
    plain = Network(net).to(memory_format=torch.channels_last)
    plain.load_state_dict(fast.state_dict())
    x = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)
    assert fast._behind_pool
    outputs = fast(x)
    sum((out * out).sum() for out in outputs).backward()
    plain._behind_pool = set()
    monkeypatch.setattr(networks, "_concat", lambda maps: torch.cat(maps, 1))
    expected = plain(x)
    sum((out * out).sum() for out in expected).backward()
    for a, b in zip(outputs, expected):
        torch.testing.assert_close(a, b)
    for mine, theirs in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4 * float(theirs.grad.abs().max()))
