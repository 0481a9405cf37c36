"""The bundled model: the paper's fastest detector, trained to find machine-readable codes.

`codes.npz` beside this file holds its weights and how they were made (calib/README.md has the recipe).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import csp_ref
from ._packed import record_of
from ._record import Entry, Trained

PACKED = Path(__file__).with_name("codes.npz")


def entry(path: Path) -> Entry:
    """The model whose weights and record are in the packed file `path`."""
    record = record_of(path)
    base = next(each for each in csp_ref.MODELS if each.name == record["model"])
    return replace(
        base,
        name="codes",
        title=f"{base.title}, trained to find codes",
        size=int(record.get("imgsz", base.size)),
        rows=(),
        source="the layers of " + base.name + "; weights: calib/ of this project, Apache-2.0",
        anchors=tuple((w, h) for w, h in record["anchors"]),
        masks=tuple(tuple(mask) for mask in record["masks"]),
        scale_xy=tuple(record.get("scale_xy", ())),
        labels=tuple(record["labels"]),
        bundled=path,
        trained=Trained.of_packed(record),
    )


MODELS = (entry(PACKED),)
