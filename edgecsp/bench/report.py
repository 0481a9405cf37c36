"""The report: what `edgecsp bench --json` writes, as a dictionary of schema "edgecsp-bench/1"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ..cache import files
from ..errors import BadModel
from . import paper, stats
from .results import NOTHING, UNSURE, CaseResult, Timing
from .settings import BenchSettings

SCHEMA = "edgecsp-bench/1"
_EMPTY = (
    "median_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "iqr_ms", "interval_ms", "fps", "gflops", "of_peak",
    "peak_memory_bytes", "load_s", "warm_s", "stages", "wall_ms", "relative", "paper_relative", "ap50", "ap", "power",
)  # fmt: skip


def settings_to_dict(settings: BenchSettings, rows: Sequence[CaseResult]) -> Dict[str, Any]:
    """Convert the settings to plain values, with defaults filled in."""
    return {
        "device": settings.device, "mode": settings.mode, "scenario": settings.scenario, "batch": settings.batch_size,
        "threads": settings.thread_count, "duration_s": settings.duration_s, "rounds": settings.rounds,
        "same_picture": settings.same_image,
        "precisions": list(dict.fromkeys(row.case.precision for row in rows)),
        "engines": list(dict.fromkeys(row.case.engine for row in rows)),
    }  # fmt: skip


def rows_to_dicts(rows: Sequence[CaseResult], settings: BenchSettings, machine: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Convert rows to dictionaries, in order; rows that were not measured have their reason."""
    dicts = [_row(row, settings, machine) for row in rows]
    base = {(row["engine"], row["precision"]): row["fps"] for row in dicts if row["model"] == paper.BASE and row["fps"]}
    moved = _describe_drift(rows)
    for row in dicts if moved else ():
        if row["ms"]:
            row["unstable"] = True
            row["causes"] = [why for why in row["causes"] if why != NOTHING] + [moved]
    for row in dicts:
        tiny = base.get((row["engine"], row["precision"]))
        if row["fps"] and tiny:
            row["relative"] = row["fps"] / tiny
            row["paper_relative"] = paper.relative_speed(row["model"], row["device"]) if row["paper"] else None
    return dicts


def rank_correlations(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Correlate the order of speeds with the paper's, per engine and precision: Spearman's coefficient.

    Only rows whose published figure is of the same machine as YOLOv3-tiny's count.
    """
    pairs: Dict[Tuple[str, str], List[Tuple[float, float]]] = {}
    for row in rows:
        values = pairs.setdefault((row["engine"], row["precision"]), [])
        printed = paper.relative_speed(row["model"], row["device"]) if row["paper"] else None
        if row["fps"] and printed:
            values.append((row["fps"], printed))
    return [
        {"engine": engine, "precision": precision, "spearman": stats.spearman(values), "models": len(values)}
        for (engine, precision), values in pairs.items()
    ]


def load(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a report file. Raises `SourceError` if it cannot be read, `BadModel` if it is not a report."""
    try:
        content = json.loads(files.read(path, suggest=True).decode("utf-8"))
    except ValueError as error:
        raise BadModel(f"{path} is not JSON ({error}); a report comes from: edgecsp bench --json FILE") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise BadModel(
            f"{path} is not a report of schema {SCHEMA!r} (its schema: {schema!r}); make one: edgecsp bench --json FILE"
        )
    report: Dict[str, Any] = content
    return report


def _describe_drift(rows: Sequence[CaseResult]) -> str:
    """Describe how far the machine's speed drifted between rounds; "" if it was steady.

    A neighbour on the same host, or a clock that is not reported, slows all rows alike: a row can look steady, and its
    median would still be another one in the next run.
    """
    pace = stats.round_paces([row.timing.rounds for row in rows if row.timing.rounds])
    if not pace or max(pace) <= (1 + UNSURE) * min(pace):
        return ""
    return f"the machine's speed drifted by {100 * (max(pace) / min(pace) - 1):.0f} % between rounds"


def _row(row: CaseResult, settings: BenchSettings, machine: Dict[str, Any]) -> Dict[str, Any]:
    case, timing = row.case, row.timing
    subject, hw = case.about, case.model.input.hw
    assert subject is not None
    row_json: Dict[str, Any] = {
        "model": subject.name, "title": subject.title, "engine": case.engine, "device": case.device,
        "precision": case.precision, "input_hw": list(hw), "bflops": subject.bflops, "parameters": subject.parameters,
        "weights": subject.weights, "ms": timing.ms, "rounds": timing.counts, "cpu_ms": timing.cpu_ms,
        **dict.fromkeys(_EMPTY), "unstable": False, "causes": [], "around": [each.to_dict() for each in timing.noise],
        "paper": paper.find_figures(subject.name, case.device, hw), "reason": case.reason or row.failure,
        "lost": row.failure is not None, "ranges": "drawn pictures" if case.synthetic_ranges else None,
    }  # fmt: skip
    if not timing.rounds:
        row_json["reason"] = row_json["reason"] or "stopped before the first round"
        return row_json
    row_json.update(_figures(row, subject.bflops, settings, machine))
    return row_json


def _figures(row: CaseResult, bflops: float, settings: BenchSettings, machine: Dict[str, Any]) -> Dict[str, Any]:
    timing, figures = row.timing, row.timing.summary()
    fps = 1e3 / figures["median_ms"] * timing.per_sample
    if settings.scenario == "offline":
        fps = len(timing.ms) * timing.per_sample / sum(timing.wall_s)
    gflops = bflops * fps
    top = machine["peak_gflops"].get(row.case.precision)
    unstable, causes = timing.find_causes(machine["governor"])
    averages = row.accuracy.averages if row.accuracy else {}
    return {
        **figures, "fps": fps, "gflops": gflops, "of_peak": gflops / top if top else None,
        "peak_memory_bytes": timing.peak_memory_bytes, "load_s": timing.ready["load_s"],
        "warm_s": timing.ready["warm_s"], "unstable": unstable, "causes": causes, "stages": timing.stages,
        "wall_ms": timing.ms if timing.stages else None, "power": _power(timing),
        "ap50": _percent(averages.get("AP50")), "ap": _percent(averages.get("AP")),
    }  # fmt: skip


def _percent(share: Optional[float]) -> Optional[float]:
    return None if share is None else 100 * share


def _power(timing: Timing) -> Optional[Dict[str, float]]:
    """Mean watts of the whole board during the rounds, and joules per frame."""
    if len(timing.watts) != len(timing.wall_s) or not timing.watts:
        return None
    joules = sum(watts * wall for watts, wall in zip(timing.watts, timing.wall_s))
    return {"watts": joules / sum(timing.wall_s), "joules_a_frame": joules / (len(timing.ms) * timing.per_sample)}
