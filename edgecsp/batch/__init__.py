"""Corpora that outgrow one machine: videos cut at keyframes, pictures in groups, rows into Parquet; on Ray, or here.

    made, settings = batch.task("codes", out="rows")
    with batch.crew("local") as crew:                    # None: this process, without Ray
        done = batch.run(batch.read("videos"), made, crew, settings)

`corpus` lists, `cuts` and `parts` split, `segment` reads a part, `work` is what a worker does, `ledger` what is known
to be done, `job` the whole; `_ray` is the one file that knows Ray.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple, Union

from .. import pipeline
from ..backends import tuning
from ..media import scheduler
from ..system import cpu, versions
from ..types import Model
from .corpus import read
from .job import GROUP, SEGMENT, Executor, JobProgress, LocalExecutor, run
from .ledger import sha256
from .storage import Folder
from .summary import BatchSummary, summary
from .work import RETRIES, Task

__all__ = [
    "Executor",
    "GROUP",
    "JobProgress",
    "SEGMENT",
    "BatchSummary",
    "Task",
    "crew",
    "read",
    "run",
    "summary",
    "task",
]


def task(
    model: Union[str, Path, Model],
    engine: str = "auto",
    *,
    out: Union[str, Path],
    weights: Optional[str] = None,
    device: str = "auto",
    precision: Optional[str] = None,
    imgsz: Optional[Tuple[int, int]] = None,
    resize: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    conf: Optional[float] = None,
    iou: Optional[float] = None,
    max_det: int = 300,
    agnostic: bool = False,
    plain_nms: bool = False,
    jsonl: bool = False,
    retries: int = RETRIES,
) -> Tuple[Task, Dict[str, Any]]:
    """What every worker is told, and the settings that the rows depend on. Words are those of `edgecsp.load`.

    "auto" is settled here, once for all machines. `out` is a folder or a URI that all of them see. Raises an
    `EdgecspError`.
    """
    made = pipeline.resolved(model, weights, imgsz)
    wanted = pipeline.class_ids(made, classes)
    kept = pipeline.Settings(conf, iou, wanted, max_det, agnostic, plain_nms)
    chosen = tuning.choose(
        made, engine, device=device, precision=precision, at_once=scheduler.default_concurrency(cpu.threads())
    )
    told = Task(
        chosen.model, chosen.engine, chosen.device, chosen.precision, kept, resize, Folder(str(out)).place,
        uuid.uuid4().hex,
        jsonl=jsonl, retries=retries, version=versions.own(),
    )  # fmt: skip
    said = {
        "model": made.name, "sha256": sha256(chosen.model.onnx), "engine": chosen.engine,
        "device": chosen.device, "precision": chosen.precision, "resize": resize, "conf": conf, "iou": iou,
        "class_ids": None if wanted is None else list(wanted), "max_det": max_det, "agnostic_nms": agnostic,
        "plain_nms": plain_nms, "jsonl": jsonl,
    }  # fmt: skip
    return told, said


@contextmanager
def executor(
    address: Optional[str] = None, *, workers: Optional[int] = None, cpus: int = 1, gpu: bool = False,
) -> Iterator[Executor]:  # fmt: skip
    """Who works: None for this process, else Ray's workers: "local", "auto" or an address (see `_ray.Cluster`)."""
    if address is None:
        yield LocalExecutor(cpu.threads())
        return
    from ._ray import Cluster

    with Cluster(address, workers=workers, cpus=cpus, gpu=gpu) as cluster:
        yield cluster
