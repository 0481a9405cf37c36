"""What darknet's sections mean: one function a section, from its options to calls on a `Net`.

Every default is darknet's own (AlexeyAB's parser.c), also where it surprises: a [convolutional] without an
activation is logistic, a [maxpool] pads size - 1. An option that would change the result and that we do not
build is an error, never ignored.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ...errors import BadModel
from ...graph.layers import ACTIVATIONS, MAX_SIDE, Net, Tensor
from .cfg import Section, short

_ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
    "local_avg": "local_avgpool",
    "silence": "empty",
}
_NOT_BUILT = (
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
    """A cfg being read onto a `Net`: which tensor each darknet layer index stands for, and what to tell the user."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.last: Optional[Tensor] = net.input
        self.outputs: List[Optional[Tensor]] = []  # None: a layer that nothing may read (yolo)
        self.nms_beta = 0.0
        self.notes: List[str] = []

    def incoming(self, section: Section) -> Tensor:
        """The layer before, which must be readable."""
        if self.last is None:
            raise section.wrong("follows a [yolo] directly; a [route] must say which layer it reads")
        return self.last

    def at(self, section: Section, key: str, position: int) -> Tensor:
        """The tensor of a darknet layer index: absolute, or relative to this layer when negative."""
        here = len(self.outputs)
        index = position + here if position < 0 else position
        if not 0 <= index < here:
            raise section.wrong(
                f"{key}={position} is layer {index}, seen from layer {here}; layers 0 to {here - 1} come before it", key
            )
        tensor = self.outputs[index]
        if tensor is None:
            raise section.wrong(f"{key}={position} reads layer {index}, a [yolo]; its output is the model's", key)
        return tensor


def build(sections: Sequence[Section], hw: Optional[Tuple[int, int]] = None) -> Tuple[Build, str]:
    """Sections of a cfg -> the finished `Build` and the resize mode. `hw` replaces [net]'s height and width."""
    net_section = sections[0]
    if kind_of(net_section) != "net":
        raise net_section.wrong("comes first; a cfg begins with [net]")
    net, resize = _net(net_section, hw)
    made = lay(net, sections[1:])
    if not net.heads and made.last is not None and (made.last.h, made.last.w) == (1, 1) and made.outputs:
        net.scores(made.last)
        resize = "crop"
    return made, resize


def lay(net: Net, sections: Sequence[Section], head: Optional[Callable[[Tensor], None]] = None) -> Build:
    """Lay the sections behind [net] on `net`.

    With `head`, it is called with the map that the section in front of each [yolo] reads, and lays both of them: a
    [convolutional], and a head with other classes and anchors. Raises `BadModel`.
    """
    made = Build(net)
    for section, behind in zip(sections, [*sections[1:], None]):
        step = _step(section)
        if head is not None and step is _yolo:
            step = _nothing
        elif head is not None and behind is not None and kind_of(behind) == "yolo":
            step = _headed(head)
        index = len(made.outputs)
        net.at = f"layer {index} [{section.kind}] (line {section.line})"
        try:
            made.last = step(made, section)
        except BadModel as error:
            # The tape's own complaints know shapes, not lines.
            raise error if str(error).startswith(section.file) else section.wrong(f"layer {index}: {error}") from None
        made.outputs.append(made.last)
    return made


def _headed(head: Callable[[Tensor], None]) -> Callable[[Build, Section], Optional[Tensor]]:
    def step(made: Build, section: Section) -> Optional[Tensor]:
        head(made.incoming(section))
        return made.net.heads[-1][0]

    return step


def _nothing(made: Build, section: Section) -> None:
    """A [yolo] that was laid with the section in front of it."""


def kind_of(section: Section) -> str:
    """A section's kind by its first name: darknet knows several for some."""
    return _ALIASES.get(section.kind, section.kind)


def _step(section: Section) -> Callable[[Build, Section], Optional[Tensor]]:
    import difflib

    kind = kind_of(section)
    if kind in _STEPS:
        return _STEPS[kind]
    known = ", ".join(sorted(_STEPS))
    if kind == "net":
        raise section.wrong("comes a second time")
    if kind in _NOT_BUILT:
        raise section.wrong(f"is a darknet layer that edgecsp does not build. It builds: {known}")
    near = difflib.get_close_matches(kind, _STEPS, n=1)
    raise section.wrong("is no darknet layer." + (f" Did you mean [{near[0]}]?" if near else "") + f" Known: {known}")


def _net(section: Section, hw: Optional[Tuple[int, int]]) -> Tuple[Net, str]:
    height, width = hw or (section.whole("height", 0, 0, MAX_SIDE), section.whole("width", 0, 0, MAX_SIDE))
    if not (height and width):
        raise section.wrong("needs width= and height=, in pixels")
    channels = section.whole("channels", 3)
    if channels not in (1, 3):
        raise section.wrong(f"channels={channels}: pictures have 3 or 1", "channels")
    return Net(channels, height, width), "letterbox" if section.flag("letter_box") else "darknet"


def _refuse(section: Section, *keys: str) -> None:
    for key in keys:
        if section.text(key, "0") not in ("0", "none", "0.0", ""):
            raise section.wrong(f"{key}={short(section.text(key))} changes the result and is not built by edgecsp", key)


def _activation(section: Section, default: str) -> str:
    said = section.text("activation", default).lower()
    kind = _SILU.get(said, said)
    if kind not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_SILU))
        raise section.wrong(f"activation={short(said)!r} is not one of {known}", "activation")
    return kind


def _strides(section: Section) -> Tuple[int, int]:
    stride = section.whole("stride", 1, 1, MAX_SIDE)
    return section.whole("stride_y", stride, 1, MAX_SIDE), section.whole("stride_x", stride, 1, MAX_SIDE)


def _convolutional(made: Build, section: Section) -> Tensor:
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
        raise section.wrong("share_index (one layer's weights used twice) is not built by edgecsp", "share_index")
    size = section.whole("size", 1, 1, MAX_SIDE)
    dilation = section.whole("dilation", 1, 1, MAX_SIDE) if size > 1 else 1
    padding = size // 2 if section.flag("pad") else section.whole("padding", 0, 0, MAX_SIDE)
    if dilation > 1 and 2 * padding != size - 1:
        raise section.wrong(
            f"dilation={dilation} with size={size} and padding={padding}: darknet's output size is not defined",
            "dilation",
        )
    return made.net.conv(
        made.incoming(section),
        section.whole("filters", 1, 1),
        size,
        stride=_strides(section),
        groups=section.whole("groups", 1, 1),
        pad=padding * dilation,
        dilation=dilation,
        bn=section.flag("batch_normalize") or section.flag("cbn"),
        act=_activation(section, "logistic"),
    )


def _maxpool(made: Build, section: Section) -> Tensor:
    _refuse(section, "antialiasing")
    x = made.incoming(section)
    if section.flag("maxpool_depth"):
        return made.net.maxout(x, section.whole("out_channels", 1, 1))
    return _pooled(made.net.maxpool, x, section)


def _local_avgpool(made: Build, section: Section) -> Tensor:
    return _pooled(made.net.avgpool, made.incoming(section), section)


def _pooled(pool: Callable[..., Tensor], x: Tensor, section: Section) -> Tensor:
    strides = _strides(section)
    size = section.whole("size", section.whole("stride", 1, 1, MAX_SIDE), 1, MAX_SIDE)
    return pool(x, size, strides, padding=section.whole("padding", size - 1, 0, 2 * MAX_SIDE))


def _avgpool(made: Build, section: Section) -> Tensor:
    return made.net.global_avgpool(made.incoming(section))


def _route(made: Build, section: Section) -> Tensor:
    positions = section.wholes("layers")
    if not positions:
        raise section.wrong("needs layers=")
    groups = section.whole("groups", 1, 1)
    group = section.whole("group_id", 0, 0)
    if group >= groups:
        raise section.wrong(f"group_id={group}: with groups={groups} the last is {groups - 1}", "group_id")
    parts = []
    for position in positions:
        x = made.at(section, "layers", position)
        if x.c % groups:
            raise section.wrong(f"groups={groups} does not divide the {x.c} channels of layer {position}", "groups")
        share = x.c // groups
        parts.append(made.net.slice(x, group * share, (group + 1) * share))
    return made.net.concat(*parts)


def _shortcut(made: Build, section: Section) -> Tensor:
    _refuse(section, "weights_type", "weighs_type")
    positions = section.wholes("from")
    if not positions:
        raise section.wrong("needs from=")
    x = made.incoming(section)
    act = _activation(section, "linear")
    for position in positions[:-1]:
        x = made.net.shortcut(x, made.at(section, "from", position))
    return made.net.shortcut(x, made.at(section, "from", positions[-1]), act)


def _upsample(made: Build, section: Section) -> Tensor:
    x = made.net.upsample(made.incoming(section), section.whole("stride", 2, 1, MAX_SIDE))
    return made.net.scale(x, section.real("scale", 1, -1e6, 1e6))


def _from(made: Build, section: Section) -> Tensor:
    if "from" not in section.options:
        raise section.wrong("needs from=")
    return made.at(section, "from", section.whole("from", 0))


def _scale_channels(made: Build, section: Section) -> Tensor:
    gate, x = made.incoming(section), _from(made, section)
    wanted = (1, x.h, x.w) if section.flag("scale_wh") else (x.c, 1, 1)
    if gate[1:] != wanted:
        raise section.wrong(
            f"scales a map of {x.w}x{x.h}x{x.c} and needs one of {wanted[2]}x{wanted[1]}x{wanted[0]} before it; "
            f"found {gate.w}x{gate.h}x{gate.c}"
        )
    return made.net.mul(x, gate, _activation(section, "linear"))


def _sam(made: Build, section: Section) -> Tensor:
    gate, x = made.incoming(section), _from(made, section)
    if gate[1:] != x[1:]:
        raise section.wrong(f"multiplies maps of one size; found {gate.w}x{gate.h}x{gate.c} and {x.w}x{x.h}x{x.c}")
    return made.net.mul(gate, x, _activation(section, "linear"))


def _same(made: Build, section: Section) -> Tensor:
    return made.incoming(section)


def _softmax(made: Build, section: Section) -> Tensor:
    if section.whole("groups", 1) != 1 or section.real("temperature", 1, 1e-6, 1e6) != 1 or "tree" in section.options:
        raise section.wrong("groups, temperature and tree are not built by edgecsp")
    return made.incoming(section)  # applied when the scores are read: graphs end raw


def _nms_beta(made: Build, section: Section) -> float:
    """darknet goes by the last [yolo]. Both kinds subtract the centre distance; only diounms reads beta_nms."""
    kind = section.text("nms_kind", "default")
    if kind == "diounms":
        return section.real("beta_nms", 0.6, 0, 100)
    if kind not in ("default", "greedynms"):
        made.notes.append(f"line {section.line}: nms_kind={short(kind)} is not built; plain NMS is used")
    return 0.6 if kind == "greedynms" else 0.0


def _yolo(made: Build, section: Section) -> None:
    numbers = section.reals("anchors", 0, 1e6)
    if len(numbers) < 2 or len(numbers) % 2 or min(numbers) <= 0:
        raise section.wrong(
            f"anchors= must be pairs of a width and a height above 0; found {len(numbers)} numbers", "anchors"
        )
    anchors = list(zip(numbers[::2], numbers[1::2]))
    num = section.whole("num", len(anchors), 1)
    if num > len(anchors):
        raise section.wrong(f"num={num}, and there are {len(anchors)} anchors", "num")
    mask = section.wholes("mask", 0) or list(range(num))
    if max(mask) >= num:
        raise section.wrong(f"mask={max(mask)}: the last of {num} anchors is {num - 1}", "mask")
    made.nms_beta = _nms_beta(made, section)
    made.net.yolo(
        made.incoming(section),
        classes=section.whole("classes", 20, 1),
        anchors_wh=[anchors[i] for i in mask],
        scale_xy=section.real("scale_x_y", 1, 1e-3, 1e3),
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
    "dropout": _same,
    "cost": _same,
    "empty": _same,
    "softmax": _softmax,
    "yolo": _yolo,
}
