"""The bench: models on engines, timed in processes of their own, with the paper's figures beside and never among them.

    report = bench.run(["yolov3-tiny"], bench.Settings(device="cpu"))     # what --json writes
    page = bench.html(report)                                             # what --html writes
    differences, doubts = bench.compared(before, report)

`settings` says what, `ways` which rows, `_rounds` asks the workers in turn (`_process`, `_worker`), `report` makes
figures of the samples (`stats`, `disturbed`, `paper`); `machine` (with `board`) and `peak` are the header.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

from ..errors import EngineUnavailable
from ..system import jetson
from ..system.progress import NO_PROGRESS, Progress
from . import ap50, machine, paper, peak, pictures, report, ways
from ._process import BenchStopped
from ._rounds import Bench, Measured
from .compare import Difference, compared
from .gate import Gate, parse
from .report import load
from .settings import JETSON, BenchSettings

__all__ = [
    "Difference", "Gate", "BenchSettings", "BenchStopped", "compared", "html", "load", "parse", "run",
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
    """Measure models (Table 5's ten rows when none is named) and give the report.

    `progress` shows the steps; `tick` is called often and may raise `BenchStopped`: then the
    report holds what was measured and says {"stopped": true}. `data`, labelled images as `accuracy.read` knows them,
    gives the rows their AP50. `command` is what the report says it was made by. Raises an `EdgecspError` for what
    cannot be meant or cannot run at all; a row that fails has its reason in the report.
    """
    settings = settings or BenchSettings()
    started, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    engines = _engines(settings)
    subjects = [ways.subject(spec, settings) for spec in dict.fromkeys(specs or paper.table5())]
    labelled = ap50.check(subjects, data) if data else {}
    pictures.given(settings.sources)
    header = machine.described(settings.using)
    rows = [Measured(way) for way in ways.ways(subjects, engines, settings)]
    finished = False
    with tempfile.TemporaryDirectory() as scratch, suppress(BenchStopped):
        progress.update(description="what the machine can compute at most", total=1)
        usable = [name for name, why in engines.items() if why is None]
        header["peak_gflops"] = peak.measured(usable, settings.on, settings.using, tick=tick)
        _measure(rows, settings, Path(scratch), progress, tick)
        ap50.measure(rows, labelled, settings, progress, tick)
        finished = True
    said = report.rows_said(rows, settings, header)
    return {
        "schema": report.SCHEMA, "command": list(command), "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - begun, "stopped": not finished, "machine": header,
        "settings": report.settings_said(settings, rows), "rows": said, "rank": report.rank(said),
    }  # fmt: skip


def _engines(settings: BenchSettings) -> Dict[str, Optional[str]]:
    if settings.device == JETSON and jetson.find() is None:
        raise EngineUnavailable(
            "device 'jetson' was asked for and this is no Jetson (no /etc/nv_tegra_release, and the device tree names "
            "no Tegra); for another NVIDIA GPU: --device cuda"
        )
    return ways.able(settings)


def _measure(
    rows: Sequence[Measured], settings: BenchSettings, scratch: Path, progress: Progress, tick: Callable[[], None]
) -> None:
    """Fill the rows in. Raises `BenchStopped`."""
    if settings.mode == "pipeline" and not settings.sources:
        settings = replace(settings, sources=pictures.drawn(scratch))
    progress.update(description="the models' files", total=1)
    files = ways.Files(scratch, settings)
    for row in rows:
        tick()
        row.way = files.prepared(row.way)
    Bench(settings, files, progress, tick).run([row for row in rows if row.way.reason is None])


def html(said: Dict[str, Any]) -> str:
    """A report as one page that needs nothing else."""
    from . import _html

    return _html.html(said)
