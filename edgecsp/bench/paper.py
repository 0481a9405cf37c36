"""The paper's Table 5: published figures, shown beside the measured ones.

Source: benchmarks/paper/table5.csv, which comes with the package.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

HERE = Path(__file__).resolve().parent
BASE = "yolov3-tiny"  # what speeds are relative to
# A device class of ours, the column of the table and the machine that it was printed for.
COLUMNS = {
    "cpu": ("cpu_fps", "Intel Core {cpu_machine}, OpenCV DNN"),
    "cuda": ("gpu_fps", "GTX 1080 Ti, darknet"),
    "jetson": ("mgpu_fps", "Jetson TX2"),
}


@dataclass(frozen=True)
class Table5Row:
    """A row of Table 5; a figure that was not published is None."""

    model: str
    title: str
    size: int
    fps: Mapping[str, Optional[float]]
    ap50: float
    cpu_machine: str


@functools.lru_cache(maxsize=None)
def table5() -> Mapping[str, Table5Row]:
    """Read the ten rows, by their name in the zoo, in the table's order."""
    lines = [line for line in _table_path().read_text("utf-8").splitlines() if line and not line.startswith("#")]
    rows: Dict[str, Table5Row] = {}
    for row in csv.DictReader(lines):
        fps = {device: float(row[key]) if row[key] else None for device, (key, _) in COLUMNS.items()}
        rows[row["model"]] = Table5Row(
            row["model"], row["title"], int(row["size"]), fps, float(row["ap50"]), row["cpu_machine"]
        )
    return rows


def find_figures(model: str, device: str, hw: Tuple[int, int]) -> Optional[Dict[str, Any]]:
    """Find the published figures for a row: {"table", "fps", "on", "ap50"}; None for models that Table 5 lacks."""
    row = table5().get(model)
    if row is None or hw != (row.size, row.size):
        return None
    return {"table": 5, "fps": row.fps.get(device), "on": _machine(row, device), "ap50": row.ap50}


def relative_speed(model: str, device: str) -> Optional[float]:
    """Return the paper's speed over YOLOv3-tiny's; None if either is missing or they are of two machines."""
    row, base = table5().get(model), table5()[BASE]
    if row is None or _machine(row, device) != _machine(base, device):
        return None
    fps, tiny = row.fps.get(device), base.fps.get(device)
    return fps / tiny if fps and tiny else None


def _machine(row: Table5Row, device: str) -> Optional[str]:
    if device not in COLUMNS:
        return None
    machine = COLUMNS[device][1].format(cpu_machine=row.cpu_machine)
    return machine.replace("Core Xeon", "Xeon")


def _table_path() -> Path:
    """Locate the table: inside an installed package, or in `benchmarks` of a checkout."""
    inside = HERE / "paper" / "table5.csv"
    return inside if inside.is_file() else HERE.parents[1] / "benchmarks" / "paper" / "table5.csv"
