"""Two reports: which differences are larger than the noise.

The ratio of medians of each row that both have, with the interval that the bootstrap gives it (rounds drawn first,
samples second: see `stats`). What two runs of one process share, and two starts of it do not (where its memory lies),
no single run can know; so a difference that just clears the interval deserves a second run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import UsageError
from . import stats

KEY = ("model", "engine", "device", "precision", "input_hw")
DRAWS = 1000
ALIKE = 0.02  # by which the middle ratio of all rows may be off before it is told
FACTS = ("name", "threads", "governor", "commit")
SAME = ("device", "mode", "scenario", "batch")  # settings without which two reports measure two things


@dataclass(frozen=True)
class Difference:
    """A row in both: `ratio` is b's median milliseconds over a's, within (`low`, `high`) with 95 %."""

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

    def said(self) -> Dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "verdict": self.verdict}


def compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> Tuple[List[Difference], List[str]]:
    """The rows that both reports measured, in a's order, and what makes them hard to compare, a sentence each.

    Raises `UsageError` when they measured two things, or have no row in common.
    """
    for key in SAME:
        if a["settings"][key] != b["settings"][key]:
            raise UsageError(
                f"the first report has {key} {a['settings'][key]!r} and the second {b['settings'][key]!r}: two "
                "different measurements; measure again with the same flags"
            )
    rows, others = _measured(a), _measured(b)
    both = [key for key in rows if key in others]
    if not both:
        raise UsageError(
            f"no row is in both reports: the first has {', '.join(sorted({key[0] for key in rows})) or 'none'}, "
            f"the second {', '.join(sorted({key[0] for key in others})) or 'none'}"
        )
    found = [_difference(rows[key], others[key]) for key in both]
    return found, [*_together(found), *_doubts(a, b, rows, others)]


def _measured(report: Mapping[str, Any]) -> Dict[Tuple[Any, ...], Mapping[str, Any]]:
    return {(*(row[key] for key in KEY[:-1]), tuple(row["input_hw"])): row for row in report["rows"] if row["ms"]}


def _difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference:
    drawn = [stats.medians(stats.split(row["ms"], row["rounds"]), DRAWS, seed) for seed, row in enumerate((a, b))]
    low, high = stats.interval(drawn[1] / drawn[0])
    middles = [float(np.median(row["ms"])) for row in (a, b)]
    return Difference(
        a["model"], a["engine"], a["precision"], middles[0], middles[1], middles[1] / middles[0], low, high
    )


def _together(found: Sequence[Difference]) -> List[str]:
    """What all rows share is not one model's doing."""
    middle = float(np.median([each.ratio for each in found]))
    if len(found) < stats.TOGETHER or abs(middle - 1) <= ALIKE:
        return []
    word = "slower" if middle > 1 else "faster"
    shared = "look for the cause in what they share (the machine's pace at that hour, a version), then in a model"
    return [f"the {len(found)} rows are {word} together, {middle:.2f} times in the middle: {shared}"]


def _doubts(
    a: Mapping[str, Any], b: Mapping[str, Any], rows: Mapping[Any, Any], others: Mapping[Any, Any]
) -> List[str]:
    facts = [
        {**report["machine"]["versions"], **{key: report["machine"].get(key) for key in FACTS}} for report in (a, b)
    ]
    said = [
        f"{key}: {facts[0].get(key)} in the first, {facts[1].get(key)} in the second"
        for key in dict.fromkeys((*facts[0], *facts[1]))
        if facts[0].get(key) != facts[1].get(key)
    ]
    alone = len(set(rows) ^ set(others))
    if alone:
        said.append(f"{alone} row{'s are' if alone > 1 else ' is'} in one of the two reports alone")
    few = min(len(row["rounds"]) for row in (*rows.values(), *others.values()))
    if few < 3:
        said.append(f"{few} round{'s' * (few > 1)} a row: too few to know a drift from a difference (--rounds 5)")
    return said
