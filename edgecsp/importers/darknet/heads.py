"""Sections that end a network: heads of boxes, and a classifier's softmax."""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Optional, Tuple

from ...graph.layers import Tensor
from .building import Build, refuse
from .cfg import Section, shorten


def _softmax(build: Build, section: Section) -> Tensor:
    """A softmax that ends the network is left to the head: see `layers.build`."""
    refuse(section, "spatial")
    if "tree" in section.options:
        tree = shorten(section.text("tree"))
        raise section.error(f"tree={tree}: models with a softmax tree are not supported by edgecsp", "tree")
    temperature = section.number("temperature", 1, 1e-6, 1e6)
    x = build.net.scale(build.input_of(section), 1 / temperature)
    return build.net.softmax(x, section.integer("groups", 1, 1))


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


def _anchors(build: Build, section: Section) -> List[Tuple[float, float]]:
    """Read the anchors as darknet does, also where a comma lacks: white space does not separate two numbers."""
    numbers = section.numbers("anchors", 0, 1e6)
    notes, joined = [], re.search(r"[\d.]+\s+[\d.]+", section.text("anchors"))
    if joined:
        number = "".join(joined[0].split())
        notes.append(f"lacks a comma in {shorten(joined[0])!r}, which darknet reads as {number}, as is done here")
    if len(numbers) > 2 and len(numbers) == 2 * section.integer("num", 0) - 1:
        notes.append(f"has {len(numbers)} numbers, one too few for num; darknet's last one is 0.5")
        numbers.append(0.5)
    build.notes += [f"line {section.options['anchors'][1]}: anchors= {note}" for note in notes]
    if len(numbers) < 2 or len(numbers) % 2 or min(numbers) <= 0:
        raise section.error(
            f"anchors= must be pairs of a width and a height above 0; found {len(numbers)} numbers", "anchors"
        )
    return list(zip(numbers[::2], numbers[1::2]))


def _masked(build: Build, section: Section) -> Tuple[List[int], List[Tuple[float, float]]]:
    """The mask of a head and the anchors that it chooses."""
    anchors = _anchors(build, section)
    num = section.integer("num", len(anchors), 1)
    if num > len(anchors):
        raise section.error(f"num={num}, and there are {len(anchors)} anchors", "num")
    mask = section.integers("mask", 0) or list(range(num))
    if max(mask) >= len(anchors):
        raise section.error(f"mask={max(mask)}: the last of {len(anchors)} anchors is {len(anchors) - 1}", "mask")
    if max(mask) >= num:
        build.notes.append(
            f"line {section.line}: mask={max(mask)} and num={num}: darknet reads past the end of its anchors there; "
            "the one that the cfg lists is taken"
        )
    return mask, [anchors[i] for i in mask]


def add_yolo(build: Build, section: Section) -> None:
    """Add a [yolo] head."""
    mask, anchors = _masked(build, section)
    build.nms_beta = _nms_beta(build, section)
    build.net.yolo(
        build.input_of(section),
        classes=section.integer("classes", 20, 1),
        anchors_wh=anchors,
        scale_xy=section.number("scale_x_y", 1, 1e-3, 1e3),
        new_coords=section.flag("new_coords"),
        mask=mask,
    )


def _gaussian_yolo(build: Build, section: Section) -> None:
    point = section.text("yolo_point", "center")
    if point != "center":
        raise section.error(f"yolo_point={shorten(point)}: only boxes by their centre are supported", "yolo_point")
    mask, anchors = _masked(build, section)
    build.nms_beta = _nms_beta(build, section)
    build.net.gaussian_yolo(
        build.input_of(section),
        classes=section.integer("classes", 20, 1),
        anchors_wh=anchors,
        scale_xy=section.number("scale_x_y", 1, 1e-3, 1e3),
        mask=mask,
    )


def _region(build: Build, section: Section) -> None:
    if "tree" in section.options:
        tree = shorten(section.text("tree"))
        raise section.error(f"tree={tree}: models with a softmax tree (YOLO9000) are not supported by edgecsp", "tree")
    refuse(section, "background")
    if not section.flag("softmax"):
        raise section.error("needs softmax=1: without it darknets differ in what the scores are", "softmax")
    if section.integer("coords", 4) != 4:
        raise section.error(f"coords={section.text('coords')}: only boxes of 4 coordinates are supported", "coords")
    if section.integer("classfix", 0) == -1:
        raise section.error("classfix=-1 changes the result and is not supported by edgecsp", "classfix")
    anchors, num = _anchors(build, section), section.integer("num", 1, 1)
    if num > len(anchors):
        raise section.error(f"num={num}, and there are {len(anchors)} anchors", "num")
    build.nms_beta = 0.0
    build.net.region(build.input_of(section), classes=section.integer("classes", 20, 1), cells_wh=anchors[:num])


HEADS: Dict[str, Callable[[Build, Section], Optional[Tensor]]] = {
    "softmax": _softmax,
    "yolo": add_yolo,
    "gaussian_yolo": _gaussian_yolo,
    "region": _region,
}
