"""One piece of work at the session: the steps of a picture, each timed, and the engine's call, which is watched."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Union

from ..errors import EdgecspError, EngineFailed
from ..pipeline import Detector, Settings
from ..types import Array, Result

ImageOrLoader = Union[Array, Callable[[], Array]]


class InferenceContext:
    """A worker's hold of the session for one piece of work. `infer` is watched; the rest is our own code."""

    def __init__(self, detector: Detector, observe: Callable[[str, float], None]) -> None:
        self.detector = detector
        self.begun: Optional[float] = None  # when the engine was called
        self.infer_s = 0.0  # what it took
        self._observe = observe

    def detect(self, image_or_loader: ImageOrLoader, settings: Optional[Settings]) -> Result:
        """A picture, or what makes one (it is called here, off everybody else's thread) -> what is in it."""
        image = self.timed("decode", image_or_loader) if callable(image_or_loader) else image_or_loader
        batch, geometry = self.timed("preprocess", self.detector.prepare, image)
        outputs = self.infer(batch)
        result: Result = self.timed("post", self.detector.finish, outputs, geometry, settings)
        return result

    def infer(self, batch: Array) -> List[Array]:
        """Network input -> raw heads. Raises `EngineFailed` whatever the engine raised."""
        self.begun = time.monotonic()
        try:
            outputs: List[Array] = self.timed("infer", self.detector.infer, batch)
            return outputs
        except EdgecspError:
            raise
        except Exception as error:
            message = " ".join(str(error).split())[:300]
            raise EngineFailed(
                f"the engine failed ({type(error).__name__}: {message}); a new session is opened"
            ) from error
        finally:
            self.infer_s += time.monotonic() - (self.begun or 0.0)
            self.begun = None

    def timed(self, stage: str, function: Callable[..., Any], *args: Any) -> Any:
        """A call, its seconds told under the stage's name."""
        begun = time.perf_counter()
        value = function(*args)
        self._observe(stage, time.perf_counter() - begun)
        return value
