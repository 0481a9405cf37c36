"""Models of the zoo that stand for others, in tests that are dear for each model."""

from __future__ import annotations

from typing import Dict, Set, Tuple

from edgecsp import zoo
from edgecsp.errors import UsageError
from edgecsp.graph import onnx_model
from edgecsp.types import Model

# A model, and those whose kinds of layers, together, are all that it has (tests/zoo/test_stand_ins.py).
STAND_INS: Dict[str, Tuple[str, ...]] = {
    **dict.fromkeys(["peleenet-swish", "sepeleenet-swish", "csppeleenet-swish"], ("secsppeleenet-swish",)),
    **dict.fromkeys([f"csppeleenet-{form}" for form in ("g75", "g25", "first", "last", "last-g25")], ("csppeleenet",)),
    "sparsepeleenet": ("csppeleenet",),
    "csppeleenet-prn-swish": ("secsppeleenet-swish", "csppeleenet-prn"),
    **dict.fromkeys(["csppeleenet-cem", "csppeleenet-cem-sam", "csppeleenet-gfm"], ("csppeleenet-efm-sam",)),
    **dict.fromkeys(["yolo-fastest-1.1-xl", "yolo-fastest-1.0-xl", "yolo-fastest-1.1-body"], ("yolo-fastest-1.1",)),
    "mobilenetv2-yolov3-nano-voc": ("mobilenetv2-yolov3-nano",),
    "cspresnet10": ("resnet10", "csppeleenet"),
    "resnext50": ("resnet10", "cspresnext50"),
    "resnet152": ("resnet10", "densenet201-elastic"),
    "densenet264-32": ("densenet201-elastic",),
}
Kind = Tuple[object, ...]


def distinct() -> Tuple[str, ...]:
    """The models that no others stand for."""
    return tuple(name for name in zoo.names() if name not in STAND_INS)


def covering() -> Tuple[str, ...]:
    """The smallest models that together have every kind of layer."""
    chosen: Dict[str, Set[Kind]] = {}
    for name in sorted(distinct(), key=lambda each: zoo.net(each).floats):
        if not kinds(name) <= set().union(*chosen.values()):
            chosen[name] = kinds(name)
    return tuple(chosen)


def at_small_size(model: Model, hw: Tuple[int, int]) -> Model:
    """A detector at another size, whose weights and operators are the same; as it is where its size is fixed."""
    if model.task != "detect":
        return model
    try:
        return onnx_model.reshape(model, hw=hw)
    except UsageError as error:
        assert "its size is fixed" in str(error)
        return model


def kinds(name: str) -> Set[Kind]:
    """The kinds of layers that a model has: what tells one use of an operator from another.

    A plain convolution is one kind whatever its kernel.
    """
    used: Set[Kind] = set()
    for layer in zoo.net(name).layers:
        attrs = layer.attrs
        groups = attrs.get("groups", 1)
        depthwise = groups > 1 and groups == attrs.get("filters")
        size = attrs.get("size") if depthwise or layer.op != "conv" else None
        used.add((layer.op, attrs.get("kind"), size, attrs.get("stride"), groups > 1, depthwise))
    return used
