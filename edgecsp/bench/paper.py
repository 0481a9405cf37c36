"""The paper's Table 5: what is printed, for standing beside what is measured, never among it.

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
class Printed:
    """A row of Table 5; a figure that is not printed is None."""

    model: str
    title: str
    size: int
    fps: Mapping[str, Optional[float]]
    ap50: float
    cpu_machine: str


@functools.lru_cache(maxsize=None)
def table5() -> Mapping[str, Printed]:
    """Its ten rows by their name in the zoo, in the table's order."""
    lines = [line for line in _place().read_text("utf-8").splitlines() if line and not line.startswith("#")]
    rows: Dict[str, Printed] = {}
    for row in csv.DictReader(lines):
        fps = {device: float(row[key]) if row[key] else None for device, (key, _) in COLUMNS.items()}
        rows[row["model"]] = Printed(
            row["model"], row["title"], int(row["size"]), fps, float(row["ap50"]), row["cpu_machine"]
        )
    return rows


def beside(model: str, device: str, hw: Tuple[int, int]) -> Optional[Dict[str, Any]]:
    """What stands beside a measured row: {"table", "fps", "on", "ap50"}; None for what Table 5 does not have."""
    row = table5().get(model)
    if row is None or hw != (row.size, row.size):
        return None
    return {"table": 5, "fps": row.fps.get(device), "on": _machine(row, device), "ap50": row.ap50}


def relative(model: str, device: str) -> Optional[float]:
    """The paper's speed over YOLOv3-tiny's; None where either is not printed, or they are of two machines."""
    row, base = table5().get(model), table5()[BASE]
    if row is None or _machine(row, device) != _machine(base, device):
        return None
    fps, tiny = row.fps.get(device), base.fps.get(device)
    return fps / tiny if fps and tiny else None


def _machine(row: Printed, device: str) -> Optional[str]:
    if device not in COLUMNS:
        return None
    said = COLUMNS[device][1].format(cpu_machine=row.cpu_machine)
    return said.replace("Core Xeon", "Xeon")


def _place() -> Path:
    """Where the table is: inside an installed package, in `benchmarks` of a checkout."""
    inside = HERE / "paper" / "table5.csv"
    return inside if inside.is_file() else HERE.parents[1] / "benchmarks" / "paper" / "table5.csv"
