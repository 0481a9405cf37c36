"""The anchor lists that many models share, in pixels of the input, and which of them each head has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

Wh = Tuple[float, float]

A6: Tuple[Wh, ...] = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
"""YOLOv3-tiny's anchors (published cfg)."""
A9: Tuple[Wh, ...] = (
    (10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326),
)  # fmt: skip
"""YOLOv3's anchors (paper, 2.3)."""
A9_V4: Tuple[Wh, ...] = (
    (12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401),
)  # fmt: skip
"""YOLOv4's anchors (published cfg)."""


@dataclass(frozen=True)
class AnchorSet:
    """Anchors of every head, the finest stride first, with each head's `scale_xy` (1 for all when empty)."""

    heads: Tuple[Tuple[Wh, ...], ...]
    scale_xy: Tuple[float, ...] = ()

    def split(self, count: int) -> Tuple[Tuple[Wh, ...], ...]:
        """Return the anchors of `count` heads; one list for all is divided evenly. Another number may come back."""
        each = self.heads
        if len(each) == 1 and len(each[0]) % count == 0:
            n = len(each[0]) // count
            each = tuple(each[0][i : i + n] for i in range(0, len(each[0]), n))
        return each


SETS: Dict[str, AnchorSet] = {
    "yolov3": AnchorSet((A9[:3], A9[3:6], A9[6:])),
    "yolov5": AnchorSet((A9[:3], A9[3:6], A9[6:])),  # YOLOv7-tiny's, too
    "yolov7": AnchorSet((A9_V4[:3], A9_V4[3:6], A9_V4[6:])),
    "yolov4": AnchorSet((A9_V4[:3], A9_V4[3:6], A9_V4[6:]), (1.2, 1.1, 1.05)),
    # The official weights were trained with anchors 1,2,3 at stride 16, whatever the cfg says.
    "yolov3-tiny": AnchorSet((A6[1:4], A6[3:])),
    "yolov4-tiny": AnchorSet((A6[1:4], A6[3:]), (1.05, 1.05)),
}
"""The published sets of COCO detectors by name."""
