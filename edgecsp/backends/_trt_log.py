"""TensorRT's one logger: it takes the first it is given for the whole process, and says there why a call gave None."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any, Deque

from ..errors import BuildFailed

if TYPE_CHECKING:
    import tensorrt as trt

_said: Deque[str] = deque(maxlen=5)


@functools.lru_cache(maxsize=None)
def logger() -> trt.ILogger:
    """The process's logger. It keeps the last errors and prints nothing."""
    import tensorrt as trt

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 asks for the base's own, not for super's

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                _said.append(" ".join(text.split()))

    return Logger()


def forget() -> None:
    """Drop what was said before: it is not about what comes now."""
    _said.clear()


def failed(text: str) -> BuildFailed:
    """An error that ends with what TensorRT has said since the last one."""
    said = "; ".join(dict.fromkeys(_said))
    _said.clear()
    return BuildFailed(f"{text}. TensorRT says: {said}" if said else f"{text}. TensorRT says nothing")
