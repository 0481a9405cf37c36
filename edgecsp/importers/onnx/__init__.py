"""Import other exporters' ONNX files, recognised by the shapes of their outputs and their metadata.

    found = recognise(proto, "yolov8n.onnx")
    print(found.kind, found.model.heads, found.notes)

`families` describes each family's outputs in the words of `kinds`, `match` tries them all, `layout` reads the graph's
nodes, `metadata` an exporter's metadata; `inputs`, `graph`, `plugins`, `boxes` and `tail` edit. A file that fits
exactly one family is recognised; otherwise an error names the flags that decide, with what `readings` would find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ...errors import BadModel, UnknownName, UsageError
from ...graph import limits as onnx_limits
from ...graph.anchors import SETS, AnchorSet
from ...graph.labels import COCO_CATEGORIES, default_labels
from ...types import Input, Model
from . import boxes, graph, inputs, layout, metadata, plugins, probe, readings
from .families import ALIASES, KINDS
from .graph import GraphOutput
from .kinds import HeadGuess, Kind, OutputLayout
from .match import Match, Tie, choose
from .tail import GraphTail

__all__ = ["ALIASES", "KINDS", "Recognised", "ImportOptions", "parse_anchors", "recognise"]

_OPSET = 13


@dataclass(frozen=True)
class ImportOptions:
    """The user's options for a file; None means to detect from the file.

    `kind` is one of `KINDS` or `ALIASES`; `labels` the names of all classes, or `classes` how many there are;
    `anchors` those of raw heads; `hw` the input size of a graph whose size is free; `resize` another way of laying
    images into it. `boxes_only` reads the boxes of a model that gives more. `debug_heads` is a PNG
    that shows the boxes on `debug_image`: where readings tie, those of each.
    """

    kind: Optional[str] = None
    labels: Optional[Tuple[str, ...]] = None
    classes: Optional[int] = None
    anchors: Optional[AnchorSet] = None
    hw: Optional[Tuple[int, int]] = None
    resize: Optional[str] = None
    boxes_only: bool = False
    debug_heads: Optional[Path] = None
    debug_image: Optional[Path] = None


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
    _check_kind(filename, kind, meta)
    graph.embed_external(proto, folder, filename)
    onnx_limits.check(proto, filename)
    plugin = plugins.cut(proto, filename)
    operators = layout.operators(proto)
    plugins.refuse(filename, operators)
    half = graph.convert_to_float32(proto)
    image = inputs.fix(proto, filename, options.hw, meta.hw)
    onnx_limits.check_sizes(proto, filename)
    hw, channels = _size(proto, filename, meta.stride if image.measure else None)
    notes = [inputs.make_single(proto, filename, image.batch)] if image.batch > 1 else []
    outputs = graph.read_outputs(proto, filename, measure=image.measure, batch_name=image.batch_name)
    task = boxes.find_task(meta.task, outputs, hw, meta.keypoints, boxes_only=options.boxes_only)
    read = outputs
    if options.boxes_only:
        read = boxes.read_alone(proto, filename, outputs, task, hw)
    elif task is not None:
        boxes.refuse(filename, task)

    output_layout = OutputLayout(
        read, hw, _classes(filename, options, meta), options.anchors, partial(layout.last_operator, proto), operators,
        image.extra, image.has_bytes, layout.has_patches(proto), plugin,
    )  # fmt: skip
    make_model = partial(_model, filename, options, meta, hw, channels, image.has_bytes)
    try:
        match = choose(filename, proto, output_layout, _known_kind(filename, kind or meta.kind, plugin))
    except Tie as tie:
        raise _show(tie, filename, proto, read, make_model, options, hw) from None
    model, shapes = make_model(proto, match, read)
    if options.debug_heads is not None:
        if not probe.can_run(proto):
            raise UsageError(
                "--debug-heads runs the graph, which takes onnxruntime and an input of at most 4 megapixels"
            )
        shown_on = readings.read_image(options.debug_image, hw)
        described = readings.describe([readings.Reading(match, model, proto)], filename, shown_on)
        readings.draw(described, shown_on, options.debug_heads)
        notes.append(f"{described[0][0]}; {options.debug_heads} shows them")
    used = {output.name for output in (*match.guess.reads, *shapes)}
    dropped = [output.name for output in outputs if not used & {output.name, boxes.name_of(output)}]
    _, label_notes = _labels(options, meta, model.heads[0].classes, KINDS[match.kind])
    notes += _graph_notes(proto, half, dropped, plugin is not None)
    return Recognised(model, proto, match.kind, shapes, (*meta.unreadable, *label_notes, *notes))


def _model(
    filename: str,
    options: ImportOptions,
    meta: metadata.Props,
    hw: Tuple[int, int],
    channels: int,
    has_bytes: bool,
    proto: Any,
    match: Match,
    outputs: Sequence[GraphOutput],
) -> Tuple[Model, Tuple[GraphOutput, ...]]:
    """Make a match's model, without the graph's bytes, and edit the graph; returns the heads' outputs too."""
    family = KINDS[match.kind]
    fields = family.byte_input if has_bytes else family.input
    if fields is None:
        name = proto.graph.node[0].output[0]
        raise BadModel(f"{filename}: its input {name!r} is UINT8; export it with a float32 input")
    heads, shapes = _attach(proto, match.guess, outputs)
    labels, _ = _labels(options, meta, heads[0].classes, family)
    spec = Input(hw, channels=channels, **fields)
    return Model(
        name=Path(filename).stem,
        input=spec if options.resize is None else replace(spec, resize=options.resize),
        heads=heads,
        labels=labels,
        conf=family.conf if match.guess.conf is None else match.guess.conf,
        iou=family.iou if match.guess.iou is None else match.guess.iou,
        origin={"recognised": match.kind, **dict(meta.origin)},
    ), shapes


def _show(
    tie: Tie,
    filename: str,
    proto: Any,
    outputs: Sequence[GraphOutput],
    make_model: Callable[..., Tuple[Model, Tuple[GraphOutput, ...]]],
    options: ImportOptions,
    hw: Tuple[int, int],
) -> BadModel:
    """Return the error of a tie, with the first boxes of each reading; draws them where the user asked for that."""
    if not probe.can_run(proto):
        return tie
    candidates = []
    for match in tie.matches:
        if match.guess.heads:
            copy = type(proto)()
            copy.CopyFrom(proto)
            candidates.append(readings.Reading(match, make_model(copy, match, outputs)[0], copy))
    if not candidates:
        return tie
    image = readings.read_image(options.debug_image, hw)
    described = readings.describe(candidates, filename, image)
    rows = "; ".join(text for text, _ in described)
    of = options.debug_image or "noise"
    text = f"{tie.problem}. Of {of}: {rows}. {tie.advice}"
    if options.debug_heads is None:
        return BadModel(f"{text}, or see them: --debug-heads FILE.png --debug-image IMAGE", docs="model-not-recognised")
    readings.draw(described, image, options.debug_heads)
    message = f"{text}; {options.debug_heads} shows {'both' if len(described) == 2 else 'them'}"
    return BadModel(message, docs="model-not-recognised")


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


def _check_kind(filename: str, kind: Optional[str], meta: metadata.Props) -> None:
    """Raise `UsageError` where the user's kind is not what the metadata says: metadata decides before shapes."""
    if kind is None:
        return
    tasks = {family.result.task for family in KINDS.values()}
    if meta.task in tasks and meta.task != KINDS[kind].result.task:
        raise UsageError(f"--kind {kind} was requested, and the metadata of {filename} says task={meta.task}")
    if meta.kind and kind != meta.kind:
        raise UsageError(f"--kind {kind} was requested, and the metadata of {filename} says that it is {meta.kind}")


def _known_kind(filename: str, kind: Optional[str], plugin: Optional[Tuple[str, float, float]]) -> Optional[str]:
    """Return the kind that need not be guessed: the user's, the metadata's, or that of a plugin that was cut off."""
    if plugin is None:
        return kind
    if kind not in (None, "efficientnms"):
        raise UsageError(f"--kind {kind} was requested, and {filename} ends in EfficientNMS_TRT; omit --kind")
    return "efficientnms"


def _size(proto: Any, filename: str, stride: Optional[int]) -> Tuple[Tuple[int, int], int]:
    _, channels, height, width = (dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim)
    if stride and (height % stride or width % stride):
        raise UsageError(f"{filename} cannot take images of {width}x{height}: both sides must be multiples of {stride}")
    return (height, width), channels


def _classes(filename: str, options: ImportOptions, meta: metadata.Props) -> Optional[int]:
    """Return the number of classes by the options or the metadata."""
    if options.labels is not None and options.classes not in (None, len(options.labels)):
        raise UsageError(f"--num-classes {options.classes} and {len(options.labels)} names: they must agree")
    if options.classes is not None and not 0 < options.classes <= metadata.MAX_CLASSES:
        raise UsageError(f"--num-classes {options.classes}: from 1 to {metadata.MAX_CLASSES}")
    if options.labels is not None:
        return len(options.labels)
    return options.classes or (len(meta.names) if meta.names is not None else None)


def _attach(
    proto: Any, guess: HeadGuess, outputs: Sequence[GraphOutput]
) -> Tuple[Tuple[Any, ...], Tuple[GraphOutput, ...]]:
    """Edit the graph to have one output per head; returns the heads and these outputs."""
    heads: Tuple[Any, ...] = guess.heads
    if guess.build is not None:
        outputs = guess.build(GraphTail(proto))
        heads = tuple(replace(head, name=output.name) for head, output in zip(heads, outputs))
    by_name: Dict[str, GraphOutput] = {output.name: output for output in outputs}
    graph.select_outputs(proto, [head.name for head in heads])
    return heads, tuple(by_name[head.name] for head in heads)


def _labels(
    options: ImportOptions, meta: metadata.Props, classes: int, family: Kind
) -> Tuple[Tuple[str, ...], List[str]]:
    if options.labels is not None and len(options.labels) == classes:
        return options.labels, []
    if meta.names is not None and len(meta.names) == classes:
        return meta.names, []
    for labels in family.labels:
        if len(labels) == classes:
            numbered = " by category id" * (labels is COCO_CATEGORIES)
            return labels, [f"{classes} classes and no --names: assumed to be COCO's{numbered}"]
    return default_labels(classes, has_boxes=False), [
        f"no --names: the {classes} classes are called class0, class1 ..."
    ]


def _graph_notes(proto: Any, half: bool, dropped: Sequence[str], plugin: bool) -> List[str]:
    notes = []
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > _OPSET:
        notes.append(f"opset {opset}: onnxruntime reads it; TensorRT 8.2 (Jetson TX2) needs {_OPSET} or less")
    if half:
        notes.append("float16 inside: made float32, as not every engine computes in it; --precision fp16 asks for it")
    if plugin:
        notes.append("EfficientNMS_TRT is cut off, as no other engine has it: edgecsp suppresses at its thresholds")
    if dropped:
        notes.append(f"not used: {', '.join(dropped[:6])}")
    if "NonMaxSuppression" in layout.operators(proto):
        notes.append("it contains NMS with the thresholds of its export: --iou has no effect")
    return notes
