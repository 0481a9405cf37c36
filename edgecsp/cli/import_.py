"""`edgecsp import`: a darknet model, or another exporter's ONNX, becomes one self-describing ONNX file."""

from __future__ import annotations

import hashlib
import json as json_module
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from . import _options, _print
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..importers.darknet import DarknetImport
    from ..importers.onnx import Recognised
    from ..types import Model


@dataclass(frozen=True)
class _Made:
    """A model on its way into a file, and what is said about it."""

    model: Model
    shapes: Sequence[Sequence[int]]
    facts: Dict[str, Any]
    notes: Tuple[str, ...]


def command(
    source: Path = typer.Argument(..., help="darknet's network description, MODEL.cfg, or another exporter's X.onnx"),
    weights: Optional[Path] = typer.Argument(None, help="the weights that belong to a cfg, MODEL.weights"),
    names: Optional[Path] = typer.Option(None, "--names", "-n", help="labels, one a line (coco.names)"),
    out: Optional[Path] = typer.Option(
        None, "--out", "-o", help="the file to write [default: MODEL.onnx or X-edgecsp.onnx here]"
    ),
    imgsz: Optional[str] = typer.Option(None, "--imgsz", help="input size instead of the file's: 416 or HEIGHTxWIDTH"),
    resize: Optional[str] = typer.Option(
        None, "--resize", help="darknet, stretch, letterbox or crop, instead of the file's"
    ),
    kind: Optional[str] = typer.Option(
        None,
        "--kind",
        help="X.onnx: yolov5, yolov6, yolov8, yolov10, yolox, yolov4, darknet ... [default: by its shapes]",
    ),
    classes: Optional[int] = typer.Option(None, "--classes", help="X.onnx: how many classes, without --names"),
    anchors: Optional[str] = typer.Option(
        None, "--anchors", help="X.onnx with raw heads: yolov3, yolov4, yolov3-tiny, yolov4-tiny or W,H,W,H,..."
    ),
    json: bool = typer.Option(False, "--json", help="Print what was made as JSON."),
) -> None:
    """Make one self-describing ONNX file of a darknet cfg and its weights, or of another exporter's ONNX."""
    from ..cache import files
    from ..graph import onnx_model

    if source.suffix.lower() == ".onnx":
        if weights is not None:
            raise UsageError(f"{source} holds its weights itself; leave {weights} away")
        made, target = _other(source, names, imgsz, resize, kind, classes, anchors), Path(f"{source.stem}-edgecsp.onnx")
    else:
        for flag, value in (("--kind", kind), ("--classes", classes), ("--anchors", anchors)):
            if value is not None:
                raise UsageError(f"{flag} is for another exporter's X.onnx; {source} is read as a darknet cfg")
        if weights is None:
            raise UsageError(
                f"{source} needs its weights; type: edgecsp import {source} MODEL.weights (or X.onnx alone)"
            )
        made, target = _darknet(source, weights, names, imgsz, resize), Path(f"{source.stem}.onnx")
    target = out or target
    files.refuse_sources(target, (source, weights, names))
    onnx_model.save(made.model, target)
    said = _described(made, target)
    if json:
        _print.data(json_module.dumps(said, indent=2))
        return
    _table(said)
    for note in made.notes:
        inform(f"note: {note}", prefix=False)


def _darknet(cfg: Path, weights: Path, names: Optional[Path], imgsz: Optional[str], resize: Optional[str]) -> _Made:
    from ..importers import darknet

    imported: DarknetImport = darknet.load(cfg, weights, names, hw=_options.size(imgsz), resize=resize)
    net = imported.net
    facts = {
        "layers": imported.layers,
        "convolutions": sum(layer.op == "conv" for layer in net.layers),
        "parameters": net.floats,
        "convolution_weights": net.weights,
        "bflops": round(net.bflops, 3),
    }
    return _Made(imported.model, [(1, x.c, x.h, x.w) for x, _ in net.heads], facts, imported.notes)


def _other(
    path: Path,
    names: Optional[Path],
    imgsz: Optional[str],
    resize: Optional[str],
    kind: Optional[str],
    classes: Optional[int],
    anchors: Optional[str],
) -> _Made:
    from .. import importers
    from ..importers import darknet
    from ..importers import onnx as recognise

    labels = None if names is None else darknet.read_names(names)
    anchor_set = None if anchors is None else recognise.parse_anchors(anchors)
    said = recognise.ImportOptions(kind, labels, classes, anchor_set, _options.size(imgsz), resize)
    found: Recognised = importers.import_foreign(path, said)
    cost = found.cost
    facts = {
        "recognised": found.kind,
        "layers": cost.nodes,
        "convolutions": cost.convolutions,
        "parameters": cost.parameters,
        "convolution_weights": cost.weights,
        "bflops": None if cost.bflops is None else round(cost.bflops, 3),
    }
    return _Made(found.model, [output.shape for output in found.outputs], facts, found.notes)


def _described(made: _Made, target: Path) -> Dict[str, Any]:
    """What was made, as data."""
    model = made.model
    heads = [
        {
            "output": head.name,
            "kind": head.kind,
            "shape": list(shape),
            "stride": getattr(head, "stride", None),
            "mask": list(getattr(head, "mask", ())),
            "anchors_wh": [list(wh) for wh in getattr(head, "anchors_wh", ())],
        }
        for head, shape in zip(model.heads, made.shapes)
    ]
    return {
        "file": str(target),
        "sha256": hashlib.sha256(model.onnx).hexdigest(),
        "model": model.name,
        **made.facts,
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
        "notes": list(made.notes),
    }


def _table(said: Dict[str, Any]) -> None:
    height, width = said["input"]["hw"]
    rows = [("model", said["model"])]
    if "recognised" in said:
        rows.append(("recognised", said["recognised"]))
    bflops = said["bflops"]
    rows += [
        ("layers", f"{said['layers']}, {said['convolutions']} of them convolutions"),
        ("parameters", f"{said['parameters']:,} ({said['convolution_weights']:,} convolution weights)"),
        ("BFLOPs", "unknown" if bflops is None else f"{bflops:.3f}"),
        ("input", f"{width}x{height} {said['input']['colour'].upper()}, {said['input']['resize']}"),
    ]
    for head in said["heads"]:
        shape = "x".join(str(side) for side in head["shape"])
        anchors = "  ".join(f"{w:g}x{h:g}" for w, h in head["anchors_wh"])
        mask = f", mask {','.join(str(i) for i in head['mask'])}" if head["mask"] else ""
        place = f", stride {head['stride']}{mask}: {anchors}" if anchors else ""
        rows.append(("head", f"{shape} {head['kind']}{place}"))
    shown = ", ".join(said["labels"][:6]) + (" ..." if said["classes"] > 6 else "")
    rows.append(("labels", f"{said['classes']}: {shown}"))
    rows.append(("written", said["file"]))
    for key, value in rows:
        print(f"{key:11} {value}")
