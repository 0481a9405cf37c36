"""A `Net` as a torch module: one architecture, not two. Weights leave and return in darknet's order."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UsageError
from ..graph.export import BN_EPSILON, Weights
from ..graph.layers import Layer, Net
from ..processing.heads.yolo import Yolo

# Where the running mean of a batch-norm stands after n steps: 0.97^n of what it began with.
_MOMENTUM = 0.03
_ACTIVATIONS = {"relu": F.relu, "relu6": F.relu6, "mish": F.mish, "swish": F.silu}


def _convolution(layer: Layer) -> nn.Sequential:
    a = layer.attrs
    channels = layer.weights // (a["filters"] * a["size"][0] * a["size"][1]) * a["groups"]
    # darknet pads the ends of rows as the starts, as torch does.
    conv = nn.Conv2d(
        channels, a["filters"], a["size"], a["stride"], a["pad"], a["dilation"], a["groups"], bias=not a["bn"]
    )
    return nn.Sequential(conv, nn.BatchNorm2d(a["filters"], BN_EPSILON, _MOMENTUM)) if a["bn"] else nn.Sequential(conv)


class Network(nn.Module):
    """Runs a `Net`'s layers: (N, c, h, w) images of any size that fits the strides -> the raw heads, in order."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.convolutions = nn.ModuleDict(
            {str(i): _convolution(layer) for i, layer in enumerate(net.layers) if layer.op == "conv"}
        )
        self._last: Dict[int, List[int]] = {}  # after which layer a map is no longer needed
        head_layers = {x.layer for x, _ in net.heads}
        # Not of the image (-1), which is the caller's and no layer's.
        consumers = [*head_layers, *(source for layer in net.layers for source in layer.inputs if source >= 0)]
        self._alone = {source for source in consumers if consumers.count(source) == 1}
        # A leaky ReLU rises throughout, so the largest value is the same one before and after it: where a pool alone
        # reads it, it is computed behind the pool, of a quarter of the values.
        self._behind_pool = {
            layer.inputs[0]
            for layer in net.layers
            if layer.op == "maxpool" and layer.inputs[0] in self._alone and _is_leaky(net.layers[layer.inputs[0]])
        }
        last = {source: i for i, layer in enumerate(net.layers) for source in layer.inputs}
        for source, i in last.items():
            if source not in head_layers and source >= 0:
                self._last.setdefault(i, []).append(source)

    def forward(self, x: Tensor) -> List[Tensor]:
        """The heads' raw outputs, (N, A * (5 + classes), H, W) each."""
        maps: Dict[int, Tensor] = {-1: x}
        for i, layer in enumerate(self.net.layers):
            inputs = [maps[j] for j in layer.inputs]
            if layer.op == "conv":
                maps[i] = self.convolutions[str(i)](*inputs)
            elif i in self._behind_pool:
                maps[i] = inputs[0]
            else:
                maps[i] = _run(layer, inputs, layer.inputs[0] in self._alone)
                if layer.inputs[0] in self._behind_pool:
                    maps[i] = _activated(maps[i], "leaky", True)
            for j in self._last.get(i, ()):
                del maps[j]
        return [maps[x.layer] for x, _ in self.net.heads]

    def start(self, objectness: float = 0.01) -> Network:
        """Fresh weights by He's rule for leaky ReLU; heads that expect next to nothing to be there."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, 0.1, "fan_out", "leaky_relu")
        for x, head in self.net.heads:
            assert isinstance(head, Yolo)
            conv = self.convolutions[str(x.layer)][0]
            nn.init.normal_(conv.weight, 0, 0.01)
            bias = torch.zeros(len(head.anchors_wh), 5 + head.classes)
            bias[:, 4] = float(np.log(objectness))
            conv.bias.data = bias.flatten()
        return self

    def floats(self) -> Tuple[np.ndarray, ...]:
        """The arrays of a `.weights` file, in its order: bias, [scale, mean, variance], weights."""
        arrays = []
        for module in self.convolutions.values():
            conv = module[0]
            if len(module) == 2:
                norm = module[1]
                arrays += [norm.bias, norm.weight, norm.running_mean, norm.running_var]
            else:
                arrays.append(conv.bias)
            arrays.append(conv.weight)
        return tuple(a.detach().cpu().float().contiguous().numpy() for a in arrays)

    def load(self, weights: Weights) -> Network:
        """Take every array from a `.weights` file or another source of floats."""
        for key, module in self.convolutions.items():
            conv = module[0]
            parts: List[Tuple[str, Any]] = [("bias", conv.bias)]
            if len(module) == 2:
                norm = module[1]
                parts = [("bias", norm.bias), ("scale", norm.weight)]
                parts += [("mean", norm.running_mean), ("variance", norm.running_var)]
            for part, target in [*parts, ("weights", conv.weight)]:
                target.data.copy_(torch.from_numpy(weights.take(part, tuple(target.shape), f"layer {key}")))
        return self


def yolo_heads(net: Net) -> Dict[int, Yolo]:
    """The YOLO heads by the layer that feeds them, in the order of the outputs."""
    return {x.layer: head for x, head in net.heads if isinstance(head, Yolo)}


def check(net: Net, name: str) -> None:
    """Raise `UsageError`, with the layer, for one that is not computed here as darknet does."""
    known = {"conv", "act", "maxpool", "avgpool", "concat", "slice", "add", "mul", "upsample", "global_avgpool"}
    known |= {"maxout", "scale", "identity"}
    for index, layer in enumerate(net.layers):
        at = f"{name}, {layer.at or f'layer {index}'}"
        if layer.op not in known:
            raise UsageError(f"{at}: training does not know the layer {layer.op}; take it out")
        if layer.op == "avgpool" and layer.attrs["pads"][:2] != layer.attrs["pads"][2:]:
            raise UsageError(f"{at}: training averages over even padding only; write an odd size, or padding=0")


def _run(layer: Layer, inputs: List[Tensor], alone: bool) -> Tensor:
    """A layer that has no weights; `alone` if no other reads its input, which may then be overwritten."""
    a, x = layer.attrs, inputs[0]
    if layer.op == "act":
        return _activated(x, a["kind"], alone)
    if layer.op in ("maxpool", "avgpool"):
        return _pooled(layer, x)
    if layer.op == "concat":
        return _concat(inputs)
    if layer.op == "slice":
        return x[:, a["start"] : a["stop"] : a["step"]]
    if layer.op == "add":
        return x + inputs[1]
    if layer.op == "mul":
        return x * inputs[1]
    if layer.op == "upsample":
        return F.interpolate(x, scale_factor=a["factor"], mode="nearest")
    if layer.op == "global_avgpool":
        return x.mean((2, 3), keepdim=True)
    if layer.op == "maxout":
        return x.unflatten(1, (-1, a["channels"])).amax(1)
    if layer.op == "scale":
        return x * a["factor"]
    assert layer.op == "identity", f"the trainer does not know the layer {layer.op}"
    return x


def _is_leaky(layer: Layer) -> bool:
    return layer.op == "act" and layer.attrs["kind"] == "leaky"


def _concat(maps: List[Tensor]) -> Tensor:
    """Concatenate (N, C, H, W) maps along C."""
    if maps[0].device.type == "cpu" and torch.is_grad_enabled():
        joined: Tensor = _Concatenation.apply(*maps)
        return joined
    return torch.cat(maps, 1)


class _Concatenation(torch.autograd.Function):
    """A concatenation whose gradients are copies, not views, of the parts.

    What follows reads a part's gradient two or three times, and a view of a few channels of many several times slower.
    """

    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.channels = [each.shape[1] for each in maps]
        return torch.cat(maps, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, ...]:
        parts = gradient.split(ctx.channels, 1)
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


def _activated(x: Tensor, kind: str, alone: bool) -> Tensor:
    if kind == "leaky":
        return F.leaky_relu(x, 0.1, inplace=alone)
    if kind in _ACTIVATIONS:
        return _ACTIVATIONS[kind](x)
    return torch.sigmoid(x) if kind == "logistic" else torch.tanh(x)


def _pooled(layer: Layer, x: Tensor) -> Tensor:
    a = layer.attrs
    top, left, bottom, right = a["pads"]
    if layer.op == "maxpool":
        if any(a["pads"]):
            x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
        return F.max_pool2d(x, a["size"], a["stride"])
    assert (top, left) == (bottom, right), "torch averages only over padding that is even"
    return F.avg_pool2d(x, a["size"], a["stride"], (top, left), count_include_pad=False)
