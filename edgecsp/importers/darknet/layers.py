"""Build a `Net` from darknet's sections, one function per kind of section.

Every default is darknet's own (AlexeyAB's parser.c), also where it surprises: a [convolutional] without an
activation is logistic, a [maxpool] pads size - 1. An option that would change the result and is not supported
is an error, never ignored.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Sequence, Tuple

from ...errors import BadModel
from ...graph.layers import MAX_SIDE, Net, Tensor
from .building import Build
from .cfg import Section
from .heads import HEADS, add_yolo
from .maps import MAPS

_ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
    "conn": "connected",
    "local_avg": "local_avgpool",
    "silence": "empty",
}
_UNSUPPORTED = (
    "activation",
    "contrastive",
    "conv_lstm",
    "conv_xnor",
    "crnn",
    "deconvolutional",
    "detection",
    "gru",
    "history",
    "iseg",
    "local",
    "logistic",
    "lrn",
    "lstm",
    "normalization",
    "reorg_old",
    "rnn",
    "implicit_add",
    "implicit_mul",
    "control_channels",
    "implicit",
    "shift_channels",
    "yolo_bdp",
)
_STEPS: Dict[str, Callable[[Build, Section], Optional[Tensor]]] = {**MAPS, **HEADS}


def build(sections: Sequence[Section], hw: Optional[Tuple[int, int]] = None) -> Tuple[Build, str]:
    """Build all sections of a cfg; returns the `Build` and the resize mode. `hw` replaces [net]'s size."""
    net_section = sections[0]
    if kind_of(net_section) != "net":
        raise net_section.error("comes first; a cfg begins with [net]")
    net, resize = _net(net_section, hw)
    build = add_sections(net, sections[1:])
    last = build.last
    if not net.heads and last is not None and (last.h, last.w) == (1, 1) and build.outputs:
        _add_scores(net, last)
        resize = "crop"
    return build, resize


def _add_scores(net: Net, last: Tensor) -> None:
    """Make the last map a classifier's scores; a softmax over all of them is applied when they are read."""
    layer = net.layers[last.layer]
    if layer.op != "softmax":
        net.scores(last)
    elif layer.attrs["groups"] == 1:
        net.scores(Tensor(layer.inputs[0], *last[1:]))
    else:
        net.scores(last, softmax=False)


def add_sections(net: Net, sections: Sequence[Section], head: Optional[Callable[[Tensor], None]] = None) -> Build:
    """Add the sections behind [net] to `net`.

    With `head`, it is called with the map that the section in front of each [yolo] reads, and lays both of them: a
    [convolutional], and a head with other classes and anchors. Raises `BadModel`.
    """
    build = Build(net)
    for section, behind in zip(sections, [*sections[1:], None]):
        step = _step(section)
        if head is not None and step is add_yolo:
            step = _skip
        elif head is not None and behind is not None and kind_of(behind) == "yolo":
            step = _head_step(head)
        index = len(build.outputs)
        net.at = f"layer {index} [{section.kind}] (line {section.line})"
        try:
            build.last = step(build, section)
        except BadModel as error:
            # The tape's own complaints know shapes, not lines.
            raise error if str(error).startswith(section.file) else section.error(f"layer {index}: {error}") from None
        build.outputs.append(build.last)
        build.kinds.append(section.kind)
    return build


def _head_step(head: Callable[[Tensor], None]) -> Callable[[Build, Section], Optional[Tensor]]:
    def step(build: Build, section: Section) -> Optional[Tensor]:
        head(build.input_of(section))
        return build.net.heads[-1][0]

    return step


def _skip(build: Build, section: Section) -> None:
    """Skip a [yolo] that was added together with the section in front of it."""


def kind_of(section: Section) -> str:
    """Return a section's canonical kind: darknet has aliases for some."""
    return _ALIASES.get(section.kind, section.kind)


def _step(section: Section) -> Callable[[Build, Section], Optional[Tensor]]:
    import difflib

    kind = kind_of(section)
    if kind in _STEPS:
        return _STEPS[kind]
    known = ", ".join(sorted(_STEPS))
    if kind == "net":
        raise section.error("comes a second time")
    if kind in _UNSUPPORTED:
        raise section.error(f"is a darknet layer that edgecsp does not support. Supported: {known}")
    near = difflib.get_close_matches(kind, _STEPS, n=1)
    raise section.error(
        "is not a darknet layer." + (f" Did you mean [{near[0]}]?" if near else "") + f" Known: {known}"
    )


def _net(section: Section, hw: Optional[Tuple[int, int]]) -> Tuple[Net, str]:
    height, width = hw or (section.integer("height", 0, 0, MAX_SIDE), section.integer("width", 0, 0, MAX_SIDE))
    if not (height and width) and "inputs" in section.options:
        raise section.error(
            "inputs= and no image: a network of numbers, such as a recurrent one (rnn, gru, lstm), is not supported by "
            "edgecsp",
            "inputs",
        )
    if not (height and width):
        raise section.error("needs width= and height=, in pixels")
    channels = section.integer("channels", 3)
    if channels not in (1, 3):
        raise section.error(f"channels={channels}: images have 3 or 1", "channels")
    return Net(channels, height, width), "letterbox" if section.flag("letter_box") else "darknet"
