"""`edgecsp import`: a darknet model becomes one self-describing ONNX file."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

import typer

from . import _options

if TYPE_CHECKING:
    from ..darknet import Imported


def command(
    cfg: Path = typer.Argument(..., help="darknet's network description, MODEL.cfg"),
    weights: Path = typer.Argument(..., help="the trained weights that belong to it, MODEL.weights"),
    names: Optional[Path] = typer.Option(None, "--names", "-n", help="labels, one a line (coco.names)"),
    out: Optional[Path] = typer.Option(None, "--out", "-o", help="the file to write [default: MODEL.onnx here]"),
    imgsz: Optional[str] = typer.Option(None, "--imgsz", help="input size instead of the cfg's: 416 or HEIGHTxWIDTH"),
    resize: Optional[str] = typer.Option(
        None, "--resize", help="darknet, stretch, letterbox or crop, instead of the cfg's"
    ),
    json: bool = typer.Option(False, "--json", help="Print what was made as JSON."),
) -> None:
    """Make one self-describing ONNX file of a darknet cfg and its weights."""
    from .. import darknet, onnx_model

    imported = darknet.load(cfg, weights, names, hw=_options.size(imgsz), resize=resize)
    target = out or Path(f"{cfg.stem}.onnx")
    onnx_model.save(imported.model, target)
    said = describe(imported, target)
    if json:
        print(json_module.dumps(said, indent=2))
        return
    _table(said)
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)


def describe(imported: Imported, target: Path) -> Dict[str, Any]:
    """What was made, as data."""
    from .. import files

    model, net = imported.model, imported.net
    heads = [
        {
            "output": head.name,
            "kind": head.kind,
            "shape": [1, x.c, x.h, x.w],
            "stride": getattr(head, "stride", None),
            "mask": list(getattr(head, "mask", ())),
            "anchors_wh": [list(wh) for wh in getattr(head, "anchors_wh", ())],
        }
        for x, head in net.heads
    ]
    return {
        "file": str(target),
        "sha256": files.sha256(target),
        "model": model.name,
        "layers": imported.layers,
        "convolutions": sum(layer.op == "conv" for layer in net.layers),
        "parameters": net.floats,
        "convolution_weights": net.weights,
        "bflops": round(net.bflops, 3),
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


def _table(said: Dict[str, Any]) -> None:
    height, width = said["input"]["hw"]
    rows = [
        ("model", said["model"]),
        ("layers", f"{said['layers']}, {said['convolutions']} of them convolutions"),
        ("parameters", f"{said['parameters']:,} ({said['convolution_weights']:,} convolution weights)"),
        ("BFLOPs", f"{said['bflops']:.3f}"),
        ("input", f"{width}x{height} {said['input']['colour'].upper()}, {said['input']['resize']}"),
    ]
    for head in said["heads"]:
        shape = "x".join(str(side) for side in head["shape"])
        anchors = "  ".join(f"{w:g}x{h:g}" for w, h in head["anchors_wh"])
        mask = ",".join(str(i) for i in head["mask"])
        rows.append(
            ("head", f"{shape} {head['kind']}" + (f", stride {head['stride']}, mask {mask}: {anchors}" if mask else ""))
        )
    shown = ", ".join(said["labels"][:6]) + (" ..." if said["classes"] > 6 else "")
    rows.append(("labels", f"{said['classes']}: {shown}"))
    rows.append(("written", said["file"]))
    for key, value in rows:
        print(f"{key:11} {value}")
