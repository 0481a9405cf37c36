"""TensorRT's logger: one per process, the only place where TensorRT reports why a call returned None."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any, Deque

from ..errors import BuildFailed

if TYPE_CHECKING:
    import tensorrt as trt

_messages: Deque[str] = deque(maxlen=5)


@functools.lru_cache(maxsize=None)
def logger() -> trt.ILogger:
    """Return the process's logger, which keeps the last errors and prints nothing."""
    import tensorrt as trt

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 asks for the base's own, not for super's

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                _messages.append(" ".join(text.split()))

    return Logger()


def clear() -> None:
    """Drop earlier messages."""
    _messages.clear()


def build_error(text: str) -> BuildFailed:
    """Build an error that ends with TensorRT's messages since the last one."""
    messages = "; ".join(dict.fromkeys(_messages))
    _messages.clear()
    return BuildFailed(f"{text}. TensorRT says: {messages}" if messages else f"{text}. TensorRT gives no reason")
