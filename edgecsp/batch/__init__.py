"""Large batch jobs: videos split at keyframes, images in groups, results as Parquet; on Ray or in this process.

    task, settings = batch.build_task("codes", out="rows")
    with batch.executor("local") as executor:            # None: this process, without Ray
        progress = batch.run(batch.read("videos"), task, executor, settings)

`corpus` lists files, `keyframe_index` and `shards` split them, `segment` reads a shard, `work` is a worker, `ledger`
records finished shards, `job` runs the whole; only `_ray` knows Ray.
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
from .summary import BatchSummary, summarize
from .work import RETRIES, Task

__all__ = [
    "GROUP", "SEGMENT", "BatchSummary", "Executor", "JobProgress", "Task", "build_task", "executor", "read", "run",
    "summarize",
]  # fmt: skip


def build_task(
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
    """Build the task of every worker, and the settings that the rows depend on. Options are those of `edgecsp.load`.

    "auto" is resolved here, once for all machines. `out` is a folder or a URI that all of them see. Raises an
    `EdgecspError`.
    """
    resolved = pipeline.resolve_model(model, weights, imgsz)
    class_ids = pipeline.class_ids(resolved, classes)
    detector_settings = pipeline.Settings(conf, iou, class_ids, max_det, agnostic, plain_nms)
    chosen = tuning.choose(
        resolved, engine, device=device, precision=precision, at_once=scheduler.default_concurrency(cpu.threads())
    )
    task = Task(
        chosen.model, chosen.engine, chosen.device, chosen.precision, detector_settings, resize, Folder(str(out)).place,
        uuid.uuid4().hex,
        jsonl=jsonl, retries=retries, version=versions.own(),
    )  # fmt: skip
    settings = {
        "model": resolved.name, "sha256": sha256(chosen.model.onnx), "engine": chosen.engine,
        "device": chosen.device, "precision": chosen.precision, "resize": resize, "conf": conf, "iou": iou,
        "class_ids": None if class_ids is None else list(class_ids), "max_det": max_det, "agnostic_nms": agnostic,
        "plain_nms": plain_nms, "jsonl": jsonl,
    }  # fmt: skip
    return task, settings


@contextmanager
def executor(
    address: Optional[str] = None, *, workers: Optional[int] = None, cpus: int = 1, gpu: bool = False,
) -> Iterator[Executor]:  # fmt: skip
    """Open an executor: None for this process, else Ray's workers: "local", "auto" or an address (`_ray.Cluster`)."""
    if address is None:
        yield LocalExecutor(cpu.threads())
        return
    from ._ray import Cluster

    with Cluster(address, workers=workers, cpus=cpus, gpu=gpu) as cluster:
        yield cluster
