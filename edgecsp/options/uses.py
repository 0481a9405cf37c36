"""Options of each entry point: all, under the same name and with the same default, but for what stands here."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from . import OPTIONS, EngineOptions, InputOptions, Thresholds
from .choices import BUNDLED_MODEL, PRECISIONS
from .declaration import Option, list_options


class OptionUse(NamedTuple):
    """Differences of an entry point from the declaration, each with its reason.

    `without`: options that it lacks, and why; or `only`: those that it takes, and in `reason` why no others.
    `several`: options that take several values. `changes`: other texts and defaults of the declaration, of options
    that mean something else there.
    """

    without: Mapping[str, str] = MappingProxyType({})
    only: Optional[Tuple[str, ...]] = None
    reason: str = ""
    several: Tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


_CHOSEN = {
    "concurrency": "chosen by the command: as many as the sources and the cores allow",
    "accepts_uint8": "for programs that compare engines; never slower when on",
}
_ARGUMENT = {"model": "models are arguments"}
_OPENED_ONCE = {
    name: "the model is opened once, for all streams and requests"
    for declaration in (EngineOptions, InputOptions)
    for name in list_options(declaration)
}
_OF_RESULTS = {
    name: "the network's speed does not depend on it"
    for name in (*list_options(InputOptions), *list_options(Thresholds))
    if name != "imgsz"
}
_REQUESTS = {"max_pixels": "images of requests have the server's own limit, serve.Limits"}
_SHAPE = "it writes a file or describes one, and opens no detector"

USES: Dict[str, OptionUse] = {
    "load": OptionUse(),
    "run": OptionUse(_CHOSEN),
    "serve": OptionUse({**_CHOSEN, **_REQUESTS}),
    "up": OptionUse(
        {**_CHOSEN, **_REQUESTS, "weights": "random weights are for timing: edgecsp serve --weights random"},
        changes={"model": {"default": BUNDLED_MODEL, "default_help": ""}},
    ),
    "stream": OptionUse(_OPENED_ONCE),
    "request": OptionUse(_OPENED_ONCE, changes={"max_det": {"most": 1000}}),
    "batch": OptionUse({**_CHOSEN, "max_pixels": "an image that is too large is a failure of its item, as any other"}),
    "tune": OptionUse(
        {
            **_ARGUMENT, **_OF_RESULTS,
            "weights": "what is tuned must be a model that can be loaded again",
            "concurrency": "it is what is measured",
            "accepts_uint8": "measured as it will run",
        },
        several=("engine", "precision", "threads"),
        changes={"device": {"help": "cpu, cuda, or another device of an engine; auto: all"}},
    ),
    "bench": OptionUse(
        {
            **_ARGUMENT, **_OF_RESULTS,
            "concurrency": "one image at a time; --scenario and --batch say how many belong together",
            "accepts_uint8": "on with --pipeline, off without",
        },
        several=("engine", "precision"),
        changes={
            "device": {"default": "cpu", "help": "cpu, cuda, jetson, or another device of an engine"},
            "weights": {
                "help": "random, even if weights are installed", "default_help": "installed weights, else random"
            },
        },
    ),
    "val": OptionUse(
        {
            **_ARGUMENT, "weights": "the accuracy of random weights is none",
            "concurrency": "chosen by the command: as many as the cores allow",
            "accepts_uint8": "images go the way they go in edgecsp run",
            "max_pixels": "the default limit holds",
        },
        several=("engine", "precision"),
        changes={
            "conf": {"default": 0.001, "default_help": ""},
            "max_det": {"default": 1000, "help": "maximum boxes per image; COCO counts 100 of each class"},
            "classes": {"help": "only these classes of the data"},
        },
    ),
    "verify": OptionUse(
        only=("engine", "threads", "weights", "imgsz"), several=("engine",),
        reason="it compares raw heads on every device, in every precision",
    ),
    "build": OptionUse(
        only=("weights", "imgsz", "precision"), reason="the recipe is of one engine and one board",
        changes={"precision": {"default": None, "default_help": "the recipe's", "choices": PRECISIONS, "about": ""}},
    ),
    "quantize": OptionUse(only=("imgsz", "threads"), reason=_SHAPE),
    "export": OptionUse(only=("weights", "imgsz"), reason=_SHAPE),
    "models show": OptionUse(only=("imgsz",), reason=_SHAPE),
    "models recommend": OptionUse(only=(), reason="`--device` is the board that a model is chosen for"),
    "import": OptionUse(
        only=("imgsz", "resize"), reason=_SHAPE,
        changes={
            "imgsz": {"help": "input size instead of the file's", "default_help": ""},
            "resize": {"help": "darknet, stretch, letterbox or crop, instead of the file's", "default_help": ""},
        },
    ),
    "train": OptionUse(only=(), reason="options of a training are others, also under the same names: TrainSettings"),
}  # fmt: skip


def list_used_options(entry: str) -> Dict[str, Option]:
    """List the options that an entry point takes, by name, as it declares them."""
    point = USES[entry]
    return {
        name: declared._replace(**point.changes[name]) if name in point.changes else declared
        for name, declared in OPTIONS.items()
        if (name in point.only if point.only is not None else name not in point.without)
    }
