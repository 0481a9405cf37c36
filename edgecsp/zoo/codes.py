"""The model in the box: the paper's fastest detector, trained to find machine-readable codes.

`codes.npz` beside this file holds its weights and how they were made (`python -m calib.train`, seeds and commit).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import csp_ref
from ._packed import record_of
from ._record import Trained

SHIPPED = Path(__file__).with_name("codes.npz")
_RECORD = record_of(SHIPPED)
_BASE = next(entry for entry in csp_ref.MODELS if entry.name == _RECORD["model"])

MODELS = (
    replace(
        _BASE,
        name="codes",
        title=f"{_BASE.title}, trained to find codes",
        rows=(),
        source="the layers of " + _BASE.name + "; weights: calib/ of this project, Apache-2.0",
        anchors=tuple((w, h) for w, h in _RECORD["anchors"]),
        masks=tuple(tuple(mask) for mask in _RECORD["masks"]),
        labels=tuple(_RECORD["labels"]),
        shipped=SHIPPED,
        trained=Trained.of_packed(_RECORD),
    ),
)
