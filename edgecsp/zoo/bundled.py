"""The bundled models: detectors of the paper that edgecsp trained, each a packed file beside this one.

`codes.npz` holds the weights of the model `codes` and how they were made (calib/README.md has the recipe). A further
file that `python -m calib.bake` writes here is a further model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import csp_ref
from ._packed import record_of
from ._record import Entry, Trained


def entry(path: Path) -> Entry:
    """The model whose weights and record are in the packed file `path`; it is called as the file is."""
    record = record_of(path)
    base = next(each for each in csp_ref.MODELS if each.name == record["model"])
    return replace(
        base,
        name=path.stem,
        title=f"{base.title}, trained to find {record.get('finds', 'codes')}",
        size=int(record.get("imgsz", base.size)),
        rows=(),
        source=f"the layers of {base.name}; weights: calib/ of this project, {record['licence'].split(';')[0]}",
        anchors=tuple((w, h) for w, h in record["anchors"]),
        masks=tuple(tuple(mask) for mask in record["masks"]),
        scale_xy=tuple(record.get("scale_xy", ())),
        conf=float(record.get("conf", base.conf)),
        labels=tuple(record["labels"]),
        bundled=path,
        start=path.stem,
        trained=Trained.of_packed(record),
    )


MODELS = tuple(entry(path) for path in sorted(Path(__file__).parent.glob("*.npz")))
