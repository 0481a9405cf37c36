"""Gates: limits that fail a benchmark row, such as "p99>30ms", "fps<25", "memory>500MB"."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from ..errors import UnknownName, UsageError

_COMPARE: Dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


class Metric(NamedTuple):
    """A figure of a row: how to read it, and the factors of its units; messages use the first unit."""

    read: Callable[[Mapping[str, Any]], Optional[float]]
    units: Mapping[str, float] = {"": 1.0}


def _milliseconds(key: str) -> Metric:
    return Metric(lambda row: row[key], {"ms": 1.0, "s": 1e3, "us": 1e-3, "": 1.0})


METRICS = {
    "median": _milliseconds("median_ms"),
    "p50": _milliseconds("p50_ms"),
    "p90": _milliseconds("p90_ms"),
    "p99": _milliseconds("p99_ms"),
    "p99.9": _milliseconds("p999_ms"),
    "cpu": Metric(lambda row: sum(row["cpu_ms"]) / len(row["cpu_ms"]), {"ms": 1.0, "s": 1e3, "us": 1e-3, "": 1.0}),
    "load": Metric(lambda row: row["load_s"], {"s": 1.0, "ms": 1e-3, "": 1.0}),
    "iqr": Metric(lambda row: 100 * row["iqr_ms"] / row["median_ms"], {"%": 1.0, "": 1.0}),
    "fps": Metric(lambda row: row["fps"]),
    "ap": Metric(lambda row: row.get("ap")),
    "ap50": Metric(lambda row: row["ap50"]),
    "memory": Metric(
        lambda row: row["peak_memory_bytes"], {"MB": 1e6, "GB": 1e9, "MiB": 2.0**20, "GiB": 2.0**30, "": 1e6}
    ),
    "watts": Metric(lambda row: row["power"] and row["power"]["watts"], {"W": 1.0, "": 1.0}),
}


@dataclass(frozen=True)
class Gate:
    """A condition that fails a row: `metric` `sign` `limit`, the limit in the row's own unit."""

    text: str
    metric: str
    sign: str
    limit: float

    def find_violation(self, row: Mapping[str, Any]) -> Optional[str]:
        """Return why a measured row fails this gate, None when it passes.

        A row that lacks the figure fails as well.
        """
        metric = METRICS[self.metric]
        value = metric.read(row)
        if value is None:
            return f"{self.metric} was not measured"
        unit, worth = next(iter(metric.units.items()))
        beyond = _COMPARE[self.sign](value, self.limit)
        return f"{self.metric} is {value / worth:.4g} {unit}".rstrip() if beyond else None


def parse(text: str) -> Gate:
    """Parse a condition such as "p99>30ms". Raises `UsageError`."""
    match = re.fullmatch(r"\s*([a-z0-9.]+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d*)?)\s*([A-Za-z%]*)\s*", text)
    if match is None:
        raise UsageError(f"--fail-if {text!r}: a metric, > or <, and a number, such as 'p99>30ms' or 'fps<25'")
    metric, sign, number, unit = match.groups()
    if metric not in METRICS:
        raise UnknownName("metric", metric, METRICS)
    units = METRICS[metric].units
    if unit not in units:
        known = ", ".join(filter(None, units)) or "no unit"
        raise UsageError(f"--fail-if {text!r}: {metric} is in {known}, not {unit!r}")
    return Gate(text, metric, sign, float(number) * units[unit])
