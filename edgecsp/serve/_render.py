"""Images of a stream: a frame with its boxes, or a card with a message when there is none."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from ..media import draw
from ..types import Array, Frame, Result

SIDE_PX = 1280  # largest side on the page: a 4K frame takes 60 ms to encode, and no phone shows it
QUALITY = 80


def render_frame(frame: Frame, result: Result) -> Array:
    """Draw the boxes on a frame, scaled down first to at most 1280 px so that lines and text keep their size."""
    import cv2

    image = frame.image
    height, width = frame.hw
    scale = SIDE_PX / max(height, width)
    if scale >= 1:
        return draw.annotate(image, result)
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return draw.annotate(small, result.scaled(scale), copy=False)


def render_message(hw: Tuple[int, int], lines: Tuple[str, ...]) -> Array:
    """Draw lines of text on a dark image of a given size, (height, width)."""
    import cv2

    scale = min(1.0, SIDE_PX / max(hw))
    height, width = max(64, round(hw[0] * scale)), max(64, round(hw[1] * scale))
    image = np.full((height, width, 3), 32, np.uint8)
    size = max(0.35, min(height / 360, width / 640) * 0.8)
    y = height * 0.38
    for line, strength, tint in zip(lines, (1.0, 1.5, 0.7), ((180,) * 3, (255,) * 3, (180,) * 3)):
        font = size * strength
        y += 14 * size
        for text in _wrap(line.encode("ascii", "replace").decode(), font, width - 8):
            (w, h), below = cv2.getTextSize(text, draw.FONT, font, 1)
            y += (h + below) * 1.35
            cv2.putText(image, text, ((width - w) // 2, round(y)), draw.FONT, font, tint, 1, cv2.LINE_AA)
    return image


def _wrap(text: str, font: float, width: int) -> List[str]:
    """Wrap a text to at most five lines of a width in pixels; longer words are cut."""
    import cv2

    def fits(words: str) -> bool:
        return int(cv2.getTextSize(words, draw.FONT, font, 1)[0][0]) <= width

    lines: List[str] = []
    for word in text.split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
            continue
        while len(word) > 1 and not fits(word):
            word = word[: len(word) * 3 // 4]
        lines.append(word)
    return lines[:5]


def encode_jpeg(image: Array) -> bytes:
    """Encode an image as JPEG."""
    import cv2

    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {image.shape}")
    encoded: bytes = data.tobytes()
    return encoded
