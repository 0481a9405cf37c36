"""`edgecsp import`: convert a darknet model, or another exporter's ONNX, to a self-describing ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from ..options import Options
from . import _json, _options, _progress
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..importers.darknet import DarknetImport
    from ..importers.onnx import Recognised
    from ..types import Model


@dataclass(frozen=True)
class _ImportedModel:
    """An imported model and the facts to report."""

    model: Model
    shapes: Sequence[Sequence[int]]
    facts: Dict[str, Any]
    notes: Tuple[str, ...]


@_options.takes("import")
def command(
    source: Path = typer.Argument(..., help="darknet's MODEL.cfg, or another exporter's X.onnx"),
    weights: Optional[Path] = typer.Argument(None, help="the weights of a cfg, MODEL.weights"),
    names: Optional[Path] = typer.Option(None, "--names", "-n", help="labels, one per line (coco.names)"),
    out: Optional[Path] = typer.Option(
        None, "--out", "-o", help="the file to write [default: MODEL.onnx or X-edgecsp.onnx here]"
    ),
    options: Options = _options.GROUP,
    kind: Optional[str] = typer.Option(
        None,
        "--kind",
        help="X.onnx: yolov5, yolov8, yolox, detr, rfdetr, nanodet, darknet ... [default: by its outputs]",
    ),
    num_classes: Optional[int] = typer.Option(None, "--num-classes", help="X.onnx: number of classes, without --names"),
    anchors: Optional[str] = typer.Option(
        None, "--anchors", help="X.onnx with raw heads: yolov3, yolov4, yolov5, yolov7, yolov4-tiny or W,H,W,H,..."
    ),
    boxes_only: bool = typer.Option(
        False, "--boxes-only", help="X.onnx of masks, keypoints or oriented boxes: read the boxes alone"
    ),
    debug_heads: Optional[Path] = typer.Option(
        None,
        "--debug-heads",
        help="X.onnx: draw what it finds into this PNG, or each of several kinds that it may be of",
    ),
    debug_image: Optional[Path] = typer.Option(
        None, "--debug-image", help="the image for --debug-heads [default: noise]"
    ),
    json: Optional[str] = _json.OPTION,
) -> None:
    """Convert a darknet cfg and weights, or another exporter's ONNX, to one self-describing ONNX file."""
    from ..cache import files
    from ..graph import onnx_model

    if debug_heads is not None:
        files.refuse_sources(debug_heads, (source, names, debug_image))
    if source.suffix.lower() == ".onnx":
        if weights is not None:
            raise UsageError(f"{source} contains its weights; remove {weights}")
        with _progress.bar(f"importing {source.name}", unit="wait"):
            imported = _import_onnx(
                source, names, options, kind=kind, classes=num_classes, anchors=anchors, boxes_only=boxes_only,
                debug_heads=debug_heads, debug_image=debug_image,
            )  # fmt: skip
        target = out or Path(f"{source.stem}-edgecsp.onnx")
    else:
        for flag, value in (
            ("--kind", kind), ("--num-classes", num_classes), ("--anchors", anchors),
            ("--boxes-only", boxes_only or None), ("--debug-heads", debug_heads), ("--debug-image", debug_image),
        ):  # fmt: skip
            if value is not None:
                raise UsageError(f"{flag} is only for another exporter's X.onnx; {source} is read as a darknet cfg")
        if weights is None:
            raise UsageError(
                f"{source} needs its weights; type: edgecsp import {source} MODEL.weights (or X.onnx alone)"
            )
        with _progress.bar(f"importing {source.name}", unit="wait"):
            imported = _import_darknet(source, weights, names, options)
        target = out or Path(f"{source.stem}.onnx")
    files.refuse_sources(target, (source, weights, names))
    with _json.JsonOutput(json) as output:
        onnx_model.save(imported.model, target)
        description = _describe(imported, target)
        output.write(description)
    if output.is_stdout:
        return
    _table(description)
    for note in imported.notes:
        inform(f"note: {note}", prefix=False)


def _import_darknet(cfg: Path, weights: Path, names: Optional[Path], options: Options) -> _ImportedModel:
    from ..importers import darknet

    imported: DarknetImport = darknet.load(cfg, weights, names, hw=options.hw, resize=options.resize)
    net = imported.net
    facts = {
        "layers": imported.layers,
        "convolutions": sum(layer.op == "conv" for layer in net.layers),
        "parameters": net.floats,
        "convolution_weights": net.weights,
        "bflops": round(net.bflops, 3),
    }
    return _ImportedModel(imported.model, [(1, x.c, x.h, x.w) for x, _ in net.heads], facts, imported.notes)


def _import_onnx(
    path: Path, names: Optional[Path], options: Options, *, anchors: Optional[str], **foreign: Any
) -> _ImportedModel:
    from .. import importers
    from ..importers import darknet
    from ..importers import onnx as onnx_import

    labels = None if names is None else darknet.read_names(names)
    anchor_set = None if anchors is None else onnx_import.parse_anchors(anchors)
    import_options = onnx_import.ImportOptions(
        labels=labels, anchors=anchor_set, hw=options.hw, resize=options.resize, **foreign
    )
    recognised: Recognised = importers.import_foreign(path, import_options)
    cost = recognised.cost
    facts = {
        "recognised": recognised.kind,
        "layers": cost.nodes,
        "convolutions": cost.convolutions,
        "parameters": cost.parameters,
        "convolution_weights": cost.weights,
        "bflops": None if cost.bflops is None else round(cost.bflops, 3),
    }
    return _ImportedModel(recognised.model, [output.shape for output in recognised.outputs], facts, recognised.notes)


def _describe(imported: _ImportedModel, target: Path) -> Dict[str, Any]:
    """Describe the imported model as JSON data."""
    import hashlib

    model = imported.model
    heads = [
        {
            "output": head.name,
            "kind": head.kind,
            "shape": list(shape),
            "stride": getattr(head, "stride", None),
            "mask": list(getattr(head, "mask", ())),
            "anchors_wh": [list(wh) for wh in getattr(head, "anchors_wh", ())],
        }
        for head, shape in zip(model.heads, imported.shapes)
    ]
    return {
        "file": str(target),
        "sha256": hashlib.sha256(model.onnx).hexdigest(),
        "model": model.name,
        **imported.facts,
        "input": {
            "hw": list(model.input.hw),
            "channels": model.input.channels,
            "colour": model.input.colour,
            "resize": model.input.resize,
        },
        "heads": heads,
        "classes": len(model.labels),
        "labels": list(model.labels),
        "nms_beta": model.nms_beta,
        "notes": list(imported.notes),
    }


def _table(description: Dict[str, Any]) -> None:
    height, width = description["input"]["hw"]
    rows = [("model", description["model"])]
    if "recognised" in description:
        rows.append(("recognised", description["recognised"]))
    bflops = description["bflops"]
    rows += [
        ("layers", f"{description['layers']}, {description['convolutions']} of them convolutions"),
        ("parameters", f"{description['parameters']:,} ({description['convolution_weights']:,} convolution weights)"),
        ("BFLOPs", "unknown" if bflops is None else f"{bflops:.3f}"),
        ("input", f"{width}x{height} {description['input']['colour'].upper()}, {description['input']['resize']}"),
    ]
    for head in description["heads"]:
        shape = "x".join(str(side or "?") for side in head["shape"])
        anchors = "  ".join(f"{w:g}x{h:g}" for w, h in head["anchors_wh"])
        mask = f", mask {','.join(str(i) for i in head['mask'])}" if head["mask"] else ""
        place = f", stride {head['stride']}{mask}: {anchors}" if anchors else ""
        rows.append(("head", f"{shape} {head['kind']}{place}"))
    labels = ", ".join(description["labels"][:6]) + (" ..." if description["classes"] > 6 else "")
    rows.append(("labels", f"{description['classes']}: {labels}"))
    rows.append(("written", description["file"]))
    for key, value in rows:
        print(f"{key:11} {value}")
