"""The notebooks of examples/ as Jupyter runs them: every cell in a kernel, from the first to the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import edgecsp
from support.notebooks import NOTEBOOKS, read, run
from support.repository import REPO


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_stored_without_outputs_and_listed(path: Path) -> None:
    assert len(NOTEBOOKS) == 3
    book = read(path)
    assert not [cell for cell in book["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert path.stat().st_size < 8000, f"{path.name} is not short"
    page = (REPO / "docs" / "how-to" / "examples.md").read_text("utf-8")
    assert f"| `{path.name}` |" in page


def test_first_detections() -> None:
    texts = run("first_detections")
    assert "(480, 640, 3) {'qr': 1, 'barcode': 1}" in texts
    assert texts.splitlines()[-1].startswith("{'qr': 1, 'barcode': 1"), "ids of tracks"
    assert '"schema": "edgecsp/1"' in texts


def test_compare_engines_and_precision() -> None:
    table = run("compare_engines_and_precision")
    rows: Any = [line.split() for line in table[table.index("engine     precision") :].splitlines()[1:]]
    assert {row[0] for row in rows} == set(edgecsp.engines())
    assert {(row[3], float(row[4]) > 0.9) for row in rows if row[1] == "fp32"} == {("2", True)}
