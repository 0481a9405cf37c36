"""Large batch jobs: videos split at keyframes, images in groups, results as Parquet; on Ray or in this process.

    task, settings = batch.build_task("codes", out="rows")
    with batch.executor("local") as executor:            # None: this process, without Ray
        progress = batch.run(batch.read("videos"), task, executor, settings)

`corpus` lists files, `keyframe_index` and `shards` split them, `segment` reads a shard, `work` is a worker, `ledger`
records finished shards, `job` runs the whole; only `_ray` knows Ray.
"""

from __future__ import annotations

import uuid
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple, Union

from .. import pipeline
from ..backends import tuning
from ..errors import UsageError
from ..media import scheduler
from ..options import ModelSpec, Options, thresholds_to_dict
from ..system import cpu, versions
from .corpus import read
from .job import GROUP, SEGMENT, Executor, JobProgress, LocalExecutor, run
from .ledger import Ledger, sha256
from .storage import Folder, arrow
from .summary import BatchSummary, summarize
from .work import RETRIES, Task

__all__ = [
    "GROUP", "SEGMENT", "BatchSummary", "Executor", "JobProgress", "Task", "arrow", "build_task", "executor", "read",
    "run", "summarize",
]  # fmt: skip


def build_task(
    model: Optional[ModelSpec] = None,
    engine: str = "auto",
    *,
    out: Union[str, Path],
    jsonl: bool = False,
    track: bool = False,
    retries: int = RETRIES,
    **options: Any,
) -> Tuple[Task, Dict[str, Any]]:
    """Build the task of every worker, and the settings that the rows depend on. `options` are those of `edgecsp.load`.

    With `track`, rows have the ids of tracks, and no video is split.

    "auto" is resolved here, once for all machines; precision "auto" is that of the rows that `out` has. `out` is a
    folder or a URI that all of them see. Raises an `EdgecspError`.
    """
    requested = Options(model=model, engine=engine, **options)
    folder = Folder(str(out))
    if requested.precision == "auto":
        known = Ledger(folder.place).settings() or {}
        requested = replace(requested, precision=known.get("precision", "auto"))
    resolved = pipeline.resolve_model(requested)
    if track and not resolved.result.has_boxes:
        raise UsageError(f"tracks need boxes; {resolved.name} is a classifier")
    selection = tuning.choose(
        resolved, engine, device=requested.device, threads=requested.threads, precision=requested.precision,
        at_once=scheduler.default_concurrency(requested.threads or cpu.threads()),
    )  # fmt: skip
    opened = replace(
        requested, model=selection.model, weights=None, imgsz=None, engine=selection.engine, device=selection.device,
        precision=selection.precision, classes=pipeline.class_ids(resolved, requested.classes),
    )  # fmt: skip
    task = Task(
        selection.model, opened, folder.place, uuid.uuid4().hex, jsonl=jsonl, track=track, retries=retries,
        version=versions.own(),
    )  # fmt: skip
    settings = {
        "model": resolved.name, "sha256": sha256(selection.model.onnx), "engine": opened.engine,
        "device": opened.device, "precision": opened.precision, "resize": opened.resize,
        **thresholds_to_dict(opened.thresholds), "jsonl": jsonl,
        **({"track": True} if track else {}),
    }  # fmt: skip
    return task, settings


@contextmanager
def executor(
    address: Optional[str] = None, *, workers: Optional[int] = None, cpus: int = 1, gpu: bool = False,
    threads: Optional[int] = None,
) -> Iterator[Executor]:  # fmt: skip
    """Open an executor: None for this process, else Ray's workers: "local", "auto" or an address (`_ray.Cluster`).

    `threads` are this process's; Ray's workers compute with their CPUs. Raises `UsageError` for both.
    """
    if address is None:
        yield LocalExecutor(threads or cpu.threads())
        return
    if threads is not None:
        raise UsageError(f"--threads {threads}: workers of --ray compute with the CPUs of --cpus; leave it out")
    from ._ray import Cluster

    with closing(Cluster(address, workers=workers, cpus=cpus, gpu=gpu)) as cluster:
        yield cluster
