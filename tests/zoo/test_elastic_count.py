"""The two Elastic rows of Table 3 are printed by ELASTIC's own counter: what it finds in these layers."""

from __future__ import annotations

import math
from typing import Tuple

import pytest

from edgecsp import zoo
from edgecsp.graph.layers import Net

# Twice the operations in billions, and millions of parameters, as the paper prints them.
PRINTED = {"densenet201-elastic": (8.77, 19.48), "cspdensenet201-elastic": (7.13, 20.17)}


def elastic_count(net: Net) -> Tuple[float, float]:
    """Operations in billions and parameters in millions as allenai/elastic (utils.py) counts them.

    Its networks normalise the maps that convolutions read, the stem's and the last one: two operations a value and two
    parameters a channel, a ReLU one; a pool costs its input; a multiplication and an addition are one.
    """
    convs = [layer for layer in net.layers if layer.op == "conv"]
    pools = [layer for layer in net.layers if layer.op in ("maxpool", "avgpool")]
    read = {layer.inputs[0] for layer in convs[1:-1]}
    inside = {at for at in read if net.layers[at].op == "avgpool" and net.layers[at].inputs[0] in read}
    (last,) = (layer.inputs[0] for layer in net.layers if layer.op == "global_avgpool")
    normalised = [net.layers[at].shape for at in {pools[0].inputs[0], last, *read} - inside]
    operations = sum(layer.flops for layer in convs) / 2 + sum(3 * math.prod(shape) for shape in normalised)
    operations += sum(math.prod(net.layers[layer.inputs[0]].shape) for layer in pools)
    parameters = net.weights + sum(2 * shape[0] for shape in normalised) + convs[-1].attrs["filters"]
    return operations / 1e9, parameters / 1e6


@pytest.mark.parametrize("name", PRINTED)
def test_the_printed_figures_are_those_of_elastics_counter(name: str) -> None:
    bflops, parameters = PRINTED[name]
    operations, counted = elastic_count(zoo.net(name))
    assert 2 * operations == pytest.approx(bflops, rel=0.006) and counted == pytest.approx(parameters, rel=0.001)
