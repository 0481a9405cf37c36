"""A darknet cfg as something to train: its layers and input size under heads with the data's classes and anchors."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Callable, List, Tuple, Union

from .. import zoo
from ..errors import UsageError
from ..graph.layers import Net, Tensor
from ..importers.darknet import cfg, layers
from .network import check, yolo_heads


def is_cfg(model: Union[str, Path]) -> bool:
    """Whether a model is named by a darknet cfg file, and not by the zoo's name."""
    return str(model).lower().endswith(".cfg")


@lru_cache(maxsize=8)
def entry(name: str, text: str) -> zoo.Entry:
    """A cfg's record as the zoo keeps one: `name` is the file's, without the ending; `size` 0 where it is not square.

    Raises `BadModel` for a cfg that cannot be read, `UsageError` for one that cannot be trained: each with its line.
    """
    sections = cfg.parse(text, f"{name}.cfg")
    built, resize = layers.build(sections)
    net = built.net
    _check(sections, net, resize)
    heads = list(yolo_heads(net).values())

    def build(net: Net, head: Callable[[Tensor], None]) -> None:
        layers.add_sections(net, sections[1:], head)

    # darknet lets heads share an anchor; here each has its own, the larger ones at the larger strides.
    order = sorted(range(len(heads)), key=lambda i: heads[i].stride)
    anchors: List[Tuple[float, float]] = []
    masks: List[Tuple[int, ...]] = [()] * len(heads)
    for i in order:
        masks[i] = tuple(range(len(anchors), len(anchors) + len(heads[i].anchors_wh)))
        anchors += heads[i].anchors_wh
    return zoo.Entry(
        name,
        name,
        build,
        net.input.w if net.input.w == net.input.h else 0,
        source=f"{name}.cfg",
        anchors=tuple(anchors),
        masks=tuple(masks),
        scale_xy=tuple(head.scale_xy for head in heads),
        stride=_stride(net),
    )


def sides(text: str) -> Tuple[int, int]:
    """The (width, height) of a cfg's input in pixels."""
    net = layers.build(cfg.parse(text))[0].net
    return net.input.w, net.input.h


def _check(sections: List[cfg.Section], net: Net, resize: str) -> None:
    """Raise `UsageError` for what training would not do as darknet does."""
    file, first = sections[0].file, sections[0]
    if not yolo_heads(net):
        raise UsageError(f"{file} has no [yolo] and cannot be trained here; take a cfg that ends in [yolo] heads")
    if net.input.c != 3:
        raise _wrong(first, "channels", f"channels={net.input.c}: training reads colour images; write channels=3")
    if resize == "letterbox":
        raise _wrong(first, "letter_box", "letter_box=1: training stretches images to the input; take the option out")
    for section, behind in zip(sections, sections[1:]):
        if layers.kind_of(behind) == "yolo":
            _check_head(section, behind)
    check(net, file)


def _check_head(conv: cfg.Section, yolo: cfg.Section) -> None:
    if yolo.flag("new_coords"):
        raise _wrong(
            yolo,
            "new_coords",
            "new_coords=1: the heads of Scaled-YOLOv4 cannot be trained here; take it out, "
            "and write activation=linear in the [convolutional] in front",
        )
    required = "a [convolutional] with size=1, activation=linear and no batch_normalize"
    if layers.kind_of(conv) != "convolutional":
        raise _wrong(yolo, "", f"follows a [{conv.kind}]: training needs {required} there")
    unfit = [
        f"{key}={value}"
        for key, value, fits in (
            ("size", conv.text("size", "1"), conv.integer("size", 1) == 1),
            ("stride", conv.text("stride", "1"), conv.integer("stride", 1) == 1),
            ("groups", conv.text("groups", "1"), conv.integer("groups", 1) == 1),
            ("batch_normalize", conv.text("batch_normalize", "0"), not conv.flag("batch_normalize")),
            ("activation", conv.text("activation", "logistic"), conv.text("activation").lower() == "linear"),
        )
        if not fits
    ]
    if unfit:
        raise _wrong(conv, "", f"with {', '.join(unfit)} is read by a [yolo]: training needs {required} there")


def _wrong(section: cfg.Section, key: str, message: str) -> UsageError:
    return UsageError(str(section.error(message, key)))


def _stride(net: Net) -> int:
    """Of which number the input's sides must be multiples: the coarsest map's stride."""
    strides = {-1: 1.0}
    for index, layer in enumerate(net.layers):
        stride = max(strides[source] for source in layer.inputs)
        if layer.op in ("conv", "maxpool", "avgpool"):
            stride *= max(layer.attrs["stride"])
        strides[index] = stride / (layer.attrs["factor"] if layer.op == "upsample" else 1)
    return int(max(strides.values()))
