"""Sections whose output another section may read, one function each."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from ...graph.layers import MAX_SIDE, Tensor
from .building import Build, read_activation, read_from, read_strides, refuse
from .cfg import Section


def _convolutional(build: Build, section: Section) -> Tensor:
    refuse(
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
        stride=read_strides(section),
        groups=section.integer("groups", 1, 1),
        pad=padding * dilation,
        dilation=dilation,
        bn=section.flag("batch_normalize") or section.flag("cbn"),
        act=read_activation(section, "logistic"),
        share=_shared(build, section),
    )


def _shared(build: Build, section: Section) -> Optional[Tensor]:
    """The convolution whose weights this one takes, before its activation."""
    if "share_index" not in section.options:
        return None
    tensor = build.at(section, "share_index", section.integer("share_index", 0))
    layers, index = build.net.layers, tensor.layer
    behind = ["act", "shared_conv"]
    if build.kinds[build.outputs.index(tensor)] == "convolutional":
        behind.append("add")  # of its ramp
    while index >= 0 and layers[index].op in behind:
        index = layers[index].attrs["source"] if layers[index].op == "shared_conv" else layers[index].inputs[0]
    return Tensor(index, *tensor[1:])


def _maxpool(build: Build, section: Section) -> Tensor:
    refuse(section, "antialiasing")
    x = build.input_of(section)
    if section.flag("maxpool_depth"):
        return build.net.maxout(x, section.integer("out_channels", 1, 1))
    return _pool(build.net.maxpool, x, section)


def _local_avgpool(build: Build, section: Section) -> Tensor:
    return _pool(build.net.avgpool, build.input_of(section), section)


def _pool(pool: Callable[..., Tensor], x: Tensor, section: Section) -> Tensor:
    strides = read_strides(section)
    size = section.integer("size", section.integer("stride", 1, 1, MAX_SIDE), 1, MAX_SIDE)
    return pool(x, size, strides, padding=section.integer("padding", size - 1, 0, 2 * MAX_SIDE))


def _connected(build: Build, section: Section) -> Tensor:
    return build.net.connected(
        build.input_of(section),
        section.integer("output", 1, 1),
        bn=section.flag("batch_normalize"),
        act=read_activation(section, "logistic"),
    )


def _batchnorm(build: Build, section: Section) -> Tensor:
    return build.net.batchnorm(build.input_of(section))


def _crop(build: Build, section: Section) -> Tensor:
    """Cut out the middle, as darknet does when it does not train; values go from 0..1 to -1..1."""
    x = build.input_of(section)
    height, width = (section.integer(key, 1, 1, MAX_SIDE) for key in ("crop_height", "crop_width"))
    if height > x.h or width > x.w:
        raise section.error(f"cuts {width}x{height} out of a map of {x.w}x{x.h}")
    x = build.net.crop(x, height, width, (x.h - height) // 2, (x.w - width) // 2)
    return x if section.flag("noadjust") else build.net.shift(build.net.scale(x, 2), -1)


def _reorg(build: Build, section: Section) -> Tensor:
    refuse(section, "reverse", "flatten", "extra")
    reorganise = build.net.reorg if section.kind == "reorg" else build.net.reorg3d
    return reorganise(build.input_of(section), section.integer("stride", 1, 1, MAX_SIDE))


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
    refuse(section, "weights_type", "weighs_type")
    positions = section.integers("from")
    if not positions:
        raise section.error("needs from=")
    x = build.input_of(section)
    act = read_activation(section, "linear")
    others = [build.at(section, "from", position) for position in positions]
    if any((other.h, other.w) != (x.h, x.w) for other in others):
        _check_sampled(build, section, len(others))
    for other in others[:-1]:
        x = build.net.shortcut(x, other)
    return build.net.shortcut(x, others[-1], act)


def _check_sampled(build: Build, section: Section, others: int) -> None:
    """A map of another size: only the darknets before [shortcut] took several layers define what is added."""
    if others > 1:
        raise section.error("adds several maps, and not all are of its size; darknet defines that for one", "from")
    if not any("[shortcut]" in note for note in build.notes):
        build.notes.append(
            f"line {section.line}: [shortcut] adds a larger map, read at every n-th place as darknet did until 2020, "
            "when such weights were trained; newer ones add its values as they lie in memory"
        )


def _upsample(build: Build, section: Section) -> Tensor:
    x = build.net.upsample(build.input_of(section), section.integer("stride", 2, 1, MAX_SIDE))
    return build.net.scale(x, section.number("scale", 1, -1e6, 1e6))


def _scale_channels(build: Build, section: Section) -> Tensor:
    gate, x = build.input_of(section), read_from(build, section)
    expected = (1, x.h, x.w) if section.flag("scale_wh") else (x.c, 1, 1)
    if gate[1:] != expected:
        raise section.error(
            f"scales a map of {x.w}x{x.h}x{x.c} and needs one of {expected[2]}x{expected[1]}x{expected[0]} before it; "
            f"found {gate.w}x{gate.h}x{gate.c}"
        )
    return build.net.mul(x, gate, read_activation(section, "linear"))


def _sam(build: Build, section: Section) -> Tensor:
    gate, x = build.input_of(section), read_from(build, section)
    if gate[1:] != x[1:]:
        raise section.error(f"multiplies maps of one size; found {gate.w}x{gate.h}x{gate.c} and {x.w}x{x.h}x{x.c}")
    return build.net.mul(gate, x, read_activation(section, "linear"))


def _pass_through(build: Build, section: Section) -> Tensor:
    return build.input_of(section)


MAPS: Dict[str, Callable[[Build, Section], Tensor]] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "batchnorm": _batchnorm,
    "crop": _crop,
    "maxpool": _maxpool,
    "local_avgpool": _local_avgpool,
    "avgpool": _avgpool,
    "reorg": _reorg,
    "reorg3d": _reorg,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "scale_channels": _scale_channels,
    "sam": _sam,
    "dropout": _pass_through,
    "cost": _pass_through,
    "empty": _pass_through,
}
