"""The curve of `edgecsp quantize --max-ap-drop`: layers in float against AP and speed."""

from __future__ import annotations

from typing import Iterator

from ...bench.ap_budget import Point, Search


def lines(search: Search) -> Iterator[str]:
    """The table, its heading first: a row per number of layers in float, and fp32's."""
    engines = list(search.points[0].ap)
    columns = "".join(f" {engine + ' AP50':>16} {'AP':>7} {'ms':>7}" for engine in engines)
    yield f"{'layers in float':16}{columns} {'drop':>8}"
    total = len(search.layers)
    for point in search.points:
        mark = "  taken" if point is search.best else ""
        yield f"{f'{len(point.float_layers)} of {total}':16}{_cells(point)} {point.drop:8.4f}{mark}"
    yield f"{'fp32':16}{_cells(search.fp32)}"
    yield f"{'measured on':11} {search.data}"
    if search.best and search.best.float_layers:
        yield f"{'in float':11} {', '.join(search.best.float_layers)}"


def _cells(point: Point) -> str:
    return "".join(f" {point.ap50[name]:16.4f} {point.ap[name]:7.4f} {point.ms[name]:7.2f}" for name in point.ap)
