"""One piece of work at the session: the steps of a picture, each timed, and the engine's call, which is watched."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Union

from ..errors import EdgecspError, EngineFailed
from ..pipeline import Detector, Settings
from ..types import Array, Result

Picture = Union[Array, Callable[[], Array]]


class InferenceContext:
    """A worker's hold of the session for one piece of work. `infer` is watched; the rest is our own code."""

    def __init__(self, detector: Detector, observe: Callable[[str, float], None]) -> None:
        self.detector = detector
        self.begun: Optional[float] = None  # when the engine was called
        self.infer_s = 0.0  # what it took
        self._observe = observe

    def detect(self, picture: Picture, settings: Optional[Settings]) -> Result:
        """A picture, or what makes one (it is called here, off everybody else's thread) -> what is in it."""
        image = self.timed("decode", picture) if callable(picture) else picture
        batch, geometry = self.timed("preprocess", self.detector.prepare, image)
        outputs = self.infer(batch)
        found: Result = self.timed("post", self.detector.finish, outputs, geometry, settings)
        return found

    def infer(self, batch: Array) -> List[Array]:
        """Network input -> raw heads. Raises `EngineFailed` whatever the engine raised."""
        self.begun = time.monotonic()
        try:
            outputs: List[Array] = self.timed("infer", self.detector.infer, batch)
            return outputs
        except EdgecspError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise EngineFailed(
                f"the engine failed ({type(error).__name__}: {said}); a new session is opened"
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
