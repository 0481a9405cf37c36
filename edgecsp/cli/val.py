"""`edgecsp val`: measure COCO AP of a model on labelled images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import typer

from ..errors import UsageError
from ..options import Options, Thresholds
from ..options.uses import list_used_options
from . import _json, _options, _outputs, _progress, render
from ._logging import inform, inform_written, warn
from ._print import print

if TYPE_CHECKING:
    from ..bench.accuracy import Data
    from ..bench.cases import Case
    from ..bench.results import CaseResult

PARTLY_DONE = 4
SCHEMA = "edgecsp-val/1"
# Options that are resolved before images are read, or are the measurement's.
OF_CASES = ("engine", "device", "precision", "threads", "imgsz", "classes", "conf", "max_det")


@_options.takes("val")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    others: Optional[List[str]] = typer.Argument(None, help="the same model in other precisions: MODEL-int8.onnx"),
    data: Path = typer.Option(
        ...,
        "--data",
        "-d",
        help="COCO annotations (.json), data.yaml, darknet's .data, or a folder with text or XML labels",
    ),
    images: Optional[Path] = typer.Option(None, "--image-dir", help="folder of the images of COCO annotations"),
    split: str = typer.Option("val", "--split", help="which part of the data: val, test or train"),
    engine: Optional[List[str]] = _options.several("engine", "one, several, or all [default: auto]"),
    precision: Optional[List[str]] = _options.several(
        "precision", "auto, fp32, fp16, bf16, int8, or several [default: auto]"
    ),
    options: Options = _options.GROUP,
    duration: float = typer.Option(2.0, "--duration", help="seconds of timing per row, after the warm-up; 0 for none"),
    confusion_conf: Optional[float] = typer.Option(
        None,
        "--confusion-conf",
        help="confidence threshold for the confusion matrix and mistakes [default: the model's, 0.25]",
    ),
    save_worst: int = typer.Option(0, "--save-worst", help="draw the N images with the most mistakes into --out"),
    out: Optional[Path] = typer.Option(None, "--out", "-o", help="folder for confusion.csv and the worst images"),
    save_json: Optional[Path] = typer.Option(None, "--save-json", help="the detections, for COCO's test server"),
    json: Optional[str] = _json.OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Measure accuracy on labelled images: COCO AP, per class, confusion matrix, worst images; and the speed."""
    from ..bench import accuracy, val
    from ..zoo import store

    accuracy.require()
    if save_worst < 0 or (save_worst and out is None):
        raise UsageError(f"--save-worst {save_worst}: must be a number of images, with --out FOLDER for them")
    Thresholds(confusion_conf)  # an invalid value is reported before the work
    # Named as typed: the name in a file is often that of its original.
    models = [
        replace(store.resolve(word, hw=options.hw), name=re.sub(r"\.onnx$", "", Path(word).name))
        for word in (model, *(others or ()))
    ]
    labelled = accuracy.read(data, labels=models[0].labels, images=images, split=split)
    if options.classes:
        labelled = labelled.select_classes([str(each) for each in options.classes])
    cases = val.list_cases(
        models, _options.split_engines(engine) or ("auto",), device=options.device,
        precisions=_options.split_words(precision), threads=options.threads,
        options={name: getattr(options, name) for name in list_used_options("val") if name not in OF_CASES},
    )  # fmt: skip
    if not quiet:
        _introduce(labelled, cases)
        if precision is None:
            taken = dict.fromkeys(f"{case.engine} in {case.precision}" for case in cases)
            inform(f"as edgecsp run computes it (--precision auto): {', '.join(taken)}", prefix=False)
    if duration and not 0.01 <= duration <= 3600:
        raise UsageError(f"--duration {duration:g}: seconds per row, from 0.01 to 3600, or 0 for no timing")
    outputs = _outputs.Outputs(labelled, cases, out, save_json, json)
    rows: List[CaseResult] = []
    with outputs, _progress.bar("measuring", len(labelled.images) * len(cases), quiet) as progress:
        for row in val.measure_results(
            cases, labelled, confusion_conf=confusion_conf, conf=options.conf, max_det=options.max_det,
            progress=progress,
        ):  # fmt: skip
            rows.append(row)
            outputs.write_row(row, save_worst)
            if row.accuracy:
                row.accuracy.predictions = None  # the detections of a large data set would fill the memory
        if duration:
            val.measure_speed(rows, duration, progress=progress)
        settings = {
            "conf": options.conf, "iou": options.iou, "max_det": options.max_det,
            "classes": list(labelled.names) if options.classes else None, "resize": options.resize,
            "imgsz": options.hw, "agnostic_nms": options.agnostic, "plain_nms": options.plain_nms, "split": split,
        }  # fmt: skip
        outputs.finish({"schema": SCHEMA, "data": _describe_data(labelled), "settings": settings})
    _report(rows, outputs.paths, quiet, to_stderr=json == "-")


def _introduce(data: Data, cases: Sequence[Case]) -> None:
    for note in data.notes:
        inform(note)
    for name in {case.model.name: case for case in cases if case.model.origin.get("weights") == "random"}:
        warn(f"RANDOM WEIGHTS: {name} is untrained, so its AP is meaningless")
    objects = sum(data.counts)
    inform(
        f"{data.name}: {data.layout}, {len(data.images)} image{'s' * (len(data.images) != 1)}, {objects} "
        f"object{'s' * (objects != 1)} of {len(data.names)} class{'es' * (len(data.names) != 1)}",
        prefix=False,
    )


def _describe_data(data: Data) -> Dict[str, Any]:
    return {
        "name": data.name,
        "layout": data.layout,
        "pictures": len(data.images),
        "objects": sum(data.counts),
        "classes": list(data.names),
        "notes": list(data.notes),
    }


def _report(rows: Sequence[CaseResult], paths: Sequence[Path], quiet: bool, *, to_stderr: bool) -> None:
    """Print the tables, the written files and the problems."""
    if not quiet:
        for line in render.accuracy.tables(rows):
            style = "heading" if line.startswith(("model ", "class ")) else ""
            inform(line, prefix=False) if to_stderr else print(line, style=style)
        inform_written(paths)
    for row in rows:
        if row.failure:
            words = "only partly measured" if row.accuracy else "not measured"
            warn(f"{words}: {row.case.engine} in {row.case.precision}: {row.failure}")
    problems = {text: None for row in rows if row.accuracy for text in row.accuracy.problems}
    for text in problems:
        warn(text)
    if problems:
        raise typer.Exit(PARTLY_DONE)
