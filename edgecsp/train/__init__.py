"""Training: a zoo model or a darknet cfg learns what is on labelled images (needs edgecsp[train]).

run = edgecsp.train("cspdensenetb-ref-prn", "cards/data.yaml", epochs=60)
print(run.ap50, run.onnx)

The package itself can be called: `edgecsp.train(...)` is `api.train`. `train` here takes its settings as one object.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import api
from .settings import TrainSettings

if TYPE_CHECKING:
    from .progress import TrainingProgress
    from .result import TrainRun
    from .run import train

__all__ = ["TrainingProgress", "TrainRun", "TrainSettings", "train"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for: anchors and settings are of use without it."""
    if name in __all__:
        from . import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Callable(ModuleType):
    """A package that is a function as well: once it is imported, Python binds `edgecsp.train` to it and to no other."""

    __call__ = staticmethod(api.train)


sys.modules[__name__].__class__ = _Callable
