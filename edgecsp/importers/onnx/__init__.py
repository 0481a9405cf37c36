"""Import other exporters' ONNX files, recognised by the shapes of their outputs and their metadata.

    found = recognise(proto, "yolov8n.onnx")
    print(found.kind, found.model.heads, found.notes)

`families` describes each family's outputs, `match` tries them all, `layout` reads the graph's nodes, `metadata` an
exporter's metadata, `graph` edits. A file that fits exactly one family is recognised; otherwise an error names the
flags that decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Sequence, Tuple

from ...errors import BadModel, UnknownName, UsageError
from ...graph import limits as onnx_limits
from ...graph.anchors import SETS, AnchorSet
from ...graph.labels import COCO, default_labels
from ...types import Input, Model
from . import graph, layout, metadata
from .families import ALIASES, KINDS, HeadGuess, Kind, OutputLayout
from .graph import GraphOutput
from .match import choose

__all__ = ["ALIASES", "KINDS", "Recognised", "ImportOptions", "parse_anchors", "recognise"]

_NMS = ("EfficientNMS_TRT", "EfficientNMSX_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "RotatedNMS_TRT")
_TASKS = {"segment": "segmentation masks", "pose": "poses (keypoints)", "obb": "oriented boxes"}
_OPSET = 13


@dataclass(frozen=True)
class ImportOptions:
    """The user's options for a file; None means to detect from the file.

    `kind` is one of `KINDS` or `ALIASES`; `labels` the names of all classes, or `classes` how many there are;
    `anchors` those of darknet's raw heads; `hw` the input size of a graph whose size is free; `resize` another
    way of laying images into it.
    """

    kind: Optional[str] = None
    labels: Optional[Tuple[str, ...]] = None
    classes: Optional[int] = None
    anchors: Optional[AnchorSet] = None
    hw: Optional[Tuple[int, int]] = None
    resize: Optional[str] = None


@dataclass(frozen=True)
class Recognised:
    """A recognised file: its model (without the graph's bytes), the edited graph, its kind.

    `outputs` are the heads' shapes; `cost` the graph's size; `notes` are for the user.
    """

    model: Model
    proto: Any
    kind: str
    outputs: Tuple[GraphOutput, ...]
    notes: Tuple[str, ...] = ()

    @property
    def cost(self) -> layout.GraphCost:
        """Nodes, parameters and BFLOPs."""
        return layout.measure_cost(self.proto)


def recognise(
    proto: Any, filename: str, options: Optional[ImportOptions] = None, *, folder: Optional[Path] = None
) -> Recognised:
    """Recognise an `onnx.ModelProto` of another exporter. Edits `proto`; `filename` names it in errors.

    `folder` is where its external weights are. Raises `BadModel` for an unknown or ambiguous model, `UsageError` for
    options that do not fit it.
    """
    options = options or ImportOptions()
    if not proto.graph.node:
        raise BadModel(f"{filename} is not an ONNX model: it has no graph")
    meta = metadata.read({prop.key: prop.value for prop in proto.metadata_props})
    kind = _kind(options.kind)
    _refuse_task(filename, kind, meta.task)
    if kind and meta.kind and kind != meta.kind:
        raise UsageError(f"--kind {kind} was requested, and the metadata of {filename} says that it is {meta.kind}")
    operators = layout.operators(proto)
    _refuse_plugins(filename, operators)
    graph.embed_external(proto, folder, filename)
    onnx_limits.check(proto, filename)
    measure = graph.fix_input(proto, filename, options.hw, meta.hw)
    onnx_limits.check_sizes(proto, filename)
    hw, channels = _size(proto, filename, meta.stride if measure else None)
    cast = graph.cast_to_float32(proto)
    outputs = graph.read_outputs(proto, filename, measure=measure)
    _refuse_masks(filename, outputs, hw)

    classes = _classes(filename, options, meta)
    output_layout = OutputLayout(outputs, hw, classes, options.anchors, partial(layout.last_operator, proto))
    match = choose(filename, proto, output_layout, kind or meta.kind, operators)
    heads, shapes = _attach(proto, match.guess, outputs)
    family = KINDS[match.kind]
    labels, notes = _labels(options, meta, heads[0].classes, family)
    model = Model(
        name=Path(filename).stem,
        input=_input(family, hw, channels, options.resize),
        heads=heads,
        labels=labels,
        conf=family.conf,
        iou=family.iou,
        origin={"recognised": match.kind, **dict(meta.origin)},
    )
    dropped = [output.name for output in outputs if output not in match.guess.join + shapes]
    return Recognised(model, proto, match.kind, shapes, (*meta.unreadable, *notes, *_graph_notes(proto, cast, dropped)))


def parse_anchors(text: str) -> AnchorSet:
    """Parse "yolov4", or "W,H,W,H,..." for all heads (the finest first; ";" between heads of different length)."""
    if text.strip().lower() in SETS:
        return SETS[text.strip().lower()]
    heads = []
    for part in text.split(";"):
        try:
            sides = [float(word) for word in part.split(",")]
        except ValueError:
            raise UsageError(
                f"--anchors {text!r}: W,H,W,H,... in pixels of the input, or one of {', '.join(sorted(SETS))}"
            ) from None
        if len(sides) % 2 or not all(0 < side < 1e5 for side in sides):
            raise UsageError(f"--anchors {text!r}: pairs of a width and a height, both above 0")
        heads.append(tuple(zip(sides[::2], sides[1::2])))
    return AnchorSet(tuple(heads))


def _kind(name: Optional[str]) -> Optional[str]:
    if name is None:
        return None
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in KINDS:
        raise UnknownName("kind", name, (*KINDS, *ALIASES))
    return key


def _refuse_task(filename: str, kind: Optional[str], task: str) -> None:
    if task in _TASKS:
        raise BadModel(
            f"{filename} gives {_TASKS[task]} (task={task} in its metadata); edgecsp runs detectors and classifiers"
        )
    tasks = {family.result.task for family in KINDS.values()}
    if kind and task in tasks and task != KINDS[kind].result.task:
        raise UsageError(f"--kind {kind} was requested, and the metadata of {filename} says task={task}")


def _refuse_plugins(filename: str, operators: FrozenSet[str]) -> None:
    plugins = sorted(name for name in operators if name in _NMS)
    if plugins:
        raise BadModel(
            f"{filename} contains NMS as {', '.join(plugins)}, a TensorRT plugin that no other engine has; "
            "export it without NMS (edgecsp does that part)"
        )


def _refuse_masks(filename: str, outputs: Sequence[GraphOutput], hw: Tuple[int, int]) -> None:
    for output in outputs:
        if output.shape[1:] == (32, hw[0] // 4, hw[1] // 4) and len(outputs) > 1:
            raise BadModel(f"{filename} gives segmentation masks ({output}); edgecsp runs detectors and classifiers")


def _size(proto: Any, filename: str, stride: Optional[int]) -> Tuple[Tuple[int, int], int]:
    _, channels, height, width = (dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim)
    if stride and (height % stride or width % stride):
        raise UsageError(f"{filename} cannot take images of {width}x{height}: both sides must be multiples of {stride}")
    return (height, width), channels


def _classes(filename: str, options: ImportOptions, meta: metadata.Props) -> Optional[int]:
    """Return the number of classes by the options or the metadata."""
    if options.labels is not None and options.classes not in (None, len(options.labels)):
        raise UsageError(f"--classes {options.classes} and {len(options.labels)} names: they must agree")
    if options.classes is not None and not 0 < options.classes <= metadata.MAX_CLASSES:
        raise UsageError(f"--classes {options.classes}: from 1 to {metadata.MAX_CLASSES}")
    if options.labels is not None:
        return len(options.labels)
    return options.classes or (len(meta.names) if meta.names is not None else None)


def _attach(
    proto: Any, guess: HeadGuess, outputs: Sequence[GraphOutput]
) -> Tuple[Tuple[Any, ...], Tuple[GraphOutput, ...]]:
    """Edit the graph to have one output per head; returns the heads and these outputs."""
    if guess.join:
        output = graph.join_outputs(proto, *guess.join)
        heads: Tuple[Any, ...] = (replace(guess.heads[0], name=output.name),)
        outputs = (*outputs, output)
    else:
        heads = guess.heads
    by_name: Dict[str, GraphOutput] = {output.name: output for output in outputs}
    graph.select_outputs(proto, [head.name for head in heads])
    return heads, tuple(by_name[head.name] for head in heads)


def _labels(
    options: ImportOptions, meta: metadata.Props, classes: int, family: Kind
) -> Tuple[Tuple[str, ...], List[str]]:
    if options.labels is not None:
        return options.labels, []
    if meta.names is not None and len(meta.names) == classes:
        return meta.names, []
    labels = default_labels(classes, has_boxes=family.result.has_boxes)
    if labels is COCO:
        return labels, [f"{classes} classes and no --names: assumed to be COCO's"]
    return labels, [f"no --names: the {classes} classes are called class0, class1 ..."]


def _input(family: Kind, hw: Tuple[int, int], channels: int, resize: Optional[str]) -> Input:
    input_spec = Input(hw, channels=channels, **family.input)
    return input_spec if resize is None else replace(input_spec, resize=resize)


def _graph_notes(proto: Any, cast: bool, dropped: Sequence[str]) -> List[str]:
    notes = []
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > _OPSET:
        notes.append(f"opset {opset}: onnxruntime reads it; TensorRT 8.2 (Jetson TX2) needs {_OPSET} or less")
    if cast:
        notes.append("float16 inside: its input and outputs are cast from and to float32")
    if dropped:
        notes.append(f"not used: {', '.join(dropped[:6])}")
    if "NonMaxSuppression" in layout.operators(proto):
        notes.append("it contains NMS with the thresholds of its export: --iou has no effect")
    return notes
