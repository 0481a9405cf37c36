"""Options shared by several commands, and parsers of their values."""

from __future__ import annotations

import os
import re
from typing import Any, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError

# Options of a detector, as defaults of parameters.
MODEL: Any = typer.Option(
    None, "--model", "-m", help="a name (edgecsp models list), or an ONNX file [default: codes, the bundled model]"
)
ENGINE: Any = typer.Option("auto", "--engine", "-e", help="see: edgecsp engines")
DEVICE: Any = typer.Option("auto", "--device", help="cpu, cuda, or another device of the engine")
THREADS: Any = typer.Option(None, "--threads", help="[default: one per physical core]")
PRECISION: Any = typer.Option(None, "--precision", help="fp32, fp16 or int8 [default: the graph's]")
CONF: Any = typer.Option(None, "--conf", help="confidence threshold [default: the model's, 0.25]")
IOU: Any = typer.Option(None, "--iou", help="NMS IoU threshold [default: the model's, 0.45]")
CLASSES: Any = typer.Option(None, "--classes", help="class names or numbers to detect: person,car")
MAX_DET: Any = typer.Option(300, "--max-det", help="maximum number of boxes per image")
AGNOSTIC: Any = typer.Option(False, "--agnostic-nms", help="boxes of different classes suppress each other")
PLAIN_NMS: Any = typer.Option(False, "--plain-nms", help="plain IoU NMS, ignoring the cfg's nms_kind")
IMGSZ: Any = typer.Option(None, "--imgsz", help="input size: 416 or HEIGHTxWIDTH [default: the model's]")
RESIZE: Any = typer.Option(None, "--resize", help="darknet, stretch, letterbox or crop [default: the model's]")

OPENCV_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"
MAX_PIXELS = 200_000_000  # sources.MAX_PIXELS, not imported here to start fast


def limit_opencv(max_pixels: Optional[int]) -> None:
    """Set OpenCV's own pixel limit, used when a header cannot be parsed; OpenCV reads it at import.

    Without `max_pixels` the default is set, unless the user has set the variable.
    """
    if max_pixels is not None:
        os.environ[OPENCV_LIMIT] = str(max_pixels)
    else:
        os.environ.setdefault(OPENCV_LIMIT, str(MAX_PIXELS))


def parse_size(text: Optional[str]) -> Optional[Tuple[int, int]]:
    """Parse "416" or "HEIGHTxWIDTH" as (height, width)."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,5})\s*(?:[x,]\s*(\d{1,5}))?\s*", text.lower())
    if not match or "0" in (match[1], match[2]):
        raise UsageError(f"--imgsz {text!r}: must be one side (416) or HEIGHTxWIDTH (352x640), in pixels")
    return int(match[1]), int(match[2] or match[1])


def split_words(values: Optional[Sequence[str]]) -> Optional[List[str]]:
    """Join repeated and comma-separated values into one list; None without values."""
    if not values:
        return None
    return [word.strip() for text in values for word in text.split(",") if word.strip()]


def join_names(names: Sequence[str], most: int = 8) -> str:
    """Join names as "a, b and c"."""
    visible = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join(filter(None, (", ".join(visible[:-1]), *visible[-1:])))
