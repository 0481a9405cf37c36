"""`edgecsp batch`: detect objects in a corpus and write Parquet, on one or many machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional, Sequence

import typer

from ..errors import UsageError
from ..options import Options
from . import _json, _options, _signals, render
from ._logging import inform, warn
from ._print import print

PARTLY_DONE = 4


@_options.takes("batch")
def command(
    corpus: Optional[str] = typer.Argument(
        None, help="a folder, a glob, a list (.txt, .csv, .parquet), a file, or a URI: s3://bucket/videos"
    ),
    out: Optional[str] = typer.Option(None, "--out", "-o", help="a folder or URI that every machine can access"),
    ray: Optional[str] = typer.Option(
        None, "--ray", help="local: start Ray here; auto: use the running cluster; or an ADDRESS [default: no Ray]"
    ),
    options: Options = _options.GROUP,
    workers: Optional[int] = typer.Option(
        None, "--workers", help="with --ray: number of sessions [default: as many as fit]"
    ),
    cpus: int = typer.Option(1, "--cpus", help="with --ray: CPUs of each worker"),
    segment: Optional[int] = typer.Option(
        None, "--segment", help="minimum frames per segment of a video [default: 1800]"
    ),
    group: Optional[int] = typer.Option(None, "--group", help="images per group [default: 256]"),
    retries: int = typer.Option(2, "--retries", help="retries of a failed shard"),
    track: bool = typer.Option(False, "--track", help="give the same object the same id in all frames of a video"),
    jsonl: bool = typer.Option(False, "--jsonl", help="write JSON Lines next to each Parquet file"),
    json: Optional[str] = _json.OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no summary"),
) -> None:
    """Detect objects in a corpus, on one machine or a Ray cluster; run it again to resume."""
    from .. import batch

    corpus, out = _check_arguments(corpus, out, ray, workers, cpus, segment, group, retries, track)
    batch.arrow()  # before the corpus is listed, which takes minutes for a large one
    _signals.return_large()
    items = batch.read(corpus)
    task, settings = batch.build_task(out=out, jsonl=jsonl, track=track, retries=retries, **options.to_keywords())
    if not quiet:
        render.batch.introduce(len(items), task)

    gpu = task.options.device != "cpu"
    executors = batch.executor(ray, workers=workers, cpus=cpus, gpu=gpu, threads=options.threads)
    with _json.JsonOutput(json) as output, render.batch.progress(quiet) as tick, executors as executor:
        dashboard = getattr(executor, "dashboard", "")
        if dashboard and not quiet:
            inform(f"Ray's dashboard: {dashboard} (its token: ray get-auth-token)")
        done = batch.run(
            items, task, executor, settings, segment=segment or batch.SEGMENT, group=group or batch.GROUP, tick=tick,
        )  # fmt: skip
        if json:
            output.write(asdict(batch.summarize(out)))
    if not quiet:
        render.batch.report(done, out)
    for source, stage, reason in done.failures[:8]:
        warn(f"{stage} {source}: {reason}")
    if len(done.failures) > 8:
        warn(f"and {len(done.failures) - 8} more in failures.parquet")
    if done.failures:
        raise typer.Exit(PARTLY_DONE)


def _check_arguments(
    corpus: Optional[str], out: Optional[str], ray: Optional[str], workers: Optional[int], cpus: int,
    segment: Optional[int], group: Optional[int], retries: int, track: bool,
) -> Sequence[str]:  # fmt: skip
    """Check the arguments and return CORPUS and --out; raises `UsageError`."""
    if corpus is None or out is None:
        raise UsageError("edgecsp batch needs a corpus and an output folder: edgecsp batch CORPUS --out DIR")
    if ray is None and (workers is not None or cpus != 1):
        raise UsageError("--workers and --cpus are for --ray; without it one process does all, on --threads threads")
    counts = {"--workers": workers, "--cpus": cpus, "--segment": segment, "--group": group}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UsageError(f"{name} {count}: at least 1")
    if track and segment is not None:
        raise UsageError("--segment splits videos, and --track needs whole ones; leave one out")
    if retries < 0:
        raise UsageError(f"--retries {retries}: 0 or more")
    return corpus, out


def summary(
    out: str = typer.Argument(..., metavar="DIR", help="the folder or URI that --out named"),
    verify: bool = typer.Option(False, "--verify", help="verify the digest of every file"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """Summarise what a batch wrote."""
    from .. import batch

    with _json.JsonOutput(json) as output:
        totals = batch.summarize(out, check=verify)
        output.write(asdict(totals))
    if output.is_stdout:
        return
    for name, value in render.batch.lines(totals, verify):
        print(f"{name:10} {value}")
