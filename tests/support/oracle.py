"""Slow oracles, written from darknet's conventions and not from edgecsp: plain numpy in float64, plain loops.

Nothing here imports edgecsp. A fault that both sides share would have to be made twice.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

# -- darknet's network ------------------------------------------------------------------------------------

Options = Dict[str, str]
Take = Callable[[str, Tuple[int, ...]], np.ndarray]


def sections_of(text: str) -> List[Tuple[str, Options]]:
    """A cfg text as darknet's read_cfg sees it; the first of two equal keys counts."""
    sections: List[Tuple[str, Options]] = []
    for line in text.splitlines():
        line = "".join(line.split())
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            sections.append((line[1:-1], {}))
        else:
            key, value = line.split("=", 1)
            sections[-1][1].setdefault(key, value)
    return sections


def file_weights(data: bytes) -> Take:
    """Floats of a `.weights` file, front to back."""
    major, minor, _ = struct.unpack("<iii", data[:12])
    body = np.frombuffer(data[20 if major * 10 + minor >= 2 else 16 :], "<f4")
    place = [0]

    def take(part: str, shape: Tuple[int, ...]) -> np.ndarray:
        n = math.prod(shape)
        values = body[place[0] : place[0] + n]
        assert len(values) == n, "the file is too short"
        place[0] += n
        return values.astype(np.float64).reshape(shape)

    return take


class Recorder:
    """Random weights that are written down as they are handed out: `.data` is a `.weights` file of them."""

    def __init__(self, seed: int, least_variance: float = 1e-7) -> None:
        self.rng = np.random.default_rng(seed)
        self.least_variance = least_variance
        self.file = io.BytesIO()
        self.file.write(struct.pack("<iiiQ", 0, 2, 5, 0))

    @property
    def data(self) -> bytes:
        return self.file.getvalue()

    def __call__(self, part: str, shape: Tuple[int, ...]) -> np.ndarray:
        values = self.rng.standard_normal(shape)
        if part == "weights":
            values *= math.sqrt(2 / math.prod(shape[1:]))
        elif part == "scale":
            # Small variances too: only they tell where and how large the epsilon is. Drawn here, one part early,
            # so that scale / sqrt(variance + 1e-5) stays near one and activations keep their size.
            self.variance = 10.0 ** self.rng.uniform(math.log10(self.least_variance), 0.5, shape)
            values = (1 + 0.3 * np.tanh(values)) * np.sqrt(self.variance + 1e-5)
        elif part == "variance":
            values = self.variance
        elif part == "mean":
            values *= 0.2
        else:
            values *= 0.2
        values = values.astype(np.float32)
        self.file.write(values.astype("<f4").tobytes())
        return values.astype(np.float64)


def activate(x: np.ndarray, kind: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        if kind == "linear":
            return x
        if kind == "leaky":
            return np.where(x > 0, x, 0.1 * x)
        if kind == "relu":
            return np.maximum(x, 0)
        if kind == "relu6":
            return np.minimum(np.maximum(x, 0), 6)
        if kind == "logistic":
            return 1 / (1 + np.exp(-x))
        if kind in ("swish", "silu"):
            return x / (1 + np.exp(-x))
        if kind == "tanh":
            return np.tanh(x)
        if kind == "ramp":
            return x * (x > 0) + 0.1 * x
        if kind == "mish":
            return x * np.tanh(np.logaddexp(0, x))
    raise KeyError(kind)


def convolve(
    x: np.ndarray, kernel: np.ndarray, stride: Tuple[int, int], pad: int, dilation: int, groups: int
) -> np.ndarray:
    """(C, H, W) with (N, C / groups, k, k); `pad` zeros on every side, (stride_y, stride_x)."""
    n, per, k, _ = kernel.shape
    c, h, w = x.shape
    full = np.zeros((c, h + 2 * pad, w + 2 * pad))
    full[:, pad : pad + h, pad : pad + w] = x
    reach = dilation * (k - 1) + 1
    out_h, out_w = (full.shape[1] - reach) // stride[0] + 1, (full.shape[2] - reach) // stride[1] + 1
    out = np.zeros((n, out_h, out_w))
    for f in range(n):
        first = f // (n // groups) * per
        for j in range(k):
            for i in range(k):
                rows = slice(j * dilation, j * dilation + (out_h - 1) * stride[0] + 1, stride[0])
                columns = slice(i * dilation, i * dilation + (out_w - 1) * stride[1] + 1, stride[1])
                out[f] += np.tensordot(kernel[f, :, j, i], full[first : first + per, rows, columns], 1)
    return out


def pool(x: np.ndarray, size: int, stride: Tuple[int, int], padding: int, average: bool) -> np.ndarray:
    """darknet's loops: windows start at -padding / 2, places outside the map are skipped."""
    c, h, w = x.shape
    out_h, out_w = (h + padding - size) // stride[0] + 1, (w + padding - size) // stride[1] + 1
    out = np.zeros((c, out_h, out_w))
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * stride[0] - padding // 2, j * stride[1] - padding // 2
            window = x[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
            out[:, i, j] = window.mean((1, 2)) if average else window.max((1, 2))
    return out


def normalize(y: np.ndarray, bias: np.ndarray, *norm: np.ndarray) -> np.ndarray:
    """(C, H, W) through batch-norm of (scale, mean, variance), if there is one, and the bias."""
    if norm:
        scale, mean, variance = (part[:, None, None] for part in norm)
        y = (y - mean) / np.sqrt(variance + 0.00001) * scale
    return y + bias[:, None, None]


def reorganise(x: np.ndarray, out_w: int, out_h: int, out_c: int, stride: int) -> np.ndarray:
    """darknet's reorg_cpu with forward=0, on memory as it lies."""
    memory, out = x.reshape(-1), np.zeros(x.size)
    in_c = out_c // (stride * stride)
    for k in range(out_c):
        for j in range(out_h):
            for i in range(out_w):
                offset = k // in_c
                across, down = i * stride + offset % stride, j * stride + offset // stride
                source = across + out_w * stride * (down + out_h * stride * (k % in_c))
                out[i + out_w * (j + out_h * k)] = memory[source]
    return out


class Darknet:
    """A network run section by section; `outputs` holds every layer's map, `heads` what a [yolo] was given."""

    def __init__(self, image: np.ndarray, take: Take) -> None:
        self.x = image.astype(np.float64)
        self.take = take
        self.outputs: List[np.ndarray] = []
        self.heads: List[np.ndarray] = []
        self.kernels: Dict[int, Tuple[np.ndarray, ...]] = {}  # of each convolution, for those that share them

    def step(self, kind: str, options: Options) -> np.ndarray:
        self.x = getattr(self, f"_{kind}")(options)
        self.outputs.append(self.x)
        return self.x

    def layer(self, position: str) -> np.ndarray:
        index = int(position)
        return self.outputs[index if index >= 0 else len(self.outputs) + index]

    def _strides(self, o: Options) -> Tuple[int, int]:
        both = o.get("stride", "1")
        return int(o.get("stride_y", both)), int(o.get("stride_x", both))

    def _convolutional(self, o: Options) -> np.ndarray:
        n, size, groups = int(o.get("filters", 1)), int(o.get("size", 1)), int(o.get("groups", 1))
        pad = size // 2 if int(o.get("pad", 0)) else int(o.get("padding", 0))
        dilation = int(o.get("dilation", 1)) if size > 1 else 1
        if "share_index" in o:
            index = int(o["share_index"])
            parts = self.kernels[index if index >= 0 else len(self.outputs) + index]
        else:
            names = ("bias", "scale", "mean", "variance") if int(o.get("batch_normalize", 0)) else ("bias",)
            parts = tuple(self.take(name, (n,)) for name in names)
            parts += (self.take("weights", (n, self.x.shape[0] // groups, size, size)),)
        self.kernels[len(self.outputs)] = parts
        y = convolve(self.x, parts[-1], self._strides(o), pad * dilation, dilation, groups)
        return activate(normalize(y, *parts[:-1]), o.get("activation", "logistic"))

    def _connected(self, o: Options) -> np.ndarray:
        n = int(o.get("output", 1))
        bias = self.take("bias", (n,))
        kernel = self.take("weights", (n, self.x.size))
        norm: Tuple[np.ndarray, ...] = ()
        if int(o.get("batch_normalize", 0)):
            norm = tuple(self.take(part, (n,)) for part in ("scale", "mean", "variance"))
        y = (kernel @ self.x.reshape(-1))[:, None, None]
        return activate(normalize(y, bias, *norm), o.get("activation", "logistic"))

    def _batchnorm(self, o: Options) -> np.ndarray:
        return normalize(self.x, *(self.take(part, (len(self.x),)) for part in ("bias", "scale", "mean", "variance")))

    def _crop(self, o: Options) -> np.ndarray:
        h, w = int(o["crop_height"]), int(o["crop_width"])
        c, height, width = self.x.shape
        y = np.zeros((c, h, w))
        for i in range(h):
            for j in range(w):
                y[:, i, j] = self.x[:, i + (height - h) // 2, j + (width - w) // 2]
        return y if int(o.get("noadjust", 0)) else 2 * y - 1

    def _reorg(self, o: Options) -> np.ndarray:
        """darknet's reorg_cpu called with the input's sides, forward=0: one index of memory after the other."""
        stride, (c, h, w) = int(o.get("stride", 1)), self.x.shape
        return reorganise(self.x, w, h, c, stride).reshape(c * stride**2, h // stride, w // stride)

    def _reorg3d(self, o: Options) -> np.ndarray:
        """The same called with the output's sides."""
        stride, (c, h, w) = int(o.get("stride", 1)), self.x.shape
        out = (c * stride**2, h // stride, w // stride)
        return reorganise(self.x, out[2], out[1], out[0], stride).reshape(out)

    def _maxpool(self, o: Options) -> np.ndarray:
        if int(o.get("maxpool_depth", 0)):
            n = int(o["out_channels"])
            return np.stack([self.x[g::n].max(0) for g in range(n)])
        return self._pooled(o, average=False)

    def _local_avgpool(self, o: Options) -> np.ndarray:
        return self._pooled(o, average=True)

    def _pooled(self, o: Options, average: bool) -> np.ndarray:
        size = int(o.get("size", o.get("stride", 1)))
        return pool(self.x, size, self._strides(o), int(o.get("padding", size - 1)), average)

    def _avgpool(self, o: Options) -> np.ndarray:
        return self.x.mean((1, 2))[:, None, None]

    def _route(self, o: Options) -> np.ndarray:
        groups, group = int(o.get("groups", 1)), int(o.get("group_id", 0))
        maps = [self.layer(p) for p in o["layers"].split(",") if p]
        return np.concatenate([np.split(m, groups)[group] for m in maps])

    def _shortcut(self, o: Options) -> np.ndarray:
        y = self.x.copy()
        for position in o["from"].split(","):
            other = self.layer(position)
            (c1, h1, w1), (c2, h2, w2) = other.shape, y.shape
            stride, sample = w1 // w2, w2 // w1
            assert stride == h1 // h2 and sample == h2 // h1
            stride, sample = max(1, stride), max(1, sample)
            for j in range(min(h1, h2)):
                for i in range(min(w1, w2)):
                    both = min(c1, c2)
                    y[:both, j * sample, i * sample] += other[:both, j * stride, i * stride]
        return activate(y, o.get("activation", "linear"))

    def _upsample(self, o: Options) -> np.ndarray:
        n = int(o.get("stride", 2))
        c, h, w = self.x.shape
        y = np.zeros((c, h * n, w * n))
        for i in range(h * n):
            for j in range(w * n):
                y[:, i, j] = self.x[:, i // n, j // n]
        return y * float(o.get("scale", 1))

    def _scale_channels(self, o: Options) -> np.ndarray:
        return activate(self.x * self.layer(o["from"]), o.get("activation", "linear"))

    def _sam(self, o: Options) -> np.ndarray:
        return activate(self.x * self.layer(o["from"]), o.get("activation", "linear"))

    def _dropout(self, o: Options) -> np.ndarray:
        return self.x

    _cost = _dropout

    def _softmax(self, o: Options) -> np.ndarray:
        groups, temperature = int(o.get("groups", 1)), float(o.get("temperature", 1))
        parts = [part / temperature for part in np.split(self.x.reshape(-1), groups)]
        soft = [np.exp(part - part.max()) / np.exp(part - part.max()).sum() for part in parts]
        return np.concatenate(soft).reshape(self.x.shape)

    def _yolo(self, o: Options) -> np.ndarray:
        self.heads.append(self.x)
        return self.x

    _region = _gaussian_yolo = _yolo


def darknet(cfg: str, image: np.ndarray, take: Take) -> List[np.ndarray]:
    """Raw heads (C, H, W) of a cfg on one (C, H, W) image; a classifier's last map when there is no [yolo]."""
    (_, *rest) = sections_of(cfg)
    net = Darknet(image, take)
    for kind, options in rest:
        net.step(kind, options)
    return net.heads or [net.x]


# -- what comes before and after the network --------------------------------------------------------------


def resize_image(image: np.ndarray, hw: Tuple[int, int]) -> np.ndarray:
    """darknet's resize_image in its own float32: (H, W, C) -> (h, w, C), corner pixel on corner pixel.

    First all columns into a buffer, the last being the last pixel itself; then the rows, whose last has no second tap.
    """
    f, one = np.float32, np.float32(1)
    height, width, channels = image.shape
    h, w = hw
    pixels = image.astype(np.float32)
    step_x, step_y = (f(have - 1) / f(want - 1) if want > 1 else f(0) for have, want in ((width, w), (height, h)))
    part = np.zeros((height, w, channels), np.float32)
    for column in range(w):
        if column == w - 1 or width == 1:
            part[:, column] = pixels[:, width - 1]
        else:
            x = f(column) * step_x
            part[:, column] = (one - (x - f(int(x)))) * pixels[:, int(x)] + (x - f(int(x))) * pixels[:, int(x) + 1]
    out = np.zeros((h, w, channels), np.float32)
    for row in range(h):
        y = f(row) * step_y
        out[row] = (one - (y - f(int(y)))) * part[int(y)]
        if not (row == h - 1 or height == 1):
            out[row] += (y - f(int(y))) * part[int(y) + 1]
    return out


def sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x)) if x < 700 else 1.0
    return math.exp(x) / (1 + math.exp(x)) if x > -700 else 0.0


def yolo(
    out: np.ndarray,
    anchors_wh: Sequence[Tuple[float, float]],
    classes: int,
    input_hw: Tuple[int, int],
    conf: float,
    scale_xy: float = 1.0,
    new_coords: bool = False,
) -> List[Tuple[float, float, float, float, float, int]]:
    """(C, H, W) of one head -> rows (x0, y0, x1, y1, score, class), cell by cell in float64."""
    rows = []
    fields = 5 + classes
    _, height, width = out.shape
    squash = (lambda v: v) if new_coords else sigmoid
    for a, (anchor_w, anchor_h) in enumerate(anchors_wh):
        for row in range(height):
            for column in range(width):
                tx, ty, tw, th, to, *tc = (float(v) for v in out[a * fields : (a + 1) * fields, row, column])
                objectness = squash(to)
                if not objectness > conf:
                    continue
                for k, value in enumerate(tc):
                    score = objectness * squash(value)
                    if not score > conf:
                        continue
                    x = (column + scale_xy * squash(tx) - (scale_xy - 1) / 2) * input_hw[1] / width
                    y = (row + scale_xy * squash(ty) - (scale_xy - 1) / 2) * input_hw[0] / height
                    if new_coords:
                        w, h = (2 * tw) ** 2 * anchor_w, (2 * th) ** 2 * anchor_h
                    else:
                        w, h = math.exp(min(tw, 700)) * anchor_w, math.exp(min(th, 700)) * anchor_h
                    rows.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, k))
    return rows


def region(
    out: np.ndarray, cells_wh: Sequence[Tuple[float, float]], classes: int, input_hw: Tuple[int, int], conf: float
) -> List[Tuple[float, float, float, float, float, int]]:
    """(C, H, W) of a [region] with softmax=1 -> rows (x0, y0, x1, y1, score, class); anchors are in cells."""
    rows = []
    _, height, width = out.shape
    for a, (bias_w, bias_h) in enumerate(cells_wh):
        for row in range(height):
            for column in range(width):
                tx, ty, tw, th, to, *tc = (float(v) for v in out[a * (5 + classes) :, row, column][: 5 + classes])
                largest = max(tc)
                total = sum(math.exp(v - largest) for v in tc)
                x, y = (column + sigmoid(tx)) / width * input_hw[1], (row + sigmoid(ty)) / height * input_hw[0]
                w, h = math.exp(tw) * bias_w / width * input_hw[1], math.exp(th) * bias_h / height * input_hw[0]
                for k, value in enumerate(tc):
                    score = sigmoid(to) * math.exp(value - largest) / total
                    if score > conf:
                        rows.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, k))
    return rows


def gaussian_yolo(
    out: np.ndarray,
    anchors_wh: Sequence[Tuple[float, float]],
    classes: int,
    input_hw: Tuple[int, int],
    conf: float,
    scale_xy: float = 1.0,
) -> List[Tuple[float, float, float, float, float, int]]:
    """(C, H, W) of a [Gaussian_yolo] -> rows (x0, y0, x1, y1, score, class)."""
    rows = []
    _, height, width = out.shape
    for a, (anchor_w, anchor_h) in enumerate(anchors_wh):
        for row in range(height):
            for column in range(width):
                cell = [float(v) for v in out[a * (9 + classes) :, row, column][: 9 + classes]]
                x = (column + scale_xy * sigmoid(cell[0]) - 0.5 * (scale_xy - 1)) / width * input_hw[1]
                y = (row + scale_xy * sigmoid(cell[2]) - 0.5 * (scale_xy - 1)) / height * input_hw[0]
                w, h = math.exp(cell[4]) * anchor_w, math.exp(cell[6]) * anchor_h
                uncertainty = (sigmoid(cell[1]) + sigmoid(cell[3]) + sigmoid(cell[5]) + sigmoid(cell[7])) / 4
                for k, value in enumerate(cell[9:]):
                    score = sigmoid(cell[8]) * sigmoid(value) * (1 - uncertainty)
                    if sigmoid(cell[8]) > conf and score > conf:
                        rows.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, k))
    return rows


def overlap(a: Sequence[float], b: Sequence[float], beta: float = 0.0, sides: Tuple[float, float] = (1, 1)) -> float:
    """IoU of two xyxy boxes; with `beta` IoU - (d / c)^beta of the boxes divided by `sides` (width, height)."""
    ax0, ay0, ax1, ay1 = a[0] / sides[0], a[1] / sides[1], a[2] / sides[0], a[3] / sides[1]
    bx0, by0, bx1, by1 = b[0] / sides[0], b[1] / sides[1], b[2] / sides[0], b[3] / sides[1]
    inside = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - inside
    iou = inside / union if union > 0 else 0.0
    if not beta:
        return iou
    c = (max(ax1, bx1) - min(ax0, bx0)) ** 2 + (max(ay1, by1) - min(ay0, by0)) ** 2
    d = ((ax0 + ax1 - bx0 - bx1) / 2) ** 2 + ((ay0 + ay1 - by0 - by1) / 2) ** 2
    return iou - (d / c) ** beta if c > 0 else iou


def nms(
    boxes: Sequence[Sequence[float]],
    scores: Sequence[float],
    ids: Sequence[int],
    iou: float,
    *,
    beta: float = 0.0,
    input_hw: Tuple[int, int] = (1, 1),
    limit: Optional[int] = None,
) -> List[int]:
    """Greedy: take the best that is left (the earlier of two equals), drop what overlaps it too much, again."""
    left = list(range(len(scores)))
    remaining: List[int] = []
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        remaining.append(best)
        left = [
            i
            for i in left
            if i != best
            and not (ids[i] == ids[best] and overlap(boxes[best], boxes[i], beta, (input_hw[1], input_hw[0])) > iou)
        ]
    return remaining[:limit]
