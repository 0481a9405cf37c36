"""The packages that edgecsp uses and the versions of them that are here."""

from __future__ import annotations

from typing import Dict, Optional

# Distributions that bring a module under several names: the first one found counts.
_NAMES = {
    "numpy": ("numpy",),
    "onnx": ("onnx",),
    "opencv": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "av": ("av",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "pycuda": ("pycuda",),
}


def versions() -> Dict[str, Optional[str]]:
    """The version of each package, None for one that is not here."""
    return {name: _version(*names) for name, names in _NAMES.items()}


def own() -> str:
    """The version of edgecsp itself."""
    import importlib  # by name: nothing below the pipeline imports the package that offers it

    return str(importlib.import_module(__name__.partition(".")[0]).__version__)


def _version(*names: str) -> Optional[str]:
    from importlib import metadata

    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
