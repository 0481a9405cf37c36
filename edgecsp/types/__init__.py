"""The basic types: frozen, numpy only, no I/O.

A `Frame` comes out of a source; `Geometry` remembers how it was put into the network's input;
`Detections` is what a sink gets. `Model` describes a graph: its `Input` and its heads (kinds: `processing/heads`).

Coordinates: `xyxy` are floats in pixels of the image, x right, y down, (0, 0) the top-left corner
of the top-left pixel, so a box over the whole image is (0, 0, width, height).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.deprecation import moved_names
from .frames import Array, Frame, Geometry, Origin, Stream
from .models import LETTERBOXES, Head, Input, Model
from .results import Classes, Classification, Detection, Detections, Result
from .tracks import CountedArea, TrackedDetection, Tracks

__all__ = [
    "LETTERBOXES", "Array", "Classes", "Classification", "CountedArea", "Detection", "Detections", "Frame", "Geometry",
    "Head", "Input", "Model", "Origin", "Result", "Stream", "TrackedDetection", "Tracks",
]  # fmt: skip

if not TYPE_CHECKING:  # for type checkers a module with __getattr__ would have every name
    __getattr__ = moved_names(__name__, "edgecsp.processing.heads", remove_in="0.3", modules={
        "Yolo": "yolo", "AnchorFree": "anchor_free", "Decoded": "decoded", "EndToEnd": "end_to_end",
        "Scores": "scores", "Raw": "two_stage",
    })  # fmt: skip
