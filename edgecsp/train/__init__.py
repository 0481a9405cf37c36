"""Training: a zoo model learns what is on labelled images, and leaves a self-describing ONNX (needs edgecsp[train]).

run = edgecsp.train.train("cspdensenetb-ref-prn", "cards/data.yaml", settings=TrainSettings(epochs=60))
print(run.ap50, run.onnx)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .settings import TrainSettings

if TYPE_CHECKING:
    from .progress import Progress
    from .run import TrainRun, train

__all__ = ["Progress", "TrainRun", "TrainSettings", "train"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for: anchors and settings are of use without it."""
    if name in __all__:
        from . import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
