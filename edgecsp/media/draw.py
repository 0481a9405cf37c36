"""Draw results on images: boxes with a label each, or a classifier's top 5 in a corner."""

from __future__ import annotations

from functools import lru_cache, singledispatch
from typing import List, Sequence, Tuple

import numpy as np

from ..types import Array, Classes, CountedArea, Detections, Result, Tracks

BGR = Tuple[int, int, int]

# After Okabe and Ito, "Color Universal Design" (2008), and Paul Tol's vibrant and muted schemes. Ordered so that
# neighbours differ with every kind of colour blindness (delta E of at least 36; any two, 7).
PALETTE_RGB = (
    0xE69F00, 0x4477FF, 0xAA3377, 0x56E0B0, 0xD55E00, 0x44AA99, 0x332288, 0xEE3377,
    0x56B4E9, 0xF0E442, 0x0072B2, 0x999933, 0xFF8FB8, 0x117733, 0xDDCC77, 0x882255,
)  # fmt: skip
FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX; OpenCV 5 has a better-looking font under the same number
AREA_BGR, AREA_EDGE = (255, 255, 255), (0, 0, 0)  # lines and zones: white with a black edge
TOP = 5


def colour(class_id: int) -> BGR:
    """Return the fixed colour of a class: (blue, green, red), 0..255."""
    value = PALETTE_RGB[class_id % len(PALETTE_RGB)]
    return value & 255, value >> 8 & 255, value >> 16


def annotate(image: Array, result: Result, *, copy: bool = True) -> Array:
    """Draw a result: (H, W, 3) uint8 BGR in and out, boxes in image pixels.

    Line width and text scale with the image. `copy=False` draws on `image` itself, which must then be writable and
    C-contiguous.
    """
    canvas = image.copy() if copy else image
    _paint(result, canvas)
    return canvas


@singledispatch
def _paint(result: Result, canvas: Array) -> None:
    """Draw a result on an image in place; a class of results registers its own way."""
    raise NotImplementedError(f"{type(result).__name__} cannot be drawn")


@_paint.register(Detections)
def _paint_boxes(detections: Detections, canvas: Array) -> None:
    texts = [[f"{name} {score:.2f}", name] for name, score in zip(detections.labels, detections.scores)]
    boxes(canvas, detections.xyxy, texts, [colour(int(i)) for i in detections.class_ids])


@_paint.register(Tracks)
def _paint_tracks(tracks: Tracks, canvas: Array) -> None:
    """Draw lines and zones, each trail in its object's colour, over them the boxes with ids, and the counts."""
    import cv2

    line = _style(min(canvas.shape[:2])).line
    for area in tracks.areas:
        _paint_area(canvas, area)
    colours = [colour(int(i)) for i in tracks.class_ids]
    for points, tint in zip(tracks.trail_points(), colours):
        cv2.polylines(canvas, [points.round().astype(np.int32)[:, None]], False, tint, line, cv2.LINE_AA)
    rows = zip(tracks.labels, tracks.scores, tracks.track_ids)
    texts = [[f"#{i} {name} {score:.2f}", f"#{i} {name}", f"#{i}"] for name, score, i in rows]
    boxes(canvas, tracks.xyxy, texts, colours)
    for area in tracks.areas:
        _paint_counts(canvas, area)


def _paint_area(canvas: Array, area: CountedArea) -> None:
    """Draw a line, with an arrow to where "in" is, or a zone."""
    import cv2

    style = _style(min(canvas.shape[:2]))
    points = np.array(area.points, np.float64)
    middle = points.mean(0)
    corners = [points.round().astype(np.int32)[:, None]]
    for tint, width in ((AREA_EDGE, style.line + 2), (AREA_BGR, style.line)):
        cv2.polylines(canvas, corners, len(points) > 2, tint, width, cv2.LINE_AA)
        if len(points) == 2:
            along = points[1] - points[0]
            inwards = np.array((-along[1], along[0])) / np.hypot(*along) * style.tag_px
            begin, end = np.array((middle, middle + inwards)).round().astype(int).tolist()
            cv2.arrowedLine(canvas, begin, end, tint, width, cv2.LINE_AA, tipLength=0.4)


def _paint_counts(canvas: Array, area: CountedArea) -> None:
    """Write the counts of a line at its first point, of a zone at its upper left."""
    x, y = (round(each) for each in (area.points[0] if len(area.points) == 2 else min(area.points, key=sum)))
    _paint_tag(canvas, _style(min(canvas.shape[:2])), [area.headline(), area.name], [x, y, x, y], AREA_BGR)


def boxes(canvas: Array, xyxy: Array, texts: Sequence[Sequence[str]], colours: Sequence[BGR]) -> None:
    """Draw boxes on an image, (H, W, 3) uint8 BGR, writable and C-contiguous; the first on top.

    `xyxy` (N, 4) in image pixels; the label of a box is the first of its `texts` that fits the image's width.
    """
    import cv2

    style = _style(min(canvas.shape[:2]))
    height, width = canvas.shape[:2]
    limit = (width - 1, height - 1, width - 1, height - 1)
    corners = np.clip(np.nan_to_num(np.asarray(xyxy, np.float64)), 0, limit).round().astype(int).tolist()
    # The best last, on top; all boxes before all labels, so that no line crosses a label.
    order = range(len(corners) - 1, -1, -1)
    for i in order:
        x0, y0, x1, y1 = corners[i]
        cv2.rectangle(canvas, (x0, y0), (x1, y1), colours[i], style.line)
    for i in order:
        _paint_tag(canvas, style, texts[i], corners[i], colours[i])


def add_title(image: Array, text: str) -> Array:
    """Add a line of text above an image, (H, W, 3) uint8 BGR, which gets higher by it."""
    height, width = image.shape[:2]
    style = _style(min(height, width))
    strip = np.full((style.tag_px, width, 3), 32, np.uint8)
    words = _truncate(style, text, width)
    _put(strip, style, words, (style.pad, style.base), (235, 235, 235))
    return np.concatenate((strip, image))


def _paint_tag(canvas: Array, style: _Style, texts: Sequence[str], box: List[int], fill: BGR) -> None:
    """Draw the first text that fits the image's width, above the box, else inside at its top."""
    import cv2

    height, width = canvas.shape[:2]
    for text in texts:
        w = style.width(text)
        if w <= width and style.tag_px <= height:
            break
    else:
        return
    half = style.line // 2
    x = min(max(box[0] - half, 0), width - w)
    y = box[1] + half - style.tag_px + 1
    if y < 0:
        y = min(max(box[1] - half, 0), height - style.tag_px)
    cv2.rectangle(canvas, (x, y), (x + w - 1, y + style.tag_px - 1), fill, cv2.FILLED)
    _put(canvas, style, text, (x + style.pad, y + style.base), ink(fill))


@_paint.register(Classes)
def _paint_classes(classes: Classes, canvas: Array) -> None:
    """Draw the top 5 classes, best first, on a darkened corner at the top left."""
    style = _style(min(canvas.shape[:2]))
    height, width = canvas.shape[:2]
    rows = min(TOP, len(classes), height // style.tag_px)
    if not rows:
        return
    scores = [f"{100 * float(score):.1f}%" for score in classes.scores[:rows]]
    names = [classes.name_of(int(i)) for i in classes.class_ids[:rows]]
    column = max(style.width(score) for score in scores)
    w = min(width, column + max(style.width(name) for name in names))
    corner = canvas[: rows * style.tag_px + style.pad, :w]
    corner[:] = corner // 4  # keeps text readable on any image
    for row, (score, name) in enumerate(zip(scores, names)):
        y = row * style.tag_px + style.base + style.pad // 2
        tint = (255, 255, 255) if row == 0 else (190, 190, 190)
        _put(corner, style, score, (column - style.width(score) + style.pad, y), tint)
        _put(corner, style, name, (column + style.pad // 2, y), tint)


def _truncate(style: _Style, text: str, width: int) -> str:
    """Cut a text to a width in pixels."""
    while text and style.width(text) > width:
        text = text[:-1]
    return text


def ink(fill: BGR) -> BGR:
    """Return black or white, whichever has more contrast (WCAG relative luminance)."""
    blue, green, red = ((v / 255) ** 2.2 for v in fill)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def _put(canvas: Array, style: _Style, text: str, origin: Tuple[int, int], tint: BGR) -> None:
    import cv2

    cv2.putText(canvas, text, origin, FONT, style.scale, tint, style.stroke, cv2.LINE_AA)


class _Style:
    """Sizes in pixels for an image whose shorter side is `side`."""

    def __init__(self, side: int) -> None:
        import cv2

        text_px = max(9.0, 5 + side * 0.0165)
        self.line = max(1, round(side / 280))
        # Measured, because OpenCV's fonts differ between versions.
        (_, unit), _ = cv2.getTextSize("Ag", FONT, 1.0, 1)
        self.scale = text_px / unit
        self.stroke = max(1, round(self.scale * 1.4))
        (_, ascent), descent = cv2.getTextSize("Ag", FONT, self.scale, self.stroke)
        self.pad = max(2, round(text_px * 0.3))
        self.base = self.pad + ascent
        self.tag_px = self.base + descent + self.pad // 2

    def width(self, text: str) -> int:
        import cv2

        return int(cv2.getTextSize(text, FONT, self.scale, self.stroke)[0][0]) + 2 * self.pad


@lru_cache(maxsize=16)
def _style(side: int) -> _Style:
    return _Style(side)
