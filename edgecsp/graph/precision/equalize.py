"""Cross-layer equalisation: bring the channels of a map to one range, and change nothing of what the graph computes.

Where only convolutions, and what is linear for positive factors, lie on a channel's way, its values are divided by a
factor in the weights before it and multiplied in the weights behind. int8 has one step for a whole map: of channels
whose ranges differ a hundredfold, as depthwise convolutions make them, the small ones would have a level or two.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019); the ranges
here are measured, and the channels are followed through joins, slices and sums.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np

from ...types import Array, Model
from . import _graph
from ._channels import Channels, Sets

IMAGES = 32  # that the ranges of channels are of; in memory
# A channel counts as at least so much of its map's range, and its weights as so much of their layer's: a channel that
# is all but dead on a few images has no range to go by.
_LEAST_RANGE, _LEAST_WEIGHT = 1 / 64, 1e-2


def find_scales(model: Model, batches: Sequence[Array], threads: int = 0) -> Dict[str, List[float]]:
    """Find what to divide the channels of convolutions' outputs by, on images; a map that cannot be is not there.

    A channel of range r whose readers give it a share w of their weights is divided by sqrt(r / w): its range and that
    of its weights are then equally far from those of the others. Depthwise convolutions have a scale for each channel,
    so that before those alone the divisor is r.
    """
    channels = Channels(_graph.prepare(model).graph)
    ranges, weights = _ranges(model, channels, batches, threads), _weights(channels)
    is_free = ~channels.fixed & (ranges > 0)
    divisors = np.where(weights > 0, np.sqrt(ranges / np.maximum(weights, _LEAST_WEIGHT)), ranges)
    divisors[~is_free] = 1
    # Maps that are joined share a step: what is joined keeps its range, so that it fits what cannot be scaled.
    for together in _joined(channels):
        rows = together[is_free[together]]
        if len(rows):
            divisors[rows] *= (ranges[rows] / divisors[rows]).max() / ranges[rows].max()
    scales_by_map = {node.output[0]: divisors[channels.maps[node.output[0]]] for node in channels.convolutions}
    return {name: row.tolist() for name, row in scales_by_map.items() if (row != 1).any()}


def scale_channels(model: Model, scales: Dict[str, List[float]]) -> Model:
    """The model with the channels of maps divided by their scales: the same heads from other weights."""
    from onnx import numpy_helper

    from ..onnx_model import with_graph

    if not scales:
        return model
    proto = _graph.prepare(model)
    channels = Channels(proto.graph)
    divisors = np.ones(len(channels.fixed))
    for name, row in scales.items():
        divisors[channels.maps[name]] = row
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}

    def store(name: str, values: Array) -> None:
        constants[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

    for node in channels.convolutions:
        after, before = divisors[channels.maps[node.output[0]]], channels.maps.get(node.input[0])
        weights = channels.values[node.input[1]] / after[:, None, None, None]
        if before is not None:
            weights = weights * _by_output(divisors[before], node, len(weights))
        store(node.input[1], weights)
        if node.input[2:]:
            store(node.input[2], channels.values[node.input[2]] / after)
    return with_graph(model, proto)


def _ranges(model: Model, channels: Channels, batches: Sequence[Array], threads: int) -> Array:
    """(N,) the largest magnitude of every channel, those of a map at least `_LEAST_RANGE` of its largest."""
    session, names = _graph.open_observed(model, threads)
    source, maps = session.get_inputs()[0].name, [name for name in names if name in channels.maps]
    ranges = np.zeros(len(channels.fixed))
    for batch in batches:
        for name, values in zip(maps, session.run(maps, {source: batch})):
            np.maximum.at(ranges, channels.maps[name], np.abs(values).max((0, 2, 3)))
    for node in channels.convolutions:
        rows = channels.maps[node.output[0]]
        ranges[rows] = np.maximum(ranges[rows], ranges[rows].max() * _LEAST_RANGE)
    return ranges


def _weights(channels: Channels) -> Array:
    """(N,) the largest share of a layer's weights that a channel has, in 0..1; 0 where depthwise layers read it."""
    shares = np.zeros(len(channels.fixed))
    for node in channels.convolutions:
        rows = channels.maps.get(node.input[0])
        weights = np.abs(channels.values[node.input[1]])
        if rows is None or (weights.shape[1] == 1 and _group(node) > 1):
            continue
        relative = weights.max((2, 3)) / np.maximum(weights.max((1, 2, 3)), 1e-12)[:, None]
        by_input = relative.reshape(_group(node), -1, weights.shape[1]).max(1).ravel()
        np.maximum.at(shares, rows, by_input)
    return shares


def _joined(channels: Channels) -> List[Array]:
    """The channels of maps that have channels in common, directly or through others."""
    sets = Sets()
    sets.add(len(channels.fixed))
    for rows in channels.maps.values():
        for row in rows[1:].tolist():
            sets.join(row, int(rows[0]))
    roots = sets.roots()
    return [np.flatnonzero(roots == root) for root in np.unique(roots)]


def _by_output(divisors: Array, node: Any, outputs: int) -> Array:
    """(outputs, inputs of a group, 1, 1): the divisor of what each weight is multiplied with."""
    by_group = divisors.reshape(_group(node), -1)
    return np.repeat(by_group, outputs // len(by_group), 0)[:, :, None, None]


def _group(node: Any) -> int:
    return next((int(each.i) for each in node.attribute if each.name == "group"), 1)
