"""The accuracy side of Table 5: which rows, in which order, and what a second call trains again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
import pytest

from benchmarks import table5_accuracy as table
from edgecsp import zoo
from edgecsp.errors import UsageError


def test_the_rows_are_those_with_yolo_heads() -> None:
    rows = table.trainable_rows()
    assert len(rows) == 8 and rows[0] == "csppeleenet-ref-efm-sam"
    assert all(zoo.get(name).anchors for name in rows) and not any("thundernet" in name for name in rows)


def test_kendall_tau() -> None:
    assert table.kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert table.kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert table.kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for folder in ("images", "labels"):
            (tmp_path / "data" / folder / split).mkdir(parents=True)
        for i in range(4):
            image = np.random.default_rng(i).integers(0, 255, (60, 90, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "data" / "images" / split / f"{i}.png"), image)
            (tmp_path / "data" / "labels" / split / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    text = f"path: {tmp_path / 'data'}\ntrain: images/train\nval: images/val\nnames: [square]\n"
    (tmp_path / "data" / "data.yaml").write_text(text)
    return tmp_path / "data" / "data.yaml"


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["table5", *map(str, words)])
    return table.main()


def test_rows_are_trained_once_and_shown_beside_the_papers(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    file = tmp_path / "report.json"
    quick = ("--data", data, "--epochs", 1, "--batch", 4, "--imgsz", 64, "--threads", 1, "--workers", 0, "--json", file)
    assert run(monkeypatch, *quick, "--rows", "cspdensenetb-ref-prn") == 0
    report = json.loads(file.read_text())
    (row,) = report["rows"]
    assert row["model"] == "cspdensenetb-ref-prn" and row["imgsz"] == 64 and 0 <= row["AP"] <= row["AP50"] <= 1
    assert report["data"] == {"name": "data.yaml", "train_images": 4, "val_images": 4, "classes": 1}
    assert "CSPDenseNetb Ref.-PRN" in capsys.readouterr().out
    trained: List[str] = []
    other: Dict[str, Any] = {**row, "model": "cspdensenet-ref-prn"}
    monkeypatch.setattr(table, "train_row", lambda name, *_: trained.append(name) or other)
    assert run(monkeypatch, *quick, "--rows", "cspdensenetb-ref-prn", "cspdensenet-ref-prn") == 0
    assert trained == ["cspdensenet-ref-prn"], "the other stands in the file"
    assert [row["model"] for row in json.loads(file.read_text())["rows"]] == ["cspdensenetb-ref-prn", *trained]


def test_a_file_of_other_settings_is_not_mixed_with(tmp_path: Path) -> None:
    settings, held = dict.fromkeys(table.SETTINGS, 1), {"name": "x"}
    report = table.read_report(None, settings, held)
    (tmp_path / "a.json").write_text(json.dumps(report))
    assert table.read_report(tmp_path / "a.json", settings, held) == report
    with pytest.raises(UsageError, match="other settings or data"):
        table.read_report(tmp_path / "a.json", {**settings, "epochs": 2}, held)
