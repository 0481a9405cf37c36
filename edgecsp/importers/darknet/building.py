"""The state that sections are built on: the tensors so far; and options that several kinds of section have."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...graph.layers import ACTIVATIONS, MAX_SIDE, Net, Tensor
from .cfg import Section, shorten

_SILU = {"silu": "swish"}


class Build:
    """The state of building a `Net` from a cfg: the tensor of each darknet layer index, and notes for the user."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.last: Optional[Tensor] = net.input
        self.outputs: List[Optional[Tensor]] = []  # None: a layer that nothing may read (a head)
        self.kinds: List[str] = []  # the kind of each of them
        self.nms_beta = 0.0
        self.notes: List[str] = []

    def input_of(self, section: Section) -> Tensor:
        """Return the output of the previous layer, which must be readable."""
        if self.last is None:
            raise section.error(f"follows a [{self.kinds[-1]}] directly; a [route] must say which layer it reads")
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
            kind = self.kinds[index]
            raise section.error(f"{key}={position} reads layer {index}, a [{kind}]; its output is the model's", key)
        return tensor


def refuse(section: Section, *keys: str) -> None:
    """Refuse options that would change the result."""
    for key in keys:
        if section.text(key, "0") not in ("0", "none", "0.0", ""):
            raise section.error(
                f"{key}={shorten(section.text(key))} changes the result and is not supported by edgecsp", key
            )


def read_activation(section: Section, default: str) -> str:
    """Read the activation; `default` is darknet's for the section."""
    name = section.text("activation", default).lower()
    kind = _SILU.get(name, name)
    if kind not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_SILU))
        raise section.error(f"activation={shorten(name)!r} is not one of {known}", "activation")
    return kind


def read_strides(section: Section) -> Tuple[int, int]:
    """Read the vertical and the horizontal stride."""
    stride = section.integer("stride", 1, 1, MAX_SIDE)
    return section.integer("stride_y", stride, 1, MAX_SIDE), section.integer("stride_x", stride, 1, MAX_SIDE)


def read_from(build: Build, section: Section) -> Tensor:
    """Read the one layer that `from` names."""
    if "from" not in section.options:
        raise section.error("needs from=")
    return build.at(section, "from", section.integer("from", 0))
