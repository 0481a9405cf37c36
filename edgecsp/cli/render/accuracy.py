"""Text tables of AP, classes and confusions."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ...system.text import cell

if TYPE_CHECKING:
    from ...bench.accuracy import Confusion
    from ...bench.results import CaseResult

AVERAGES = ("AP", "AP50", "AP75", "APS", "APM", "APL")
MOST = 5  # mistakes listed per kind


def tables(rows: Sequence[CaseResult]) -> Iterator[str]:
    """Yield the lines of all tables: averages per row, then classes, then confusions."""
    from ...bench import val

    done = [row for row in rows if row.accuracy]
    wide = max(len("model"), *(len(row.case.model.name) for row in done))
    speeds = [val.speed_to_dict(row) for row in done]
    parts = next((list(speed["stages"]) for speed in speeds if speed), [])
    heads = "".join(f"{name:>7}" for name in AVERAGES) + (f"{'ms':>9}" if parts else "")
    yield f"{'model':{wide}} {'engine':9} {'device':8} {'precision':9}{heads}" + "".join(
        f"{name:>11}" for name in parts
    )
    for row, speed in zip(done, speeds):
        assert row.accuracy is not None
        figures = "".join(f"{figure(row.accuracy.averages[name]):>7}" for name in AVERAGES) + _speed(speed)
        yield f"{row.case.model.name:{wide}} {row.case.engine:9} {row.case.device:8} {row.case.precision:9}{figures}"
    if parts:
        yield "ms: medians per image, one at a time from file to boxes, and of its parts"
    for speed, way in zip(speeds, _ways(done)):
        if speed and speed["unstable"]:
            yield f"? unstable{f', {way}' if way else ''}: likely cause: {', '.join(speed['causes'])}"
    yield from _classes(done)
    for row, way in zip(done, _ways(done)):
        yield from _mistakes(row, way)


def _speed(speed: Optional[Dict[str, Any]]) -> str:
    """Format milliseconds and their parts, with "?" behind a figure that is unstable."""
    if speed is None:
        return ""
    ms = f"{speed['median_ms']:.2f}{'?' if speed['unstable'] else ''}"
    return f"{ms:>9}" + "".join(f"{value:>11.2f}" for value in speed["stages"].values())


def figure(value: Optional[float]) -> str:
    """Format an average with three digits, "-" without objects."""
    return "-" if value is None else f"{value:.3f}"


def _classes(rows: Sequence[CaseResult]) -> Iterator[str]:
    """Yield a line for each class with objects; AP and AP50 of each row side by side."""
    scores = [row.accuracy.score for row in rows if row.accuracy]
    every = scores[0].classes
    there = [i for i, each in enumerate(every) if each.objects]
    wide = max([len("class"), *(len(every[i].name) for i in there)])
    yield ""
    if len(rows) > 1:
        yield f"{'':{wide}} {'':8}{'':9}" + "".join(f"{way[-14:]:>15}" for way in _ways(rows))
    yield f"{'class':{wide}} {'objects':>8}{'images':>9}" + f"{'AP':>8}{'AP50':>7}" * len(rows)
    for i in there:
        pairs = "".join(f"{figure(each.classes[i].ap):>8}{figure(each.classes[i].ap50):>7}" for each in scores)
        yield f"{every[i].name:{wide}} {every[i].objects:>8}{every[i].images:>9}{pairs}"
    without = len(every) - len(there)
    if without:
        yield f"{without} class{'es have' if without > 1 else ' has'} no objects"


def _ways(rows: Sequence[CaseResult]) -> List[str]:
    """Name each row by what differs between the rows."""
    words = [(row.case.model.name, row.case.engine, row.case.device, row.case.precision) for row in rows]
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
