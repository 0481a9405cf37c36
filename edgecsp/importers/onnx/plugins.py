"""NMS as a TensorRT plugin: what it takes is read instead of what it gives, as no other engine has it."""

from __future__ import annotations

from typing import AbstractSet, Any, Dict, Optional, Tuple

from ...errors import BadModel

_NMS = ("EfficientNMS_TRT", "EfficientNMSX_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "RotatedNMS_TRT")


def cut(proto: Any, filename: str) -> Optional[Tuple[str, float, float]]:
    """Cut an EfficientNMS_TRT off: the graph then ends at the boxes and scores that the plugin takes.

    Returns the layout of the boxes and the plugin's confidence and IoU thresholds; None for a graph without a plugin.
    Raises `BadModel` for another plugin, and for one that does more. Source: TensorRT, plugin/efficientNMSPlugin.
    """
    suppressing = [node for node in proto.graph.node if node.op_type in _NMS]
    if not suppressing:
        return None
    plugin, *others = suppressing
    values = {attribute.name: _number(attribute, filename) for attribute in plugin.attribute}
    outputs = {value.name for value in proto.graph.output}
    is_last = outputs <= set(plugin.output) and len(plugin.input) == 2
    is_plain = values.get("background_class", -1) < 0 and not values.get("class_agnostic", 0)
    if others or plugin.op_type != "EfficientNMS_TRT" or not is_last or not is_plain:
        raise BadModel(
            f"{filename} contains NMS as {plugin.op_type}, a TensorRT plugin that no other engine has; "
            "export it without NMS (edgecsp does that part)"
        )
    boxes, scores = plugin.input
    proto.graph.node.remove(plugin)
    if values.get("score_activation", 0):
        scores = _sigmoid(proto, scores)
    _end_at(proto, (boxes, scores))
    box = "xywh" if values.get("box_coding", 0) else "xyxy"
    return box, values.get("score_threshold", 0.25), values.get("iou_threshold", 0.45)


def refuse(filename: str, operators: AbstractSet[str]) -> None:
    """Raise `BadModel` for a plugin that is still there: inside a branch or a loop."""
    plugins = sorted(name for name in operators if name in _NMS)
    if plugins:
        raise BadModel(
            f"{filename} contains NMS as {', '.join(plugins)}, a TensorRT plugin that no other engine has; "
            "export it without NMS (edgecsp does that part)"
        )


def _number(attribute: Any, filename: str) -> float:
    """Return an attribute's number, 0 for a text; exporters write some as lists of one. Raises `BadModel`."""
    from onnx import AttributeProto

    values = {
        AttributeProto.FLOAT: [attribute.f], AttributeProto.INT: [attribute.i], AttributeProto.STRING: [0],
        AttributeProto.FLOATS: attribute.floats, AttributeProto.INTS: attribute.ints,
    }.get(attribute.type)  # fmt: skip
    if not values:
        raise BadModel(f"{filename}: attribute {attribute.name!r} of its NMS plugin is no number")
    return float(values[0])


def _sigmoid(proto: Any, name: str) -> str:
    from onnx import helper

    taken = {output for node in proto.graph.node for output in node.output}
    title = "plugin_scores"
    while title in taken:
        title += "_"
    proto.graph.node.append(helper.make_node("Sigmoid", [name], [title], name=title))
    return title


def _end_at(proto: Any, names: Tuple[str, str]) -> None:
    """Make these tensors the outputs, with the shapes that the file declares for them; else they are measured."""
    from onnx import TensorProto, helper

    graph = proto.graph
    known: Dict[str, Any] = {value.name: value for value in graph.value_info}
    del graph.output[:]
    for name in names:
        value = known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        graph.output.add().CopyFrom(value)
