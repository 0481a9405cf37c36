"""The README's measured tables are what benchmarks/results says, and the paper's tables what the zoo says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from benchmarks import readme
from edgecsp import zoo
from support.repository import REPO

PAPER = REPO / "benchmarks" / "paper"
COLUMNS = {"gpu_fps": "gpu", "cpu_fps": "cpu", "mgpu_fps": "mgpu"}


def table(name: str) -> List[Dict[str, str]]:
    lines = (PAPER / name).read_text("utf-8").splitlines()
    assert lines[0].startswith("# Table"), "it says where it is from"
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def number(text: str) -> Any:
    return float(text) if text else None


@pytest.mark.parametrize(("name", "count"), [("table5.csv", 10), ("table4.csv", 23), ("table2.csv", 10)])
def test_the_papers_tables_and_the_zoos_rows_are_the_same_figures(name: str, count: int) -> None:
    rows = table(name)
    assert len(rows) == count and len({(row["title"], row["size"]) for row in rows}) == count
    for row in rows:
        if not row["model"]:
            continue
        entry = zoo.get(row["model"])
        printed = next(each for each in entry.rows if each.size == int(row["size"]))
        if name != "table2.csv":
            assert row["title"] == entry.title
        fps = {**printed.fps, "cpu": printed.fps.get("xeon", printed.fps.get("cpu"))}
        for column, key in COLUMNS.items():
            if column in row:
                assert number(row[column]) == fps.get(key), (row, column)
        assert ("Xeon" in row.get("cpu_machine", "")) == ("xeon" in printed.fps and name == "table5.csv")
        for column, ours in zip(("ap", "ap50", "ap75"), printed.ap):
            assert column not in row or number(row[column]) == ours, (row, column)
        if row.get("bflops"):  # Table 4 rounds what Table 2 prints with three decimals
            assert number(row["bflops"]) == pytest.approx(printed.bflops, abs=0.006), row
        if row.get("params_m"):
            assert number(row["params_m"]) == printed.params_m, row


def test_tables_1_and_3_are_the_zoos_classifiers() -> None:
    rows = {row["model"]: row for row in table("table3.csv") if row["model"]}
    first = {row["model"] for row in table("table1.csv") if row["model"]}
    assert set(rows) | first == {name for name in zoo.names() if zoo.get(name).task == "classify"}
    for name, row in rows.items():
        (printed,) = zoo.get(name).rows
        assert (number(row["params_m"]), number(row["bflops"]), number(row["top1"])) == (
            printed.params_m, printed.bflops, printed.top1,
        )  # fmt: skip
        assert (row["source"] == "Table 3") == (printed.table in ("Table 3", "Tables 1, 3"))


def row(model: str, engine: str, **more: Any) -> Dict[str, Any]:
    paper = {"table": 5, "fps": 54, "on": "Intel Core i9-9900K, OpenCV DNN", "ap50": 33.1}
    said = {
        "model": model, "title": model.upper(), "engine": engine, "precision": "fp32", "bflops": 5.571, "fps": 61.24,
        "weights": "random", "unstable": False, "causes": [], "paper": paper, "relative": 1.0, "paper_relative": 1.0,
        "of_peak": 0.5, "reason": None,
    }  # fmt: skip
    return {**said, **more}


REPORT = {
    "rows": [
        row("tiny", "ort"),
        row("tiny", "opencv", fps=123.4, unstable=True, causes=["other load"]),
        row("net", "ort", paper={"fps": 47, "on": "Xeon E5-2682 v4", "ap50": 33.7}, relative=1.5, paper_relative=None),
        row("net", "opencv", fps=None, relative=None, of_peak=None, reason="no Loop | there"),
    ],
    "machine": {
        "name": "A CPU", "isa": ["NEON"], "versions": {"opencv": "5.0"}, "peak_gflops": {"fp32": 100.2, "int8": None},
    },
    "settings": {"mode": "model", "threads": 2, "scenario": "single"},
    "rank": [{"engine": "ort", "precision": "fp32", "spearman": 0.943, "models": 6}],
    "started": "2026-11-21T10:00:00+00:00",
}  # fmt: skip


def test_a_table_is_written_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(REPORT))
    before = "above\n<!-- bench x.json -->\nold | figures\n<!-- end -->\nbelow\n"
    after = readme.filled(before, tmp_path)
    assert after.startswith("above\n<!-- bench x.json -->\nA CPU (NEON), 2 threads, opencv 5.0; random weights")
    assert after.endswith("<!-- end -->\nbelow\n") and "old" not in after
    assert "| TINY | 5.57 | 54 | 61.2 | 123* | 1.00 | 1.00 | 1.00 |" in after
    assert "| NET | 5.57 | 47† | 61.2 | - |  | 1.50 |  |" in after
    assert "no Loop | there" in after.split("\n\n")[-1], "a reason stands below the table"
    assert "ort fp32 0.94" in after and "fp32 100; a network reaches 50% of it" in after
    assert readme.filled(after, tmp_path) == after


TRAINING = {
    "machine": {"name": "A CPU", "isa": ["NEON"]}, "settings": {
        "data": "cells", "minutes": 5.0, "imgsz": 320, "batch": 16, "seeds": 2, "threads": 4,
    },
    "rows": [{"who": who, "name": name} for who, name in (("theirs", "net 1.0"), ("theirs", "net 1.0"), ("ours", "x"))],
    "means": {
        who: dict(zip(("epochs", "minutes", "images_per_s", "images_per_cpu_s", "AP50", "AP"), figures))
        for who, figures in (("theirs", (22.0, 5.0, 20.0, 8.0, 0.5, 0.3)), ("ours", (55.0, 4.96, 50.0, 26.0, 0.8, 0.4)))
    },
}  # fmt: skip


def test_training_is_a_row_a_side_with_times_the_first_ones_speed(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(TRAINING))
    text = readme.filled("<!-- training x.json -->\n<!-- end -->\n", tmp_path)
    assert "cells, 5 minutes each from nothing: 320 px, batches of 16, 2 seeds, 4 threads, on A CPU (NEON)." in text
    assert "| net 1.0 | 22 | 5.0 | 20.0 | 1.00 | 8.0 | 1.00 | 0.500 | 0.300 |" in text
    assert "| x | 55 | 5.0 | 50.0 | 2.50 | 26.0 | 3.25 | 0.800 | 0.400 |" in text


PEERS = {
    "machine": {"name": "A CPU"}, "threads": 2, "conf": 0.25, "iou": 0.45,
    "rows": [
        {"model": "tiny", "about": "416x416, 5.57 BFLOPs", "peer": peer, "version": "1", "reason": reason, "ms": ms,
         "median_ms": 15.04, "cpu_median_ms": 30.1, "times": times, "same": same}
        for peer, reason, ms, times, same in (
            ("theirs, net at 512 (5.60 BFLOPs)", "", [15.0], 1.25, None),
            ("edgecsp", "", [15.0], 1.0, 0.876),
            ("theirs", "not here", [], None, None),
        )
    ],
}  # fmt: skip


def test_peers_are_a_table_a_model_the_fastest_first(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(PEERS))
    after = readme.filled("<!-- peers x.json -->\n<!-- end -->\n", tmp_path)
    head, rows = after.split("|---|---|---|---|---|---|\n")
    assert head.endswith(
        "| tiny (416x416, 5.57 BFLOPs), 1280x720 in, boxes out | version | ms | CPU ms | times | same boxes |\n"
    )
    assert rows.splitlines()[:2] == [
        "| edgecsp | 1 | 15.0 | 30.1 | 1.00 | 88% |",
        "| theirs, net at 512 (5.60 BFLOPs) | 1 | 15.0 | 30.1 | 1.25 |  |",
    ]
    assert "theirs: not here" in rows


def test_the_documents_are_what_the_results_say() -> None:
    texts = [place.read_text("utf-8") for place in readme.DOCUMENTS]
    assert [readme.filled(text) for text in texts] == texts, "type: python -m benchmarks.readme"
    assert all(readme.MARKED.search(text) for text in texts)
    named = {found.group(2) for text in texts for found in readme.MARKED.finditer(text)}
    assert named == {place.name for place in readme.RESULTS.glob("*.json")}, (
        "every result is shown, and every table has one"
    )


def test_means_are_a_table_alone(tmp_path: Path) -> None:
    report = {
        **PEERS,
        "means": {"theirs": {"times": 1.254, "models": ["tiny"]}, "edgecsp": {"times": 1.0, "models": []}},
    }
    (tmp_path / "x.json").write_text(json.dumps(report))
    after = readme.filled("<!-- means x.json -->\n<!-- end -->\n", tmp_path)
    assert after.splitlines()[1:] == [
        "A CPU, 2 threads, score 0.25, NMS 0.45.",
        "",
        "| geometric mean of the times over tiny | times | models |",
        "|---|---|---|",
        "| edgecsp | 1.00 | 0 |",
        "| theirs | 1.25 | 1 |",
        "<!-- end -->",
    ]
