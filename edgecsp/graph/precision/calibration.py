"""Calibration for int8: measure the range of each tensor on images, and store the ranges in a file.

The file is JSON: the model's digest, the method, how many images there were and the digest of what the network saw of
them, and a tensor's lowest and highest value by its name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import numpy as np

from ...cache import files
from ...errors import CalibrationError, UnknownName
from ...types import Array, Model
from . import _graph, _least_error, equalize

METHODS = ("percentile", "entropy", "minmax", "mse", "peak")
MIN_IMAGES = 100  # images; fewer give the ranges of those images, not of the world
KIND = "edgecsp ranges 1"
# The share of magnitudes that a range holds: one value in ten thousand is clipped. Of 99.9 to 99.999 this one moved
# the heads of yolov3-tiny and yolo-fastest least.
PERCENTILE = 99.99
BINS = 2048
LEVELS = 128  # int8 without its sign


@dataclass(frozen=True)
class Ranges:
    """The lowest and highest value to represent, by tensor.

    `model` is the sha256 of the graph they were measured on (weights and sizes, not labels), `pictures` how many
    there were, `inputs` the sha256 of the network's inputs in their order. Where the method was chosen, `tried` is how
    well each one's int8 boxes agree with fp32's, in 0..1 (see `best`). `scales` are the divisors of the channels of
    maps, by the convolution's output: `tensors` are of the graph that `equalize.scale_channels` makes with them.
    """

    model: str
    method: str
    images: int
    inputs: str
    tensors: Dict[str, Tuple[float, float]]
    tried: Dict[str, float] = field(default_factory=dict)
    scales: Dict[str, List[float]] = field(default_factory=dict)

    def save(self, path: Union[str, Path]) -> None:
        """Write them as JSON; the file appears whole or not at all. Raises `OutputError`."""
        with files.atomic(path) as file:
            file.write(_format(self._to_dict()).encode())

    def _to_dict(self) -> Dict[str, Any]:
        return {
            "kind": KIND, "model": self.model, "method": self.method, "pictures": self.images, "inputs": self.inputs,
            "tensors": self.tensors, "tried": self.tried, **({"scales": self.scales} if self.scales else {}),
        }  # fmt: skip

    def check(self, model: Model) -> None:
        """Raises `CalibrationError` unless they were measured on this very graph."""
        digest = _digest(model)
        if digest != self.model:
            raise CalibrationError(
                f"these ranges belong to the graph {self.model[:12]} and {model.name} is {digest[:12]}; measure them "
                "again: edgecsp quantize MODEL --calib FOLDER --save-ranges FILE"
            )


def _format(values: Dict[str, Any]) -> str:
    """Format as JSON with a line for each value, and for each name of a table."""
    lines = []
    for key, value in values.items():
        text = json.dumps(value)
        if isinstance(value, dict) and value:
            rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items()]
            text = "{\n" + ",\n".join(rows) + "\n }"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _digest(model: Model) -> str:
    from ..onnx_model import parse_graph

    return hashlib.sha256(parse_graph(model).graph.SerializeToString(deterministic=True)).hexdigest()


def load(path: Union[str, Path]) -> Ranges:
    """Ranges that `Ranges.save` wrote. Raises `CalibrationError` for a file that is no such thing."""
    try:
        content = json.loads(Path(path).read_bytes())
        if not isinstance(content, dict) or content.pop("kind", None) != KIND:
            raise ValueError(f"its kind is not {KIND!r}")
        tensors = {str(name): (float(low), float(high)) for name, (low, high) in content.pop("tensors").items()}
        if not all(math.isfinite(end) for pair in tensors.values() for end in pair):
            raise ValueError("a range in it is no number")
        tried = {str(name): float(value) for name, value in content.pop("tried", {}).items()}
        scales = {str(name): [float(each) for each in row] for name, row in content.pop("scales", {}).items()}
        if not all(math.isfinite(each) and each > 0 for row in scales.values() for each in row):
            raise ValueError("a scale in it is no positive number")
        ranges = Ranges(images=content.pop("pictures"), tensors=tensors, tried=tried, scales=scales, **content)
        if (type(ranges.model), type(ranges.images), type(ranges.method)) != (str, int, str):
            raise ValueError("a field in it is of another type")
    except OSError as error:
        raise CalibrationError(f"cannot read {path}: {error.strerror}{files.suggest_similar(path)}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CalibrationError(
            f"{path} holds no ranges ({error}); they are written by: edgecsp quantize MODEL --calib FOLDER "
            f"--save-ranges {path}"
        ) from error
    return ranges


def measure_ranges(
    model: Model,
    batches: Iterable[Array],
    method: str = "percentile",
    *,
    threads: int = 0,
    least: Optional[int] = None,
    equalized: bool = False,
) -> Ranges:
    """Run images through the graph and keep what each tensor holds; one image is in memory at a time.

    `batches` are prepared inputs, (1, C, h, w) float32, at least `least` of them [default: `LEAST`; fewer are for
    timing alone]. `threads`: 0 for onnxruntime's choice. `equalized`: the channels of each map are brought to one
    range first, by the first images, which are in memory for that. Raises `CalibrationError` for too few images and for
    values that are no numbers.
    """
    if method not in METHODS:
        raise UnknownName("calibration method", method, METHODS)
    meter, batches = open_meter(model, batches, threads, equalized=equalized)
    for batch in batches:
        meter.count(batch)
        meter.add(batch)
    meter.check(MIN_IMAGES if least is None else least)
    return meter.ranges(method)


def open_meter(
    model: Model, batches: Iterable[Array], threads: int, *, equalized: bool
) -> Tuple[RangeMeter, Iterable[Array]]:
    """A meter, of the equalised graph if wanted, and the batches, all of them again."""
    if not equalized:
        return RangeMeter(model, threads), batches
    rest = iter(batches)
    first = list(itertools.islice(rest, equalize.IMAGES))
    return RangeMeter(model, threads, equalize.find_scales(model, first, threads)), itertools.chain(first, rest)


class RangeMeter:
    """The values of a graph so far: `note` every image in its order, `add` those that ranges are of."""

    def __init__(self, model: Model, threads: int, scales: Optional[Dict[str, List[float]]] = None) -> None:
        from ..onnx_model import parse_graph

        self._digest, self._scales = _digest(model), scales or {}
        model = equalize.scale_channels(model, self._scales)
        self._session, self._names = _graph.open_observed(model, threads)
        self._source: str = self._session.get_inputs()[0].name
        activations = _least_error.find_activations(parse_graph(model).graph)
        names = (self._source, *self._names)
        self._histograms = {name: _Histogram(activations.get(name, _least_error.identity)) for name in names}
        self._heads = [head.name for head in model.heads]
        self._inputs, self._count = hashlib.sha256(), 0

    def count(self, batch: Array) -> None:
        """Count an image, (1, C, h, w) float32, and take it into the digest."""
        self._inputs.update(np.ascontiguousarray(batch).data)
        self._count += 1

    def add(self, batch: Array) -> None:
        """Run an image and keep what each tensor holds. Raises `CalibrationError` for values that are no numbers."""
        self._histograms[self._source].add(batch, self._source)
        for name, values in zip(self._names, self._session.run(self._names, {self._source: batch})):
            self._histograms[name].add(values, name)

    def heads(self, batch: Array) -> List[Array]:
        """The heads of an image, in the model's order; nothing is kept."""
        heads: List[Array] = self._session.run(self._heads, {self._source: batch})
        return heads

    def check(self, least: int) -> None:
        """Raises `CalibrationError` when fewer than `least` images were noted."""
        if self._count < least:
            raise CalibrationError(
                f"{self._count} images are too few to measure ranges on: {least} at least, and like those the model "
                "will see"
            )

    def ranges(self, method: str) -> Ranges:
        """The ranges by a method, of what was added so far."""
        tensors = {name: histogram.range(method) for name, histogram in self._histograms.items()}
        return Ranges(self._digest, method, self._count, self._inputs.hexdigest(), tensors, scales=self._scales)


class _Histogram:
    """How often each magnitude occurs: `BINS` bins over 0..top, where top doubles as larger values come.

    `counts` (2, BINS): of values from 0 on, and of negative ones.
    """

    def __init__(self, activation: _least_error.Activation = _least_error.identity) -> None:
        self.low, self.high = math.inf, -math.inf
        self.top, self._activation = 0.0, activation
        self.counts: Array = np.zeros((2, BINS), np.int64)

    def add(self, values: Array, name: str) -> None:
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CalibrationError(f"{name} holds values that are no numbers; the weights do not fit their graph")
        self.low, self.high = min(self.low, low), max(self.high, high)
        peak = max(-low, high)
        self.top = self.top or max(peak, 1e-9)
        while peak > self.top:
            self.counts = np.concatenate((self.counts.reshape(2, -1, 2).sum(2), np.zeros((2, BINS // 2), np.int64)), 1)
            self.top *= 2
        flat = values.ravel()
        places = np.abs(flat)
        places *= np.float32(BINS / self.top)
        bins = np.minimum(places.astype(np.int32), BINS - 1)
        bins += BINS * (flat < 0)
        self.counts += np.bincount(bins, minlength=2 * BINS).reshape(2, BINS)

    def range(self, method: str) -> Tuple[float, float]:
        """Lowest and highest value to represent."""
        limit, counts = math.inf, self.counts.sum(0)
        if method == "percentile":
            target = counts.sum() * (PERCENTILE / 100)
            limit = (int(np.searchsorted(counts.cumsum(), target)) + 1) * self.top / BINS
        elif method == "entropy":
            limit = _least_loss(counts) * self.top / BINS
        elif method == "mse" or (method == "peak" and self._activation is not _least_error.identity):
            # An object's values are the rare high ones: clipped, they take from its score.
            return _least_error.find_range(
                self.counts, self.top, (self.low, self.high), self._activation, keep_high=method == "peak"
            )
        return max(self.low, -limit), min(self.high, limit)


def _least_loss(counts: Array) -> int:
    """How many bins to keep so that `LEVELS` levels tell most of what the histogram tells.

    The Kullback-Leibler divergence of the clipped histogram from its quantised self. Source: NVIDIA, "8-bit Inference
    with TensorRT" (GTC 2017).
    """
    best, least = BINS, math.inf
    for bins in range(LEVELS, BINS + 1, 8):
        histogram = counts[:bins].astype(np.float64)
        used = histogram > 0
        starts = np.arange(LEVELS) * bins // LEVELS
        sums, places = np.add.reduceat(histogram, starts), np.add.reduceat(used, starts, dtype=np.int64)
        spread = np.repeat(sums / np.maximum(1, places), np.diff(np.append(starts, bins))) * used
        histogram[-1] += counts[bins:].sum()
        if not spread.any():
            continue
        p, q = histogram / histogram.sum(), np.maximum(spread / spread.sum(), 1e-12)
        loss = float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
        if loss < least:
            best, least = bins, loss
    return best
