"""One job on the inference session: the timed stages of an image, and the engine call, which is watched."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Union

from ..errors import EdgecspError, EngineFailed
from ..options import Thresholds
from ..pipeline import Detector
from ..types import Array, Result

ImageOrLoader = Union[Array, Callable[[], Array]]


class InferenceContext:
    """Access of a worker to the session for one job. Only `infer` is watched for hanging."""

    def __init__(self, detector: Detector, observe: Callable[[str, float], None]) -> None:
        self.detector = detector
        self.begun: Optional[float] = None  # when the running engine call began
        self.infer_s = 0.0  # total time of the engine calls
        self._observe = observe

    def detect(self, image_or_loader: ImageOrLoader, settings: Optional[Thresholds]) -> Result:
        """Detect objects in an image, or in what a loader returns (called here, in the worker's thread)."""
        image = self.timed("decode", image_or_loader) if callable(image_or_loader) else image_or_loader
        batch, geometry = self.timed("preprocess", self.detector.prepare, image)
        outputs = self.infer(batch)
        result: Result = self.timed("post", self.detector.finish, outputs, geometry, settings)
        return result

    def infer(self, batch: Array) -> List[Array]:
        """Run the network: input batch -> raw heads. Raises `EngineFailed` for any exception of the engine."""
        self.begun = time.monotonic()
        try:
            outputs: List[Array] = self.timed("infer", self.detector.infer, batch)
            return outputs
        except EdgecspError:
            raise
        except Exception as error:
            message = " ".join(str(error).split())[:300]
            raise EngineFailed(
                f"the engine failed ({type(error).__name__}: {message}); a new session is being opened"
            ) from error
        finally:
            self.infer_s += time.monotonic() - (self.begun or 0.0)
            self.begun = None

    def timed(self, stage: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function and report its seconds under the stage's name."""
        begun = time.perf_counter()
        value = function(*args)
        self._observe(stage, time.perf_counter() - begun)
        return value
