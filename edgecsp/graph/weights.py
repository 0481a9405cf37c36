"""Sources of a network's weights, in darknet's order, and what the graph holds of them: batch-norm folded in."""

from __future__ import annotations

from typing import Protocol, Tuple

import numpy as np

from ..errors import BadWeights
from ..types import Array
from .layers import Layer

BN_EPSILON = 1e-5  # under the root: AlexeyAB's and hank-ai's darknet; the original added 1e-6 to the root
_ROUNDING = 1e-7  # a variance below zero by no more is zero that was rounded


class Weights(Protocol):
    """Gives a net's floats in darknet's order: bias, [scale, mean, variance], weights, layer by layer."""

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values, of a shape; `part` is one of the five words, `at` names the layer in errors."""
        ...


class RandomWeights:
    """Seeded weights for timing and tests: activations keep their size, nothing saturates."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """Weights by He's rule; scales and variances near one, biases and means near zero."""
        values: Array = self._rng.standard_normal(shape, dtype=np.float32)
        if part == "weights":
            values *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif part in ("scale", "variance"):
            values = 1 + 0.1 * np.tanh(values)
        else:
            values *= 0.1
        return values.astype(np.float32, copy=False)


class GraphWeights:
    """The weights of a graph that `to_bytes` wrote, with batch-norm folded in: what is asked of it is neutral."""

    def __init__(self, onnx: bytes) -> None:
        from onnx import load_model_from_string, numpy_helper

        self._read = numpy_helper.to_array
        self._constants = {each.name: each for each in load_model_from_string(onnx).graph.initializer}

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        """The next float32 values. Raises `BadWeights` where the graph has none for the layer."""
        if part not in ("weights", "bias"):
            value = {"scale": np.sqrt(1 + BN_EPSILON), "mean": 0.0, "variance": 1.0}[part]
            return np.full(shape, value, np.float32)
        name = f"{int(at.split()[-1]):03d}_conv.{part[:6] if part == 'weights' else part}"
        if name not in self._constants:
            raise BadWeights(
                f"{at} has no {part} in the graph: it is in another precision, or edgecsp did not write it"
            )
        return np.asarray(self._read(self._constants[name]), np.float32).reshape(shape)


def stored_parts(layer: Layer) -> Tuple[str, ...]:
    """Return the parts of a layer that a `.weights` file stores, in its order; () for a layer without weights."""
    norm = ("scale", "mean", "variance") if layer.attrs.get("bn") else ()
    orders = {"conv": ("bias", *norm, "weights"), "connected": ("bias", "weights", *norm), "batchnorm": ("bias", *norm)}
    return orders.get(layer.op, ())


def kernel_shape(layer: Layer) -> Tuple[int, int, int, int]:
    """Return the (c_out, c_in / groups, kh, kw) of a layer that has weights."""
    n, (kh, kw) = layer.attrs["filters"], layer.attrs["size"]
    return n, max(1, layer.weights // (n * kh * kw)), kh, kw


def fold_batch_norm(layer: Layer, weights: Weights, at: str) -> Tuple[Array, Array]:
    """A convolution's (c_out, c_in / groups, kh, kw) weights and (c_out,) bias, batch-norm folded in."""
    shape = kernel_shape(layer)
    parts = {part: weights.take(part, shape if part == "weights" else shape[:1], at) for part in stored_parts(layer)}
    bias, kernel = parts["bias"], parts.get("weights")
    if kernel is None:
        kernel = np.ones(shape, np.float32)
    if not layer.attrs["bn"]:
        return kernel, bias
    scale, mean, variance = (parts[part] for part in ("scale", "mean", "variance"))
    if variance.min() < -_ROUNDING:
        raise BadWeights(f"{at}: a batch-norm variance of {variance.min():g}; the weights do not fit this network")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        factor = scale.astype(np.float64) / np.sqrt(np.maximum(variance.astype(np.float64), 0) + BN_EPSILON)
        # In float64, cast piece by piece: a float64 copy of a large kernel costs more than the arithmetic.
        kernel = np.multiply(kernel, factor.reshape(-1, 1, 1, 1), out=np.empty_like(kernel), casting="same_kind")
        bias = (bias - mean * factor).astype(np.float32)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise BadWeights(f"{at}: folding the batch-norm overflows; the weights do not fit this network")
    return kernel, bias
