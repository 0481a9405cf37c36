"""Cost per layer of a model: bars in a terminal, and a chart like the CSPNet paper's Figure 7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ...cache import files
from ...errors import OutputError, UsageError
from ...graph.layers import Layer, Net
from ...media import draw
from ...types import Array
from ...zoo import Entry

RGB = int
EIGHTHS = " ▏▎▍▌▋▊▉"
# Okabe and Ito's colours, by the stride of a feature map.
COLOURS = {1: 0x999999, 2: 0x332288, 4: 0x0072B2, 8: 0x009E73, 16: 0xE69F00, 32: 0xD55E00, 64: 0xAA3377}
INK, MUTED, GRID = 0x222222, 0x757575, 0xE4E4E4
WH = (1600, 800)
FINE = 2  # supersampling, for smooth edges and text in every OpenCV


@dataclass(frozen=True)
class LayerCost:
    """Cost of a layer: its ONNX node, operation, feature map (h, w, c) and BFLOPs.

    `stride` is the ratio of the input's size to the map's.
    """

    node: str
    what: str
    hwc: Tuple[int, int, int]
    stride: int
    bflops: float

    def to_dict(self) -> Dict[str, Any]:
        """Convert to JSON."""
        return {"node": self.node, "what": self.what, "hwc": list(self.hwc), "bflops": round(self.bflops, 6)}


def layer_costs(entry: Entry, hw: Optional[Tuple[int, int]] = None) -> List[LayerCost]:
    """Return the layers with a cost, in order; those of a second stage count once per proposal."""
    costs = list(_stage_costs(entry.net(hw), pools=entry.second is None))
    if entry.second is not None:
        costs += _stage_costs(entry.second(entry.classes), times=entry.rois, prefix="second/", stride=64)
    return costs


def _stage_costs(
    net: Net, *, times: int = 1, prefix: str = "", stride: int = 0, pools: bool = True
) -> Iterator[LayerCost]:
    for index, layer in enumerate(net.layers):
        if layer.flops and (pools or layer.op != "maxpool"):
            c, h, w = layer.shape
            node, shrunk = f"{prefix}{index:03d}_{layer.op}", stride or max(1, round(net.input.w / w))
            what = _what(net, layer) + (f", {times} times" if times > 1 else "")
            yield LayerCost(node, what, (h, w, c), shrunk, times * layer.flops / 1e9)


def _what(net: Net, layer: Layer) -> str:
    source = layer.inputs[0]
    before = net.layers[source].shape[0] if source >= 0 else net.input.c
    through = f"{before} > {layer.shape[0]}"
    if "size" not in layer.attrs:
        return f"{layer.op} {through}"
    (h, w), (step, _) = layer.attrs["size"], layer.attrs["stride"]
    size = f"{h}x{w}" + (f"/{step}" if step > 1 else "")
    if layer.op != "conv":
        return f"{layer.op} {size}"
    groups = layer.attrs["groups"]
    return f"{size} {through}" + (f", {groups} groups" if groups > 1 else "")


def bars(costs: Sequence[LayerCost], width: int, *, plain: bool = False) -> Iterator[str]:
    """Yield a line per layer: node, operation, map, BFLOPs and a bar scaled to `width`."""
    most = max(cost.bflops for cost in costs)
    heads = [(cost.node, cost.what, f"{cost.hwc[1]}x{cost.hwc[0]}") for cost in costs]
    columns = [max(len(head[i]) for head in heads) for i in range(3)]
    room = max(10, width - sum(columns) - 14)
    for cost, (node, what, at) in zip(costs, heads):
        eighths = round(8 * room * cost.bflops / most)
        bar = "#" * round(eighths / 8) if plain else "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
        yield f"{node:{columns[0]}}  {what:{columns[1]}}  {at:>{columns[2]}}  {cost.bflops:6.3f}  {bar}".rstrip()


def plot(costs: Sequence[LayerCost], title: str, subtitle: str, path: Path) -> None:
    """Write a bar chart: layers from left to right, BFLOPs upwards. Raises `UsageError` or `OutputError`."""
    import cv2

    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"--plot {path}: must end in .png, .jpg or .webp")
    done, data = cv2.imencode(path.suffix.lower(), _Chart(costs).render(title, subtitle))
    if not done:
        raise OutputError(f"cannot write {path}: OpenCV cannot encode {path.suffix} here")
    with files.atomic(path) as file:
        file.write(data.tobytes())


class _Chart:
    """Bar chart in pixels of the final image; the canvas is `FINE` times as large."""

    left, right, top, bottom = 110, 1560, 150, 700

    def __init__(self, costs: Sequence[LayerCost]) -> None:
        self.costs = costs
        self.step = _step(max(cost.bflops for cost in costs), 6)
        self.most = self.step * np.ceil(max(cost.bflops for cost in costs) / self.step * 1.04)
        self.pitch = (self.right - self.left) / len(costs)
        self.canvas = np.full((WH[1] * FINE, WH[0] * FINE, 3), 255, np.uint8)

    def render(self, title: str, subtitle: str) -> Array:
        import cv2

        self._text(title, (self.left, 58), 34, INK)
        self._text(subtitle, (self.left, 96), 20, MUTED)
        self._axes()
        self._bars()
        self._legend()
        chart: Array = cv2.resize(self.canvas, WH, interpolation=cv2.INTER_AREA)
        return chart

    def _axes(self) -> None:
        for i in range(round(self.most / self.step) + 1):
            y = self._y(i * self.step)
            self._box(self.left, y - 0.5, self.right, y + 0.5 + (i == 0), MUTED if i == 0 else GRID)
            self._text(f"{i * self.step:g}", (self.left - 12, y + 6), 17, MUTED, side="right")
        self._text("BFLOPs", (self.left - 12, self.top - 18), 17, MUTED, side="right")
        for i in range(0, len(self.costs), int(max(1, _step(len(self.costs), 12)))):
            x = self.left + (i + 0.5) * self.pitch
            self._box(x - 0.5, self.bottom, x + 0.5, self.bottom + 6, MUTED)
            self._text(str(i), (x, self.bottom + 26), 17, MUTED, side="middle")
        self._text("layers with a cost, from input to heads", (self.right, 770), 18, MUTED, side="right")

    def _bars(self) -> None:
        gap = min(4.0, 0.2 * self.pitch)
        for i, cost in enumerate(self.costs):
            x, y = self.left + i * self.pitch, self._y(cost.bflops)
            self._box(
                x + gap / 2,
                min(y, self.bottom - 1),
                x + self.pitch - gap / 2,
                self.bottom,
                COLOURS[_coloured_stride(cost.stride)],
            )
        i, cost = max(enumerate(self.costs), key=lambda pair: pair[1].bflops)
        x = self.left + max(160, (i + 0.5) * self.pitch)
        text = f"{cost.what} at {cost.hwc[1]}x{cost.hwc[0]}: {cost.bflops:.3f}"
        self._text(text, (x, self._y(cost.bflops) - 10), 17, INK, side="middle")

    def _legend(self) -> None:
        x = float(self.left)
        for stride in sorted({_coloured_stride(cost.stride) for cost in self.costs}):
            self._box(x, 757, x + 16, 773, COLOURS[stride])
            text = {1: "full size", 64: "1/64 and less"}.get(stride, f"1/{stride}")
            x += 22
            x += self._text(text, (x, 771), 18, MUTED) + 22

    def _y(self, bflops: float) -> float:
        return self.bottom - (self.bottom - self.top) * bflops / float(self.most)

    def _box(self, x0: float, y0: float, x1: float, y1: float, tint: RGB) -> None:
        x0, y0, x1, y1 = (round(v * FINE) for v in (x0, y0, x1, y1))
        self.canvas[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = _bgr(tint)

    def _text(self, text: str, xy: Tuple[float, float], px: float, tint: RGB, *, side: str = "left") -> float:
        """Draw text of `px` pixels' height, aligned at its left, middle or right; return its width."""
        import cv2

        (_, unit), _ = cv2.getTextSize("Ag", draw.FONT, 1.0, 1)
        scale, stroke = px * FINE * 0.72 / unit, max(1, round(px * FINE / 20))
        wide = cv2.getTextSize(text, draw.FONT, scale, stroke)[0][0] / FINE
        x = min(xy[0] - wide * {"left": 0.0, "middle": 0.5, "right": 1.0}[side], self.right - wide)
        place = (round(x * FINE), round(xy[1] * FINE))
        cv2.putText(self.canvas, text, place, draw.FONT, scale, _bgr(tint), stroke, cv2.LINE_AA)
        return float(wide)


def _step(most: float, parts: int) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that divides `most` into about `parts`."""
    power = 10.0 ** np.floor(np.log10(most / parts))
    return float(next(n * power for n in (1, 2, 5, 10) if n * power * parts >= most))


def _coloured_stride(stride: int) -> int:
    """Return the largest stride with a colour that is not above `stride`."""
    return max(known for known in COLOURS if known <= max(1, stride))


def _bgr(rgb: RGB) -> Any:
    return rgb & 255, rgb >> 8 & 255, rgb >> 16
