"""Benchmarks: models on engines, timed in separate processes; the paper's figures are listed in columns of their own.

    report = bench.run(["yolov3-tiny"], bench.BenchSettings(device="cpu"))     # what --json writes
    page = bench.html(report)                                             # what --html writes
    differences, doubts = bench.compare_reports(before, report)

`settings` is what to measure, `cases` lists it, `_rounds` lets the workers take turns (`process`, `_worker`, `_tasks`),
`report` computes figures from the `results` (`stats`, `interference`, `paper`); `machine` and `peak` are its header.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

from ..errors import EdgecspError, EngineUnavailable, UsageError
from ..system import jetson
from ..system.progress import NO_PROGRESS, Progress
from . import accuracy, cases, images, machine, paper, peak, report, val
from ._rounds import Bench
from .compare import Difference, compare_reports
from .gate import Gate, parse
from .process import BenchStopped
from .report import load
from .results import CaseResult
from .settings import JETSON, BenchSettings

__all__ = [
    "Difference", "Gate", "BenchSettings", "BenchStopped", "compare_reports", "html", "load", "parse", "run",
]  # fmt: skip


def run(
    specs: Sequence[str] = (),
    settings: Optional[BenchSettings] = None,
    *,
    data: Optional[Path] = None,
    progress: Progress = NO_PROGRESS,
    tick: Callable[[], None] = lambda: None,
    command: Sequence[str] = (),
) -> Dict[str, Any]:
    """Measure models (Table 5's ten rows when none is named) and return the report.

    `progress` shows the steps; `tick` is called often and may raise `BenchStopped`: then the
    report holds what was measured and says {"stopped": true}. `data`, labelled images as `accuracy.read` knows them,
    gives the rows their accuracy. `command` is what the report says it was made by. Raises an `EdgecspError` for what
    cannot be meant or cannot run at all; a row that fails has its reason in the report.
    """
    settings = settings or BenchSettings()
    started, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    engines = _engines(settings)
    subjects = [cases.resolve_model(spec, settings) for spec in dict.fromkeys(specs or paper.table5())]
    labelled = _read_data(subjects, data) if data else {}
    images.check_sources(settings.sources)
    header = machine.describe(settings.thread_count)
    rows = [CaseResult(case) for case in cases.list_cases(subjects, engines, settings)]
    finished = False
    with tempfile.TemporaryDirectory() as scratch, suppress(BenchStopped):
        progress.update(description="the machine's peak throughput", total=1)
        usable = [name for name, why in engines.items() if why is None]
        header["peak_gflops"] = peak.measure_peak(usable, settings.engine_device, settings.thread_count, tick=tick)
        _measure(rows, settings, Path(scratch), progress, tick)
        _measure_accuracy(rows, labelled, progress, tick)
        finished = True
    rows_json = report.rows_to_dicts(rows, settings, header)
    return {
        "schema": report.SCHEMA, "command": list(command), "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - begun, "stopped": not finished, "machine": header,
        "settings": report.settings_to_dict(settings, rows), "rows": rows_json,
        "rank": report.rank_correlations(rows_json),
    }  # fmt: skip


def _engines(settings: BenchSettings) -> Dict[str, Optional[str]]:
    if settings.device == JETSON and jetson.find() is None:
        raise EngineUnavailable(
            "device 'jetson' was requested and this machine is not a Jetson (no /etc/nv_tegra_release, and the device "
            "tree names no Tegra); for another NVIDIA GPU: --device cuda"
        )
    return cases.find_engines(settings.engines, settings.device)


def _measure(
    rows: Sequence[CaseResult], settings: BenchSettings, scratch: Path, progress: Progress, tick: Callable[[], None]
) -> None:
    """Measure the rows in place. Raises `BenchStopped`."""
    if settings.mode == "pipeline" and not settings.sources:
        settings = replace(settings, sources=images.write_synthetic_images(scratch))
    progress.update(description="writing the models' files", total=1)
    files = cases.GraphFiles(scratch, settings.batch_size)
    for row in rows:
        tick()
        row.case = files.prepare(row.case)
    Bench(settings, files, progress, tick).run([row for row in rows if row.case.reason is None])


def _read_data(subjects: Sequence[cases.BenchmarkModel], data: Path) -> Dict[str, accuracy.Data]:
    """Read the data with each model's labels, by the model's name, before anything is timed.

    Raises what `accuracy.read` raises, and `UsageError` when no model can be scored.
    """
    accuracy.require()
    data_by_model = {
        each.name: accuracy.read(data, labels=each.model.labels) for each in subjects if each.is_trained_detector
    }
    if not data_by_model:
        raise UsageError(f"--data {data}: none of the models has trained weights; to see which do: edgecsp models list")
    return data_by_model


def _measure_accuracy(
    rows: Sequence[CaseResult], data: Dict[str, accuracy.Data], progress: Progress, tick: Callable[[], None]
) -> None:
    """Measure the accuracy of the rows in place. An int8 graph made for timing alone has none."""
    for number, row in enumerate(rows):
        if not row.timing.rounds or row.case.name not in data or row.case.synthetic_ranges:
            continue
        tick()
        progress.update(description=f"AP of {row.case}", completed=number, total=len(rows))
        try:
            row.accuracy = val.measure_accuracy(row.case, data[row.case.name])
        except EdgecspError as error:
            row.failure = f"its AP was not measured: {' '.join(str(error).split())}"
        else:
            row.accuracy.predictions = None


def html(report_data: Dict[str, Any]) -> str:
    """Render a report as one self-contained HTML page."""
    from . import _html

    return _html.html(report_data)
