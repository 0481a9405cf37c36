"""Text tables of AP, classes and confusions."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ...system.text import cell
from .. import _print

if TYPE_CHECKING:
    from ...bench.accuracy import Confusion
    from ...bench.results import CaseResult

AVERAGES = ("AP", "AP50", "AP75", "APS", "APM", "APL")
WIDTH = 80  # of the tables, on files and pipes as well
MOST = 5  # mistakes listed per kind


def tables(rows: Sequence[CaseResult]) -> Iterator[str]:
    """Yield the lines of all tables: averages per row, then classes, then confusions."""
    from ...bench import val

    done = [row for row in rows if row.accuracy]
    speeds = [val.speed_to_dict(row) for row in done]
    cells: List[Tuple[str, ...]] = [("model", "engine", "", "", *AVERAGES)]
    for row in done:
        assert row.accuracy is not None
        averages = row.accuracy.averages
        cells.append((*_case(row), *(figure(averages[name]) for name in AVERAGES)))
    yield from _print.align(cells, right=range(4, 4 + len(AVERAGES)), gap=1)
    yield from _times(done, speeds)
    for speed, way in zip(speeds, _ways(done)):
        if speed and speed["unstable"]:
            yield f"? unstable{f', {way}' if way else ''}: likely cause: {', '.join(speed['causes'])}"
    yield from _classes(done)
    for row, way in zip(done, _ways(done)):
        yield from _mistakes(row, way)


def _case(row: CaseResult) -> Tuple[str, str, str, str]:
    return row.case.model.name, row.case.engine, row.case.device, row.case.precision


def _times(rows: Sequence[CaseResult], speeds: Sequence[Optional[Dict[str, Any]]]) -> Iterator[str]:
    """Yield milliseconds and their parts of each row, with "?" behind a figure that is unstable."""
    parts = next((list(speed["stages"]) for speed in speeds if speed), [])
    if not parts:
        return
    cells = [("", "ms", *parts)]
    for row, way, speed in zip(rows, _ways(rows), speeds):
        if speed is not None:
            total = f"{speed['median_ms']:.2f}{'?' * speed['unstable']}"
            cells.append((way or row.case.model.name, total, *(f"{ms:.2f}" for ms in speed["stages"].values())))
    yield ""
    yield from _print.align(cells, right=range(1, 2 + len(parts)))
    yield "ms: medians per image, one at a time from file to boxes, and of its parts"


def figure(value: Optional[float]) -> str:
    """Format an average with three digits, "-" without objects."""
    return "-" if value is None else f"{value:.3f}"


def _classes(rows: Sequence[CaseResult]) -> Iterator[str]:
    """Yield a line for each class with objects; AP and AP50 of each row side by side."""
    scores = [row.accuracy.score for row in rows if row.accuracy]
    every = scores[0].classes
    there = [i for i, each in enumerate(every) if each.objects]
    wide = max([len("class"), *(len(every[i].name) for i in there)])
    most = max(1, (WIDTH - wide - 18) // 15)  # rows side by side
    for first in range(0, len(rows), most):
        side, ways = scores[first : first + most], _ways(rows)[first : first + most]
        yield ""
        if len(rows) > 1:
            yield f"{'':{wide}} {'':8}{'':9}" + "".join(f"{way[-14:]:>15}" for way in ways)
        yield f"{'class':{wide}} {'objects':>8}{'images':>9}" + f"{'AP':>8}{'AP50':>7}" * len(side)
        for i in there:
            pairs = "".join(f"{figure(each.classes[i].ap):>8}{figure(each.classes[i].ap50):>7}" for each in side)
            yield f"{every[i].name:{wide}} {every[i].objects:>8}{every[i].images:>9}{pairs}"
    without = len(every) - len(there)
    if without:
        yield f"{without} class{'es have' if without > 1 else ' has'} no objects"


def _ways(rows: Sequence[CaseResult]) -> List[str]:
    """Name each row by what differs between the rows."""
    words = [_case(row) for row in rows]
    differ = [len(set(column)) > 1 for column in zip(*words)]
    return [" ".join(word for word, tells in zip(each, differ) if tells) for each in words]


def _mistakes(row: CaseResult, way: str) -> Iterator[str]:
    """Yield a line for each kind: missed, false positives, confused."""
    assert row.accuracy is not None
    counted = row.accuracy.confusion
    nothing = counted.labels[-1]
    kinds: Dict[str, List[Tuple[str, int]]] = {"missed": [], "false positive": [], "confused": []}
    for truth, predicted, count in counted.mistakes():
        if predicted == nothing:
            kinds["missed"].append((truth, count))
        elif truth == nothing:
            kinds["false positive"].append((predicted, count))
        else:
            kinds["confused"].append((f"{truth} as {predicted}", count))
    yield ""
    yield (f"{way}: " if way else "") + f"boxes with a confidence of at least {counted.conf:g}, at IoU {counted.iou:g}"
    for kind, mistakes in kinds.items():
        most = ", ".join(f"{what} {count}" for what, count in mistakes[:MOST]) + ", ..." * (len(mistakes) > MOST)
        yield f"{kind:20} {sum(count for _, count in mistakes):5}" + (f": {most}" if mistakes else "")


def matrix(counted: Confusion) -> str:
    """Format the confusion matrix as CSV: rows are true classes, columns predicted ones, background last."""
    text = io.StringIO()
    lines: List[List[object]] = [["truth \\ found", *counted.labels]]
    lines += [[name, *row] for name, row in zip(counted.labels, counted.matrix.tolist())]
    csv.writer(text, lineterminator="\n").writerows([cell(value) for value in line] for line in lines)
    return text.getvalue()
