"""`edgecsp val`: a model and labelled pictures in, COCO's AP out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import typer

from ..errors import UsageError
from . import _options, _outputs, _progress
from ._logging import inform, warn
from ._print import print
from .render import accuracy as _scores

if TYPE_CHECKING:
    from ..bench.accuracy import AccuracyRow, Data, EngineOption

PARTLY_DONE = 4
SCHEMA = "edgecsp-val/1"


def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    others: Optional[List[str]] = typer.Argument(None, help="the same model in other precisions: MODEL-int8.onnx"),
    data: Path = typer.Option(
        ...,
        "--data",
        "-d",
        help="COCO annotations (.json), data.yaml, darknet's .data, or a folder with text or XML labels",
    ),
    images: Optional[Path] = typer.Option(None, "--images", help="folder of the images of COCO annotations"),
    split: str = typer.Option("val", "--split", help="which part of the data: val, test or train"),
    engine: Optional[List[str]] = typer.Option(None, "--engine", "-e", help="one, several, or all [default: auto]"),
    device: str = _options.DEVICE,
    precision: Optional[List[str]] = typer.Option(
        None, "--precision", help="fp32, fp16, int8, or several [default: the graph's]"
    ),
    classes: Optional[List[str]] = typer.Option(None, "--classes", help="only these classes of the data: person,car"),
    conf: float = typer.Option(0.001, "--conf", help="confidence threshold"),
    iou: Optional[float] = _options.IOU,
    max_det: int = typer.Option(1000, "--max-det", help="most boxes per image; COCO counts 100 of each class"),
    agnostic: bool = _options.AGNOSTIC,
    plain_nms: bool = _options.PLAIN_NMS,
    imgsz: Optional[str] = _options.IMGSZ,
    resize: Optional[str] = _options.RESIZE,
    threads: Optional[int] = _options.THREADS,
    shown: Optional[float] = typer.Option(
        None, "--confusion-conf", help="score from which confusions and mistakes count [default: the model's, 0.25]"
    ),
    save_worst: int = typer.Option(0, "--save-worst", help="draw the N images with the most mistakes into --out"),
    out: Optional[Path] = typer.Option(None, "--out", "-o", help="folder for confusion.csv and the worst images"),
    save_json: Optional[Path] = typer.Option(None, "--save-json", help="the detections, for COCO's test server"),
    json: Optional[str] = typer.Option(None, "--json", help="the figures as JSON; - for stdout"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Measure boxes on labelled pictures: COCO's AP, each class, what is confused, the worst pictures."""
    from .. import pipeline
    from ..bench import accuracy
    from ..zoo import store

    accuracy.require()
    if save_worst < 0 or (save_worst and out is None):
        raise UsageError(f"--save-worst {save_worst}: a number of pictures, and --out FOLDER for them")
    pipeline.Settings(conf, iou, max_det=max_det)  # what cannot be meant shows before the work
    pipeline.Settings(shown)
    hw = _options.size(imgsz)
    # Called as they were typed: a file's own name is often that of the one it was made from.
    models = [
        replace(store.resolve(word, hw=hw), name=re.sub(r"\.onnx$", "", Path(word).name))
        for word in (model, *(others or ()))
    ]
    held = accuracy.read(data, labels=models[0].labels, images=images, split=split)
    if classes:
        held = held.select_classes(_options.words(classes) or ())
    asked = accuracy.list_cases(
        models, _options.words(engine) or ("auto",), device=device, precisions=_options.words(precision)
    )
    if not quiet:
        _introduce(held, asked)
    outputs = _outputs.Outputs(held, asked, out, save_json, json)
    rows: List[AccuracyRow] = []
    with outputs, _progress.bar("measuring", len(held.images) * len(asked), quiet) as progress:
        for row in accuracy.measure_rows(
            asked, held, confusion_conf=shown, conf=conf, max_det=max_det, threads=threads, progress=progress, iou=iou,
            agnostic=agnostic, plain_nms=plain_nms, resize=resize,
        ):  # fmt: skip
            rows.append(row)
            outputs.take(row, save_worst)
            row.predictions = None  # a large data set's detections fill the memory
        settings = {
            "conf": conf, "iou": iou, "max_det": max_det, "classes": list(held.names) if classes else None,
            "resize": resize, "imgsz": hw, "agnostic_nms": agnostic, "plain_nms": plain_nms, "split": split,
        }  # fmt: skip
        outputs.finish({"schema": SCHEMA, "data": _said(held), "settings": settings})
    _report(rows, outputs.paths, quiet, to_stderr=json == "-")


def _introduce(data: Data, asked: Sequence[EngineOption]) -> None:
    for note in data.notes:
        inform(note)
    for name in {way.model.name: way for way in asked if way.model.origin.get("weights") == "random"}:
        warn(f"RANDOM WEIGHTS: {name} has learned nothing, and its AP says so")
    objects = sum(data.counts)
    inform(
        f"{data.name}: {data.layout}, {len(data.images)} picture{'s' * (len(data.images) != 1)}, {objects} "
        f"object{'s' * (objects != 1)} of {len(data.names)} class{'es' * (len(data.names) != 1)}",
        prefix=False,
    )


def _said(data: Data) -> Dict[str, Any]:
    return {
        "name": data.name,
        "layout": data.layout,
        "pictures": len(data.images),
        "objects": sum(data.counts),
        "classes": list(data.names),
        "notes": list(data.notes),
    }


def _report(rows: Sequence[AccuracyRow], paths: Sequence[Path], quiet: bool, *, to_stderr: bool) -> None:
    """The tables, the files, and what went wrong."""
    if not quiet:
        for line in _scores.tables(rows):
            inform(line, prefix=False) if to_stderr else print(line)
        for path in paths[:8]:
            inform(f"wrote {path}", prefix=False)
        if len(paths) > 8:
            inform(f"  and {len(paths) - 8} more beside them", prefix=False)
    for row in rows:
        if row.reason:
            warn(f"not measured: {row.case.engine} in {row.case.precision}: {row.reason}")
    problems = {text: None for row in rows for text in row.problems}
    for text in problems:
        warn(text)
    if problems:
        raise typer.Exit(PARTLY_DONE)
