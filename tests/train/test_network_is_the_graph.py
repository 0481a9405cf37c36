"""The torch module computes what the exported graph computes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import zoo  # noqa: E402
from edgecsp.graph.export import RandomWeights, to_bytes  # noqa: E402
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
