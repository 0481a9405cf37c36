"""The zoo: models built from code, one file a family. Adding a model touches one file.

    for name in zoo.names():
        net = zoo.net(name)
        print(name, net.bflops, net.weights)
    model = zoo.model("csppeleenet-ref-efm-sam", export.RandomWeights())

A module here that does not begin with "_" is a family; its `MODELS` are its entries. Another package adds a family
through an entry point of the group `edgecsp.models` that names such a list. README.md in this folder
says which layers are published and which are reconstructed, and what the tables force.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import logging
import pkgutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import UnknownName, UsageError
from ..graph import onnx_model
from ..graph.export import RandomWeights
from ..graph.export import Weights as Floats
from ..graph.labels import default_labels
from ..graph.layers import Net
from ..system import entry_points
from ..types import Model
from ._heads import Wh
from ._packed import PackedWeights, record_of
from ._record import Entry, PublicWeights, PublishedRow, Trained

__all__ = [
    "GROUP", "Entry", "PublicWeights", "PublishedRow", "Trained", "bundled_names", "bundled_weights", "get", "has",
    "load_bundled", "model", "models", "names", "net", "record", "source_digest",
]  # fmt: skip
LOG = logging.getLogger(__name__)
GROUP = "edgecsp.models"


@functools.lru_cache(maxsize=None)
def _entries() -> Mapping[str, Entry]:
    entries: Dict[str, Entry] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg or module.name.startswith("_"):
            continue
        for entry in importlib.import_module(f"{__name__}.{module.name}").MODELS:
            assert entry.name not in entries, f"two models are called {entry.name}"
            entries[entry.name] = entry
    return entries


@functools.lru_cache(maxsize=None)
def _external_entries() -> Mapping[str, Entry]:
    """Read the models of other packages; one that cannot be used is left out, with a warning."""
    entries: Dict[str, Entry] = {}
    for name, point in sorted(entry_points.read(GROUP).items()):
        try:
            models = list(entry_points.load(point))
        except (entry_points.EntryPointError, TypeError) as error:
            LOG.warning("entry point %r of %s is not used: %s", name, GROUP, error)
            continue
        for entry in models:
            reason = "" if isinstance(entry, Entry) else f"{entry!r} is no zoo.Entry"
            if not reason and entry.name in {**_entries(), **entries}:
                reason = f"another model is called {entry.name}"
            if reason:
                LOG.warning("a model in %s is not used: %s", entry_points.place(point), reason)
            else:
                entries[entry.name] = entry
    return entries


def names() -> Tuple[str, ...]:
    """The name of every model, family by family, those of other packages last."""
    return (*_entries(), *_external_entries())


def models() -> List[str]:
    """List the names that `edgecsp.load` takes: the models here, those of other packages too."""
    return list(names())


def has(name: str, *, built_in: bool = False) -> bool:
    """Whether a model has this name, with `built_in` one of edgecsp's own; other packages are read only if none has."""
    return name in _entries() or (not built_in and name in _external_entries())


def get(name: str) -> Entry:
    """Return a model's record. Raises `UnknownName`."""
    if not has(name):
        raise UnknownName("model", name, names())
    return _entries().get(name) or _external_entries()[name]


def net(
    name: str,
    hw: Optional[Tuple[int, int]] = None,
    classes: Optional[int] = None,
    *,
    anchors: Optional[Sequence[Wh]] = None,
    masks: Optional[Sequence[Sequence[int]]] = None,
    scale_xy: Optional[Sequence[float]] = None,
) -> Net:
    """A model's layers with their shapes and costs; what is not given is as published.

    `hw` is (height, width); `anchors` the whole list in input pixels, `masks` which of them each head has, `scale_xy`
    one value a head. Raises `UnknownName` or `UsageError`.
    """
    return get(name).net(hw, classes, anchors, masks, scale_xy)


def model(
    name: str,
    weights: Floats,
    hw: Optional[Tuple[int, int]] = None,
    labels: Optional[Sequence[str]] = None,
    *,
    anchors: Optional[Sequence[Wh]] = None,
    masks: Optional[Sequence[Sequence[int]]] = None,
    origin: Optional[Mapping[str, str]] = None,
) -> Model:
    """A model with its weights as a self-describing ONNX.

    `weights` gives the floats in darknet's order: `export.RandomWeights`, or `darknet.weights.WeightsFile` of
    `net(name, ...)`. As many classes as `labels` (the entry's own, COCO's 80, or class0 to class999 for a
    classifier, when not given). `origin` is added to what the model says of itself. Raises `UnknownName`,
    `UsageError`, `BadWeights`.
    """
    entry = get(name)
    if labels is None and entry.labels:
        labels = entry.labels
    elif labels is None:
        labels = default_labels(entry.classes, has_boxes=entry.result.has_boxes)
    if not labels:
        raise UsageError(f"{name} needs at least one label")
    labels = tuple(labels)
    first_stage = entry.net(hw, len(labels), anchors, masks)
    origin_fields = {**entry.origin(), **(origin or {})}
    if isinstance(weights, RandomWeights):
        origin_fields["weights"] = "random"
    built = onnx_model.build(
        first_stage,
        weights,
        name=name,
        labels=labels,
        input=entry.input(first_stage),
        conf=entry.conf,
        iou=entry.iou,
        nms_beta=entry.nms_beta,
        origin=origin_fields,
    )
    if entry.second is None:
        return built
    judge = onnx_model.build(
        entry.second(len(labels)), weights, name=f"{name}-second", labels=labels, batch=entry.rois, origin=origin_fields
    )
    return onnx_model.with_second(built, judge)


def bundled_names() -> List[str]:
    """List the models whose weights come with the package."""
    return [name for name, entry in _entries().items() if entry.bundled]


def load_bundled(name: str) -> Model:
    """A model whose weights come with the package. Raises `UnknownName`, and `UsageError` where none do."""
    weights = PackedWeights(_packed_file(name))
    facts = ("trained", "scenes", "data", "commit", "licence")
    origin = {key: str(weights.record[key]) for key in facts if key in weights.record}
    return model(name, weights, origin={"weights": "in the box", **origin})


def bundled_weights(name: str) -> PackedWeights:
    """The floats of weights that come with the package, in darknet's order. Raises as `shipped` does."""
    return PackedWeights(_packed_file(name))


def source_digest(name: str) -> str:
    """Digest everything that determines `load_bundled`'s result: the weights, and the code that builds the layers.

    Raises as `shipped` does.
    """
    digest = hashlib.sha256(_packed_file(name).read_bytes())
    here = Path(__file__).parent
    code = ("graph/anchors", "types/models", "graph/export", "graph/labels", "graph/layers", "graph/onnx_model")
    for file in (*sorted(here.glob("*.py")), *(here.parent / f"{each}.py" for each in code)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def record(name: str) -> Dict[str, Any]:
    """Record of weights that the package has: how they were made, what they measured. Raises as `shipped` does."""
    return record_of(_packed_file(name))


def _packed_file(name: str) -> Path:
    place = get(name).bundled
    if place is None:
        raise UsageError(f"no weights of {name} come with edgecsp")
    return place
