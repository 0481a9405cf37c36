"""Gates: what a user does not accept of a row, "p99>30ms", "fps<25", "memory>500MB"."""

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
    """Where a figure is in a row, and what its units are worth there; the first unit is the one it is shown in."""

    of: Callable[[Mapping[str, Any]], Optional[float]]
    units: Mapping[str, float] = {"": 1.0}


def _times(key: str) -> Metric:
    return Metric(lambda row: row[key], {"ms": 1.0, "s": 1e3, "us": 1e-3, "": 1.0})


METRICS = {
    "median": _times("median_ms"),
    "p50": _times("p50_ms"),
    "p90": _times("p90_ms"),
    "p99": _times("p99_ms"),
    "p99.9": _times("p999_ms"),
    "cpu": Metric(lambda row: sum(row["cpu_ms"]) / len(row["cpu_ms"]), {"ms": 1.0, "s": 1e3, "us": 1e-3, "": 1.0}),
    "load": Metric(lambda row: row["load_s"], {"s": 1.0, "ms": 1e-3, "": 1.0}),
    "iqr": Metric(lambda row: 100 * row["iqr_ms"] / row["median_ms"], {"%": 1.0, "": 1.0}),
    "fps": Metric(lambda row: row["fps"]),
    "ap50": Metric(lambda row: row["ap50"]),
    "memory": Metric(
        lambda row: row["peak_memory_bytes"], {"MB": 1e6, "GB": 1e9, "MiB": 2.0**20, "GiB": 2.0**30, "": 1e6}
    ),
    "watts": Metric(lambda row: row["power"] and row["power"]["watts"], {"W": 1.0, "": 1.0}),
}


@dataclass(frozen=True)
class Gate:
    """What a row must not be: its `metric` beyond `limit`, which is in the row's own unit."""

    text: str
    metric: str
    sign: str
    limit: float

    def failed(self, row: Mapping[str, Any]) -> Optional[str]:
        """What is wrong with a measured row, None when nothing is.

        A figure that the row lacks is wrong as well: a gate that cannot be looked at is not passed.
        """
        metric = METRICS[self.metric]
        value = metric.of(row)
        if value is None:
            return f"{self.metric} was not measured"
        unit, worth = next(iter(metric.units.items()))
        beyond = _COMPARE[self.sign](value, self.limit)
        return f"{self.metric} is {value / worth:.4g} {unit}".rstrip() if beyond else None


def parse(text: str) -> Gate:
    """ "p99>30ms" -> a gate. Raises `UsageError`."""
    said = re.fullmatch(r"\s*([a-z0-9.]+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d*)?)\s*([A-Za-z%]*)\s*", text)
    if said is None:
        raise UsageError(f"--fail-if {text!r}: a metric, > or <, and a number, such as 'p99>30ms' or 'fps<25'")
    metric, sign, number, unit = said.groups()
    if metric not in METRICS:
        raise UnknownName("metric", metric, METRICS)
    units = METRICS[metric].units
    if unit not in units:
        known = ", ".join(filter(None, units)) or "no unit"
        raise UsageError(f"--fail-if {text!r}: {metric} is in {known}, not {unit!r}")
    return Gate(text, metric, sign, float(number) * units[unit])
