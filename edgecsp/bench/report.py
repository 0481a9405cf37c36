"""The report: what `edgecsp bench --json` writes, as a dictionary of schema "edgecsp-bench/1"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ..cache import files
from ..errors import BadModel, SourceError
from . import interference, paper, stats
from ._rounds import Measured
from .settings import BenchSettings

SCHEMA = "edgecsp-bench/1"
SPREAD = 0.10  # of the median: an interquartile range beyond it marks a row unstable
UNSURE = 0.03  # of the median: so does an interval of the median that reaches further than this to either side
NOTHING = "nothing that /proc and /sys show"
_EMPTY = (
    "median_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "iqr_ms", "interval_ms", "fps", "gflops", "of_peak",
    "peak_memory_bytes", "load_s", "warm_s", "stages", "wall_ms", "relative", "paper_relative", "ap50", "power",
)  # fmt: skip


def settings_said(settings: BenchSettings, rows: Sequence[Measured]) -> Dict[str, Any]:
    """The settings as JSON, defaults filled in."""
    return {
        "device": settings.device, "mode": settings.mode, "scenario": settings.scenario, "batch": settings.pictures,
        "threads": settings.using, "duration_s": settings.duration_s, "rounds": settings.rounds,
        "same_picture": settings.same_picture,
        "precisions": list(dict.fromkeys(row.way.precision for row in rows)),
        "engines": list(dict.fromkeys(row.way.engine for row in rows)),
    }  # fmt: skip


def rows_said(rows: Sequence[Measured], settings: BenchSettings, machine: Dict[str, Any]) -> List[Dict[str, Any]]:
    """A dictionary a row, in order, those that were not measured with their reason."""
    said = [_row(row, settings, machine) for row in rows]
    base = {(row["engine"], row["precision"]): row["fps"] for row in said if row["model"] == paper.BASE and row["fps"]}
    moved = _moved(rows)
    for row in said if moved else ():
        if row["ms"]:
            row["unstable"] = True
            row["causes"] = [why for why in row["causes"] if why != NOTHING] + [moved]
    for row in said:
        tiny = base.get((row["engine"], row["precision"]))
        if row["fps"] and tiny:
            row["relative"] = row["fps"] / tiny
            row["paper_relative"] = paper.relative(row["model"], row["device"]) if row["paper"] else None
    return said


def rank(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """How well the order of speeds here is the paper's, an engine and precision: Spearman's coefficient.

    Rows count whose printed figure is of the same machine as YOLOv3-tiny's.
    """
    pairs: Dict[Tuple[str, str], List[Tuple[float, float]]] = {}
    for row in rows:
        found = pairs.setdefault((row["engine"], row["precision"]), [])
        printed = paper.relative(row["model"], row["device"]) if row["paper"] else None
        if row["fps"] and printed:
            found.append((row["fps"], printed))
    return [
        {"engine": engine, "precision": precision, "spearman": stats.spearman(found), "models": len(found)}
        for (engine, precision), found in pairs.items()
    ]


def load(path: Union[str, Path]) -> Dict[str, Any]:
    """A report that was written. Raises `SourceError` for what cannot be read, `BadModel` for what is no report."""
    try:
        said = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}{files.nearby(path)}") from error
    except ValueError as error:
        raise BadModel(f"{path} is no JSON ({error}); a report comes from: edgecsp bench --json FILE") from error
    found = said.get("schema") if isinstance(said, dict) else None
    if found != SCHEMA:
        raise BadModel(
            f"{path} is no report of schema {SCHEMA!r} (its schema: {found!r}); make one: edgecsp bench --json FILE"
        )
    report: Dict[str, Any] = said
    return report


def _moved(rows: Sequence[Measured]) -> str:
    """How far the machine's own pace moved from round to round; "" where it kept it.

    A neighbour on the same host, or a clock that nobody shows, slows every row alike. A row may have come through
    steadily, and its median would still be another one in the next run.
    """
    pace = stats.pace([stats.split(row.ms, row.counts) for row in rows if row.ms])
    if not pace or max(pace) <= (1 + UNSURE) * min(pace):
        return ""
    return f"the whole machine's pace moved by {100 * (max(pace) / min(pace) - 1):.0f} % between rounds"


def _row(row: Measured, settings: BenchSettings, machine: Dict[str, Any]) -> Dict[str, Any]:
    way, subject = row.way, row.way.subject
    hw = subject.model.input.hw
    said: Dict[str, Any] = {
        "model": subject.name, "title": subject.title, "engine": way.engine, "device": way.device,
        "precision": way.precision, "input_hw": list(hw), "bflops": subject.bflops, "parameters": subject.parameters,
        "weights": subject.weights, "ms": row.ms, "rounds": row.counts, "cpu_ms": row.cpu_ms,
        **dict.fromkeys(_EMPTY), "unstable": False, "causes": [], "around": [each.said() for each in row.around],
        "paper": paper.beside(subject.name, way.device, hw), "reason": way.reason or row.died,
        "lost": row.died is not None, "ranges": "drawn pictures" if way.drawn_ranges else None,
    }  # fmt: skip
    if not row.ms:
        said["reason"] = said["reason"] or "stopped before its first round"
        return said
    said.update(_figures(row, settings, machine))
    return said


def _figures(row: Measured, settings: BenchSettings, machine: Dict[str, Any]) -> Dict[str, Any]:
    figures: Dict[str, Any] = dict(stats.summary(row.ms))
    median, rounds = figures["median_ms"], stats.split(row.ms, row.counts)
    low, high = stats.interval(stats.medians(rounds))
    fps = 1e3 / median * row.per_sample
    if settings.scenario == "offline":
        fps = len(row.ms) * row.per_sample / sum(row.wall_s)
    gflops = row.way.subject.bflops * fps
    top = machine["peak_gflops"].get(row.way.precision)
    unstable = figures["iqr_ms"] > SPREAD * median or max(high - median, median - low) > UNSURE * median
    why = interference.causes(row.around, machine["governor"]) or [NOTHING]
    return {
        **figures, "interval_ms": [low, high], "fps": fps, "gflops": gflops, "of_peak": gflops / top if top else None,
        "peak_memory_bytes": row.peak_memory_bytes, "load_s": row.ready["load_s"], "warm_s": row.ready["warm_s"],
        "unstable": unstable, "causes": why if unstable else [], "stages": row.stages,
        "wall_ms": row.ms if row.stages else None, "power": _power(row), "ap50": row.ap50,
    }  # fmt: skip


def _power(row: Measured) -> Optional[Dict[str, float]]:
    """Watts of the whole board while it ran, and what a picture took of them."""
    if len(row.watts) != len(row.wall_s) or not row.watts:
        return None
    joules = sum(watts * wall for watts, wall in zip(row.watts, row.wall_s))
    return {"watts": joules / sum(row.wall_s), "joules_a_frame": joules / (len(row.ms) * row.per_sample)}
