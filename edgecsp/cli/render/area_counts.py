"""Counts of lines and zones as lines of text."""

from __future__ import annotations

from typing import Any, Dict, Iterator


def lines(counts: Dict[str, Any]) -> Iterator[str]:
    """Yield a line for each line and zone of `AreaCounter.counts`.

    >>> list(lines({"lines": {"door": {"in": {"cat": 2, "dog": 1}, "out": {}}}, "zones": {}}))
    ['door: 3 in (2 cat, 1 dog), 0 out']
    """
    for name, each in counts["lines"].items():
        yield f"{name}: {_total(each['in'])} in{_labels(each['in'])}, {_total(each['out'])} out{_labels(each['out'])}"
    for name, each in counts["zones"].items():
        entered, stays = each["entered"], sum(each["time_s"].values())
        yield (
            f"{name}: {_total(entered)} entered{_labels(entered)}, {_total(each['left'])} left, "
            f"{_total(each['inside'])} inside, at most {each['most']}; {stays:.1f} s in all"
        )


def _total(by_label: Dict[str, int]) -> int:
    return sum(by_label.values())


def _labels(by_label: Dict[str, int]) -> str:
    names = ", ".join(f"{count} {label}" for label, count in sorted(by_label.items(), key=lambda item: -item[1]))
    return f" ({names})" if names else ""
