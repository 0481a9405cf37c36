"""edgecsp: CSP detectors on edge devices. A frame goes in, boxes come out.

    import edgecsp

    detector = edgecsp.load("yolov3-tiny.onnx")
    result = detector("street.jpg", conf=0.4)
    for detection in result:
        print(detection.label, detection.score, detection.xyxy)
    result.save("annotated.jpg")
    for frame, result in detector.stream("video.mp4"):
        ...

>>> import edgecsp
>>> "codes" in edgecsp.models(), "ort" in edgecsp.engines()
(True, True)
>>> edgecsp.Options(model="codes", classes="qr").classes
('qr',)

Importing the package imports none of the heavy ones (numpy comes with the first name used).
"""

from __future__ import annotations

# ruff: noqa: I001
from .system import first_signals  # noqa: F401 - before the other imports, which take a command's first 50 ms

import logging
from typing import TYPE_CHECKING, Any, List

from .system.deprecation import MovedModules

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .backends import engines
    from .errors import EdgecspError
    from .options import Options, Thresholds
    from .pipeline import Detector, load
    from .track import Line, Zone
    from .train.api import train
    from .types import Classes, Detection, Detections, Frame
    from .zoo import models

_HOMES = {
    "Classes": "types",
    "Detection": "types",
    "Detections": "types",
    "Frame": "types",
    "Line": "track",
    "Options": "options",
    "Thresholds": "options",
    "Zone": "track",
    "Detector": "pipeline",
    "EdgecspError": "errors",
    "engines": "backends",
    "load": "pipeline",
    "models": "zoo",
}
__all__ = [
    "Classes", "Detection", "Detections", "Detector", "EdgecspError", "Frame", "Line", "Options", "Thresholds", "Zone",
    "__version__", "engines", "load", "models", "train",
]  # fmt: skip

# A library: its log is seen once the program around it, or the command line, has said where to.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_MOVED = {
    "core": "types",
    "preprocess": "processing.preprocess",
    "decode": "processing.decode",
    "nms": "processing.nms",
    "sources": "media.sources",
    "sinks": "media.sinks",
    "draw": "media.draw",
    "darknet": "importers.darknet",
    "onnx_model": "graph.onnx_model",
    "precision": "graph.precision",
    "plans": "cache.plans",
    "evaluate": "bench.accuracy",
    "verify": "bench.verify",
}
MovedModules({f"{__name__}.{old}": f"{__name__}.{new}" for old, new in _MOVED.items()}, remove_in="0.3").install()


def __getattr__(name: str) -> Any:
    import importlib

    if name == "train":  # a package that can be called
        return importlib.import_module(".train", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(__all__)
