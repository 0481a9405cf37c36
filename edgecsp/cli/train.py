"""`edgecsp train`: train a detector on labelled images."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence

import typer

from ..errors import UsageError
from ..options.declaration import list_options
from ..options.training import TrainSettings
from . import _json, _logging, _options, _progress, _signals
from ._logging import inform

if TYPE_CHECKING:
    from ..train import TrainingProgress, TrainRun

QUIET_S = 60.0  # without a line in a log


@_options.group({name: each for name, each in list_options(TrainSettings).items() if each.help}, dict)
def command(
    context: typer.Context,
    model: str = typer.Argument(..., help="a zoo model with YOLO heads (edgecsp models list), or a darknet .cfg"),
    data: Path = typer.Option(
        ...,
        "--data",
        "-d",
        help="data.yaml, COCO annotations (.json), darknet's .data, or a folder with text or XML labels",
    ),
    batch: str = typer.Option("16", "--batch", help="batch size; auto: as large as memory allows"),
    options: Dict[str, Any] = _options.GROUP,
    weights: Optional[str] = typer.Option(
        None,
        "--weights",
        help="initial weights: a run, X.weights, codes, everyday or none [default: everyday if it fits, else none]",
    ),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, or a GPU's number"),
    workers: str = typer.Option("auto", "--workers", help="processes that read and augment images; auto: by the CPU"),
    cache: Optional[str] = typer.Option(
        None, "--cache", help="cache decoded images: ram, disk or none [default: ram if they fit]"
    ),
    classes: Optional[List[str]] = typer.Option(None, "--classes", help="only these classes of the data: person,car"),
    single_cls: bool = typer.Option(False, "--single-cls", help="all classes as one"),
    val_split: float = typer.Option(
        0.1, "--val-split", help="share of validation images, if the data has no val split"
    ),
    no_flip: bool = typer.Option(False, "--no-flip", help="no horizontal flips, for text, arrows, left and right"),
    name: Optional[Path] = typer.Option(None, "--name", "-n", help="the run's folder [default: the next runs/train/N]"),
    resume: Optional[Path] = typer.Option(None, "--resume", help="resume the run in this folder"),
    teacher: Optional[List[str]] = typer.Option(
        None, "--teacher", help="a model whose boxes become labels: a name, X.onnx, or X.cfg with X.weights beside it"
    ),
    unlabelled: Optional[List[str]] = typer.Option(
        None, "--unlabelled", help="images that the teacher labels: a folder, a list, a glob"
    ),
    json: Optional[str] = _json.OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no summary"),
) -> None:
    """Train a zoo model or a darknet cfg on labelled images; writes best.onnx and best.weights to a folder."""
    from ..train.api import check_installed

    check_installed()
    from ..train import folders, train
    from ..train.resources import AUTO, whole

    if "," in device:
        raise UsageError(_multi_gpu_message(device))
    if resume is not None and name is not None:
        raise UsageError(f"--resume {resume} resumes in its own folder; remove --name {name}")
    batch_size = 0 if batch == AUTO else whole("batch", batch, 1)
    explicit = _typed(context, {"batch": batch_size, "no_flip": not no_flip, **options})
    if "no_flip" in explicit:
        explicit["flip"] = explicit.pop("no_flip")
    class_names = _options.split_words(classes) or []
    to_json = None if _is_other() else json
    with _json.JsonOutput(to_json) as output, _signals.until_signal() as stop, _watch(quiet or _is_other()) as watch:
        run = train(
            model,
            data,
            settings=folders.settings(resume, explicit),
            weights=weights,
            out=name,
            classes=class_names,
            single_class=single_cls,
            val_split=val_split,
            device=device,
            workers=workers,
            cache=cache,
            resume=resume,
            teacher=teacher or (),
            unlabelled=unlabelled or (),
            stop=stop,
            watch=watch,
        )
        output.write(_figures(run), indent=1)
    if _is_other():
        # Python's finalization may abort in torch's threads, and torchrun would then end the first process.
        _signals.end(0)
    if not quiet:
        for line in _summary(run, data, class_names, single_cls).splitlines():
            inform(line, prefix=False)


def _typed(context: typer.Context, values: Dict[str, Any]) -> Dict[str, Any]:
    """Those of some options that were typed, not left at their defaults."""
    sources = {name: context.get_parameter_source(name) for name in values}
    return {name: values[name] for name, source in sources.items() if source and source.name != "DEFAULT"}


def _multi_gpu_message(device: str) -> str:
    """Error message on training with several GPUs, with the torchrun command."""
    typed = [word for i, word in enumerate(sys.argv[1:], 1) if word != "--device" and sys.argv[i - 1] != "--device"]
    rest = shlex.join(word for word in typed if not word.startswith("--device="))
    count = len([each for each in device.split(",") if each])
    return (
        f"--device {device}: several GPUs need several processes; type: CUDA_VISIBLE_DEVICES={device} "
        f"torchrun --nproc-per-node {count} -m edgecsp {rest}"
    )


def _is_other() -> bool:
    """Whether this is a further process of torchrun; only the first one prints and writes."""
    return os.environ.get("RANK", "0") != "0" and "WORLD_SIZE" in os.environ


@contextmanager
def _watch(quiet: bool) -> Iterator[Callable[[TrainingProgress], None]]:
    """What to call with the state of a run: it moves a bar where somebody watches, and is logged elsewhere."""
    if quiet:
        yield lambda progress: None
        return
    if not _logging.is_watched():
        yield _log
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("{task.fields[status]}"))
    with _progress.bars(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None, epoch="1", status="")

        def watch(at: TrainingProgress) -> None:
            ap50 = "" if at.ap50 is None else f", AP50 {at.ap50:.3f}"
            status = f"loss {at.loss:.2f}{ap50}, {at.images_per_s:.0f} images/s, {at.waited:.0%} waiting for images"
            bar.update(task, total=at.steps, completed=at.step, epoch=f"{at.epoch}/{at.epochs}", status=status)

        yield watch


def _log(progress: TrainingProgress) -> None:
    """Log the state of a run where nothing was logged for a minute."""
    if _logging.silent_s() >= QUIET_S:
        inform(progress.line(), prefix=False)


def _figures(run: TrainRun) -> Any:
    return {
        "schema": "edgecsp-train/1",
        "folder": str(run.folder),
        "onnx": str(run.onnx),
        "AP": run.ap,
        "AP50": run.ap50,
        "epoch": run.epoch,
        "images_per_s": round(run.images_per_s, 1),
        "waited": round(run.waited, 4),
        "results": str(run.results),
        "engines": {each.engine: each.difference for each in run.agreements},
    }


def _darknet(run: TrainRun) -> str:
    cfg = run.folder / "best.cfg"
    return f"{cfg} and best.weights: the same for darknet\n" if cfg.is_file() else ""


def _summary(run: TrainRun, data: Path, classes: Sequence[str], single_class: bool) -> str:
    from ..train.progress import waiting

    onnx = shlex.quote(str(run.onnx))
    next_steps = [f"edgecsp run IMAGES --model {onnx}"]
    if run.has_val and not single_class:  # else `val` has no images that were not learned from, or other classes
        only = f" --classes {shlex.quote(','.join(classes))}" if classes else ""
        next_steps.append(f"edgecsp val {onnx} --data {shlex.quote(str(data))}{only}")
    next_steps.append(f"edgecsp quantize {onnx} --calib IMAGES; edgecsp build {onnx}; edgecsp serve --model {onnx}")

    best = f"best AP50 {run.ap50:.3f}, AP {run.ap:.3f}" if run.ap is not None and run.ap50 is not None else "no AP"
    same = ", ".join(f"{each.engine} {each.difference:.0e}" for each in run.agreements)
    return (
        f"{best} in epoch {run.epoch}; {run.images_per_s:.0f} images/s, {waiting(run.waited)}\n"
        f"{run.onnx}: difference of the heads to torch, relative to their scale: {same}\n"
        f"{_darknet(run)}"
        f"{run.results}: curves, confusion matrix, worst images\n"
        "next: " + "\n      ".join(next_steps)
    )
