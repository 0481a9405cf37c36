"""Text output of commands: tables, charts, lines. `render.bench` is imported when it is asked for: few starts print."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import accuracy as accuracy
    from . import ap_budget as ap_budget
    from . import batch as batch
    from . import bench as bench
    from . import tune as tune


def __getattr__(name: str) -> Any:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
