"""Match a model's labels with a data set's class names, whose numbers seldom agree."""

from __future__ import annotations

import re
from typing import Sequence

import numpy as np

from ...errors import UsageError
from ...types import Array
from .truth import Data

# Darknet's COCO names and COCO's own.
_SAME = {"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "tvmonitor": "tv"}
_NAMELESS = re.compile(r"class\d+")
MOST = 12


def match_classes(labels: Sequence[str], data: Data, model: str) -> Array:
    """Map each class of a model to the data's class, -1 for none: (len(labels),) int64.

    By name, whatever the case, spaces, dashes and underscores; by number where the model's classes have no names
    and there are as many. Raises `UsageError` that names the classes with boxes which the model does not know.
    """
    if all(_NAMELESS.fullmatch(label) for label in labels):
        if len(labels) != len(data.names):
            raise UsageError(
                f"the {len(labels)} classes of {model} have no names, and {data.name} has {len(data.names)} classes: "
                "which is which? Import the model with --names FILE"
            )
        return np.arange(len(labels))
    known = {normalize(name): i for i, name in enumerate(data.names)}
    if len(known) < len(data.names):
        keys = [normalize(name) for name in data.names]
        twice = [name for name in data.names if keys.count(normalize(name)) > 1]
        raise UsageError(f"{data.name} has two classes of one name: {', '.join(twice[:MOST])}; rename one")
    class_ids = np.array([known.get(normalize(label), -1) for label in labels], np.int64)
    counts = data.counts
    lacking = [name for i, name in enumerate(data.names) if counts[i] and i not in class_ids]
    if lacking:
        able = [name for i, name in enumerate(data.names) if counts[i] and i in class_ids]
        way = f", or leave them out: --classes '{','.join(able)}'" if able else ""
        raise UsageError(
            f"{_few(lacking)} of {data.name}: {model} has no class of that name. It knows {_few(labels)}; rename "
            f"them in the data as the model calls them{way}"
        )
    return class_ids


def normalize(name: str) -> str:
    """Normalise a class name for comparison."""
    bare = re.sub(r"[\W_]", "", name.lower())
    return _SAME.get(bare, bare)


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")
