"""Build a `Net` from darknet's sections, one function per kind of section.

Every default is darknet's own (AlexeyAB's parser.c), also where it surprises: a [convolutional] without an
activation is logistic, a [maxpool] pads size - 1. An option that would change the result and is not supported
is an error, never ignored.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ...errors import BadModel
from ...graph.layers import ACTIVATIONS, MAX_SIDE, Net, Tensor
from .cfg import Section, shorten

_ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
    "local_avg": "local_avgpool",
    "silence": "empty",
}
_UNSUPPORTED = (
    "activation",
    "batchnorm",
    "connected",
    "conn",
    "contrastive",
    "conv_lstm",
    "conv_xnor",
    "crnn",
    "crop",
    "deconvolutional",
    "detection",
    "gaussian_yolo",
    "gru",
    "history",
    "iseg",
    "local",
    "logistic",
    "lrn",
    "lstm",
    "normalization",
    "region",
    "reorg",
    "reorg3d",
    "reorg_old",
    "rnn",
    "implicit_add",
    "implicit_mul",
    "control_channels",
    "shift_channels",
)
_SILU = {"silu": "swish"}


class Build:
    """The state of building a `Net` from a cfg: the tensor of each darknet layer index, and notes for the user."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.last: Optional[Tensor] = net.input
        self.outputs: List[Optional[Tensor]] = []  # None: a layer that nothing may read (yolo)
        self.nms_beta = 0.0
        self.notes: List[str] = []

    def input_of(self, section: Section) -> Tensor:
        """Return the output of the previous layer, which must be readable."""
        if self.last is None:
            raise section.error("follows a [yolo] directly; a [route] must say which layer it reads")
        return self.last

    def at(self, section: Section, key: str, position: int) -> Tensor:
        """Return the tensor of a darknet layer index: absolute, or relative to this layer when negative."""
        here = len(self.outputs)
        index = position + here if position < 0 else position
        if not 0 <= index < here:
            raise section.error(
                f"{key}={position} is layer {index}, seen from layer {here}; layers 0 to {here - 1} come before it", key
            )
        tensor = self.outputs[index]
        if tensor is None:
            raise section.error(f"{key}={position} reads layer {index}, a [yolo]; its output is the model's", key)
        return tensor


def build(sections: Sequence[Section], hw: Optional[Tuple[int, int]] = None) -> Tuple[Build, str]:
    """Build all sections of a cfg; returns the `Build` and the resize mode. `hw` replaces [net]'s size."""
    net_section = sections[0]
    if kind_of(net_section) != "net":
        raise net_section.error("comes first; a cfg begins with [net]")
    net, resize = _net(net_section, hw)
    build = add_sections(net, sections[1:])
    if not net.heads and build.last is not None and (build.last.h, build.last.w) == (1, 1) and build.outputs:
        net.scores(build.last)
        resize = "crop"
    return build, resize


def add_sections(net: Net, sections: Sequence[Section], head: Optional[Callable[[Tensor], None]] = None) -> Build:
    """Add the sections behind [net] to `net`.

    With `head`, it is called with the map that the section in front of each [yolo] reads, and lays both of them: a
    [convolutional], and a head with other classes and anchors. Raises `BadModel`.
    """
    build = Build(net)
    for section, behind in zip(sections, [*sections[1:], None]):
        step = _step(section)
        if head is not None and step is _yolo:
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
    if not (height and width):
        raise section.error("needs width= and height=, in pixels")
    channels = section.integer("channels", 3)
    if channels not in (1, 3):
        raise section.error(f"channels={channels}: images have 3 or 1", "channels")
    return Net(channels, height, width), "letterbox" if section.flag("letter_box") else "darknet"


def _refuse(section: Section, *keys: str) -> None:
    for key in keys:
        if section.text(key, "0") not in ("0", "none", "0.0", ""):
            raise section.error(
                f"{key}={shorten(section.text(key))} changes the result and is not supported by edgecsp", key
            )


def _activation(section: Section, default: str) -> str:
    name = section.text("activation", default).lower()
    kind = _SILU.get(name, name)
    if kind not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_SILU))
        raise section.error(f"activation={shorten(name)!r} is not one of {known}", "activation")
    return kind


def _strides(section: Section) -> Tuple[int, int]:
    stride = section.integer("stride", 1, 1, MAX_SIDE)
    return section.integer("stride_y", stride, 1, MAX_SIDE), section.integer("stride_x", stride, 1, MAX_SIDE)


def _convolutional(build: Build, section: Section) -> Tensor:
    _refuse(
        section,
        "binary",
        "xnor",
        "antialiasing",
        "sway",
        "rotate",
        "stretch",
        "stretch_sway",
        "flipped",
        "dontload",
        "dontloadscales",
    )
    if "share_index" in section.options:
        raise section.error("share_index (one layer's weights used twice) is not supported by edgecsp", "share_index")
    size = section.integer("size", 1, 1, MAX_SIDE)
    dilation = section.integer("dilation", 1, 1, MAX_SIDE) if size > 1 else 1
    padding = size // 2 if section.flag("pad") else section.integer("padding", 0, 0, MAX_SIDE)
    if dilation > 1 and 2 * padding != size - 1:
        raise section.error(
            f"dilation={dilation} with size={size} and padding={padding}: darknet's output size is not defined",
            "dilation",
        )
    return build.net.conv(
        build.input_of(section),
        section.integer("filters", 1, 1),
        size,
        stride=_strides(section),
        groups=section.integer("groups", 1, 1),
        pad=padding * dilation,
        dilation=dilation,
        bn=section.flag("batch_normalize") or section.flag("cbn"),
        act=_activation(section, "logistic"),
    )


def _maxpool(build: Build, section: Section) -> Tensor:
    _refuse(section, "antialiasing")
    x = build.input_of(section)
    if section.flag("maxpool_depth"):
        return build.net.maxout(x, section.integer("out_channels", 1, 1))
    return _pool(build.net.maxpool, x, section)


def _local_avgpool(build: Build, section: Section) -> Tensor:
    return _pool(build.net.avgpool, build.input_of(section), section)


def _pool(pool: Callable[..., Tensor], x: Tensor, section: Section) -> Tensor:
    strides = _strides(section)
    size = section.integer("size", section.integer("stride", 1, 1, MAX_SIDE), 1, MAX_SIDE)
    return pool(x, size, strides, padding=section.integer("padding", size - 1, 0, 2 * MAX_SIDE))


def _avgpool(build: Build, section: Section) -> Tensor:
    return build.net.global_avgpool(build.input_of(section))


def _route(build: Build, section: Section) -> Tensor:
    positions = section.integers("layers")
    if not positions:
        raise section.error("needs layers=")
    groups = section.integer("groups", 1, 1)
    group = section.integer("group_id", 0, 0)
    if group >= groups:
        raise section.error(f"group_id={group}: with groups={groups} the last is {groups - 1}", "group_id")
    parts = []
    for position in positions:
        x = build.at(section, "layers", position)
        if x.c % groups:
            raise section.error(f"groups={groups} does not divide the {x.c} channels of layer {position}", "groups")
        share = x.c // groups
        parts.append(build.net.slice(x, group * share, (group + 1) * share))
    return build.net.concat(*parts)


def _shortcut(build: Build, section: Section) -> Tensor:
    _refuse(section, "weights_type", "weighs_type")
    positions = section.integers("from")
    if not positions:
        raise section.error("needs from=")
    x = build.input_of(section)
    act = _activation(section, "linear")
    for position in positions[:-1]:
        x = build.net.shortcut(x, build.at(section, "from", position))
    return build.net.shortcut(x, build.at(section, "from", positions[-1]), act)


def _upsample(build: Build, section: Section) -> Tensor:
    x = build.net.upsample(build.input_of(section), section.integer("stride", 2, 1, MAX_SIDE))
    return build.net.scale(x, section.number("scale", 1, -1e6, 1e6))


def _from(build: Build, section: Section) -> Tensor:
    if "from" not in section.options:
        raise section.error("needs from=")
    return build.at(section, "from", section.integer("from", 0))


def _scale_channels(build: Build, section: Section) -> Tensor:
    gate, x = build.input_of(section), _from(build, section)
    expected = (1, x.h, x.w) if section.flag("scale_wh") else (x.c, 1, 1)
    if gate[1:] != expected:
        raise section.error(
            f"scales a map of {x.w}x{x.h}x{x.c} and needs one of {expected[2]}x{expected[1]}x{expected[0]} before it; "
            f"found {gate.w}x{gate.h}x{gate.c}"
        )
    return build.net.mul(x, gate, _activation(section, "linear"))


def _sam(build: Build, section: Section) -> Tensor:
    gate, x = build.input_of(section), _from(build, section)
    if gate[1:] != x[1:]:
        raise section.error(f"multiplies maps of one size; found {gate.w}x{gate.h}x{gate.c} and {x.w}x{x.h}x{x.c}")
    return build.net.mul(gate, x, _activation(section, "linear"))


def _pass_through(build: Build, section: Section) -> Tensor:
    return build.input_of(section)


def _softmax(build: Build, section: Section) -> Tensor:
    if (
        section.integer("groups", 1) != 1
        or section.number("temperature", 1, 1e-6, 1e6) != 1
        or "tree" in section.options
    ):
        raise section.error("groups, temperature and tree are not supported by edgecsp")
    return build.input_of(section)  # applied when the scores are read: graphs end raw


def _nms_beta(build: Build, section: Section) -> float:
    """Read the NMS exponent; darknet uses the last [yolo]'s. Both kinds subtract the centre distance; only diounms
    reads beta_nms.
    """
    kind = section.text("nms_kind", "default")
    if kind == "diounms":
        return section.number("beta_nms", 0.6, 0, 100)
    if kind not in ("default", "greedynms"):
        build.notes.append(f"line {section.line}: nms_kind={shorten(kind)} is not supported; plain NMS is used")
    return 0.6 if kind == "greedynms" else 0.0


def _yolo(build: Build, section: Section) -> None:
    numbers = section.numbers("anchors", 0, 1e6)
    if len(numbers) < 2 or len(numbers) % 2 or min(numbers) <= 0:
        raise section.error(
            f"anchors= must be pairs of a width and a height above 0; found {len(numbers)} numbers", "anchors"
        )
    anchors = list(zip(numbers[::2], numbers[1::2]))
    num = section.integer("num", len(anchors), 1)
    if num > len(anchors):
        raise section.error(f"num={num}, and there are {len(anchors)} anchors", "num")
    mask = section.integers("mask", 0) or list(range(num))
    if max(mask) >= num:
        raise section.error(f"mask={max(mask)}: the last of {num} anchors is {num - 1}", "mask")
    build.nms_beta = _nms_beta(build, section)
    build.net.yolo(
        build.input_of(section),
        classes=section.integer("classes", 20, 1),
        anchors_wh=[anchors[i] for i in mask],
        scale_xy=section.number("scale_x_y", 1, 1e-3, 1e3),
        new_coords=section.flag("new_coords"),
        mask=mask,
    )


_STEPS: Dict[str, Callable[[Build, Section], Optional[Tensor]]] = {
    "convolutional": _convolutional,
    "maxpool": _maxpool,
    "local_avgpool": _local_avgpool,
    "avgpool": _avgpool,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "scale_channels": _scale_channels,
    "sam": _sam,
    "dropout": _pass_through,
    "cost": _pass_through,
    "empty": _pass_through,
    "softmax": _softmax,
    "yolo": _yolo,
}
