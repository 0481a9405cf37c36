"""Compare two reports: which differences are larger than the noise.

The ratio of medians of each row that both have, with its bootstrap interval (rounds drawn first, samples second: see
`stats`). A single run cannot know what varies between two starts of a process (such as its memory layout), so a
difference just outside the interval deserves a second run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..errors import UsageError
from . import stats

KEY = ("model", "engine", "device", "precision", "input_hw")
DRAWS = 1000
ALIKE = 0.02  # how far the median ratio of all rows may be from 1 before it is reported
FACTS = ("name", "threads", "governor", "commit")
SAME = ("device", "mode", "scenario", "batch")  # settings that must agree


@dataclass(frozen=True)
class Difference:
    """A row of both reports: `ratio` is b's median milliseconds over a's, `low` and `high` its 95 % interval."""

    model: str
    engine: str
    precision: str
    a_ms: float
    b_ms: float
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "faster" or "slower" for b, "within the noise" when the interval holds 1."""
        if self.low <= 1 <= self.high:
            return "within the noise"
        return "slower" if self.ratio > 1 else "faster"

    def to_dict(self) -> Dict[str, Any]:
        """The difference as plain values."""
        return {**asdict(self), "verdict": self.verdict}


def compare_reports(a: Mapping[str, Any], b: Mapping[str, Any]) -> Tuple[List[Difference], List[str]]:
    """Compare the rows that both reports measured, in a's order; also return what makes them hard to compare.

    Raises `UsageError` when their settings differ or they have no row in common.
    """
    for key in SAME:
        if a["settings"][key] != b["settings"][key]:
            raise UsageError(
                f"the first report has {key} {a['settings'][key]!r} and the second {b['settings'][key]!r}: these "
                "are different measurements; measure again with the same flags"
            )
    rows, others = _measured_rows(a), _measured_rows(b)
    both = [key for key in rows if key in others]
    if not both:
        raise UsageError(
            f"no row is in both reports: the first has {', '.join(sorted({key[0] for key in rows})) or 'none'}, "
            f"the second {', '.join(sorted({key[0] for key in others})) or 'none'}"
        )
    differences = [_difference(rows[key], others[key]) for key in both]
    return differences, [*_common_shift(differences), *_find_doubts(a, b, rows, others)]


def _measured_rows(report: Mapping[str, Any]) -> Dict[Tuple[Any, ...], Mapping[str, Any]]:
    return {(*(row[key] for key in KEY[:-1]), tuple(row["input_hw"])): row for row in report["rows"] if row["ms"]}


def _difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference:
    first, second = (stats.split(row["ms"], row["rounds"]) for row in (a, b))
    low, high = stats.ratio_interval(second, first, DRAWS)
    middles = [stats.median(row["ms"]) for row in (a, b)]
    return Difference(
        a["model"], a["engine"], a["precision"], middles[0], middles[1], middles[1] / middles[0], low, high
    )


def _common_shift(differences: Sequence[Difference]) -> List[str]:
    """Report a shift that all rows share, which is no single model's."""
    middle = stats.median([each.ratio for each in differences])
    if len(differences) < stats.TOGETHER or abs(middle - 1) <= ALIKE:
        return []
    word = "slower" if middle > 1 else "faster"
    shared = "look first for a cause that they share (the machine's speed at that time, a version), then in a model"
    return [f"all {len(differences)} rows are {word}, {middle:.2f} times in the median: {shared}"]


def _find_doubts(
    a: Mapping[str, Any], b: Mapping[str, Any], rows: Mapping[Any, Any], others: Mapping[Any, Any]
) -> List[str]:
    facts = [
        {**report["machine"]["versions"], **{key: report["machine"].get(key) for key in FACTS}} for report in (a, b)
    ]
    doubts = [
        f"{key}: {facts[0].get(key)} in the first, {facts[1].get(key)} in the second"
        for key in dict.fromkeys((*facts[0], *facts[1]))
        if facts[0].get(key) != facts[1].get(key)
    ]
    alone = len(set(rows) ^ set(others))
    if alone:
        doubts.append(f"{alone} row{'s are' if alone > 1 else ' is'} in only one of the two reports")
    few = min(len(row["rounds"]) for row in (*rows.values(), *others.values()))
    if few < 3:
        doubts.append(f"{few} round{'s' * (few > 1)} a row: too few to tell a drift from a difference (--rounds 5)")
    return doubts
