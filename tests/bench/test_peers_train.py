"""Training beside a peer: the budget, the data that both get, the judge, and what the peer's process may not do."""

from __future__ import annotations

import argparse
import ast
import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
import pytest

from benchmarks.peers import train, training_data
from edgecsp import zoo
from edgecsp.bench import accuracy
from edgecsp.errors import UsageError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from support.repository import REPO

PEERS = REPO / "benchmarks" / "peers"


def coco(folder: Path, count: int, first: int = 0) -> accuracy.Data:
    """Images with a box each (and a region of many on the first), as COCO annotations."""
    folder.mkdir()
    rng = np.random.default_rng(first)
    images, rows = [], []
    for i in range(count):
        h, w = 60 + i, 90
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (h, w, 3), np.uint8))
        images.append({"id": i + 1, "file_name": f"{i}.png", "height": h, "width": w})
        row = {"id": i + 1, "image_id": i + 1, "category_id": 2, "bbox": [10, 20, 30, 16], "area": 480, "iscrowd": 0}
        rows.append(row)
    rows.append({"id": 99, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 1})
    names = [{"id": 1, "name": "cat"}, {"id": 2, "name": "hot dog"}]
    (folder / "a.json").write_text(json.dumps({"images": images, "annotations": rows, "categories": names}))
    return accuracy.read(folder / "a.json", images=folder)


def test_both_get_the_same_images_and_boxes_whatever_the_layout(tmp_path: Path) -> None:
    learn, val = coco(tmp_path / "a", 5), coco(tmp_path / "b", 3, 7)
    (tmp_path / "a" / "4.png").write_bytes(b"no image")
    path, held = training_data.lay(learn, val, tmp_path / "laid", 2)
    again = accuracy.read(path, split="train")
    assert again.names == held.names == ("cat", "hot dog")
    assert [len(again.images), len(held.images)] == [4, 3], "what cannot be read is left out of both"
    row = again.images[2].with_size((62, 90))
    assert row.boxes.xywh == pytest.approx(np.array([[10, 20, 30, 16]]), abs=1e-3)
    assert row.boxes.class_ids.tolist() == [1]
    assert len(accuracy.read(path.with_name("probe.yaml"), split="train").images) == 2
    copied = Path(again.images[0].path)
    assert copied.read_bytes() == (tmp_path / "a" / "0.png").read_bytes() and not copied.is_symlink()


def test_epochs_fill_the_budget() -> None:
    epochs = partial(train.epochs_for, images=100, val_images=150, images_per_s=10.0)
    assert epochs(60, every_epoch=True) == 4  # 15 s an epoch
    assert epochs(60, every_epoch=False) == 3  # and one validation more
    assert epochs(1, every_epoch=True) == 1
    assert epochs(3600, every_epoch=False) > epochs(3600, every_epoch=True)


def rows() -> List[Dict[str, Any]]:
    def row(who: str, seed: int, speed: float, ap50: float) -> Dict[str, Any]:
        speeds = {"images_per_s": speed, "images_per_cpu_s": speed / 2}
        figures = {"epochs": 4, "minutes": 2.0, "cpu_s": 100.0, "AP": ap50 / 2, "own_AP": 0.1, "own_AP50": 0.2}
        return {"who": who, "seed": seed, "name": who, "AP50": ap50, **speeds, **figures}

    theirs = [row("ultralytics", 0, 8, 0.5), row("ultralytics", 1, 12, 0.7)]
    return [*theirs, row("edgecsp", 0, 30, 0.7), row("edgecsp", 1, 30, 0.8)]


def test_sides_are_means_over_seeds_and_the_ratio_is_ours_to_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    by = train.ratio(train.totals(rows()))
    assert by == pytest.approx({"images_per_s": 3.0, "images_per_cpu_s": 3.0, "AP": 0.075, "AP50": 0.15})
    train.show(rows(), 1.0)
    said = capsys.readouterr().out
    assert "3.00 times as many images a second" in said and "AP50 +0.150" in said
    assert said.count("took more than 1 minutes") == 2


def test_one_judge_counts_for_both(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    data = coco(tmp_path / "a", 3)
    onnx_model.save(zoo.model("yolov3-tiny", RandomWeights(0), (96, 96), ["cat", "hot dog"]), tmp_path / "x.onnx")
    got = train.judge(str(tmp_path / "x.onnx"), data)
    assert set(got) == {"AP", "AP50", "nms_iou"} and 0 <= got["AP"] <= got["AP50"] <= 1 and got["nms_iou"] in train.IOUS


def test_a_peer_that_dies_is_named_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.SCRIPTS, "edgecsp", str(tmp_path / "dies.py"))
    (tmp_path / "dies.py").write_text("raise SystemExit('no luck')\n")
    with pytest.raises(SystemExit, match=r"edgecsp ended with code 1: no luck \(.*x.log\)"):
        train.run_worker("edgecsp", sys.executable, {}, tmp_path / "x.log")
    (tmp_path / "dies.py").write_text("import json\nprint('{chatter}'); print(json.dumps({'AP': 1}))\n")
    assert train.run_worker("edgecsp", sys.executable, {}, tmp_path / "x.log")["AP"] == 1
    assert "{chatter}" in (tmp_path / "x.log").read_text()


def test_our_worker_trains_and_answers(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    path, held = training_data.lay(coco(tmp_path / "a", 4), coco(tmp_path / "b", 2, 7), tmp_path / "laid", 4)
    request = {
        "threads": 1, "workers": 0, "imgsz": 96, "batch": 4, "model": "cspdensenetb-ref-prn", "amp": "fp32",
        "epochs": 2, "seed": 0, "data": str(path), "folder": str(tmp_path / "run"),
    }  # fmt: skip
    answer = train.run_worker(train.OURS, sys.executable, request, tmp_path / "x.log")
    assert answer["images_per_s"] > 0 and answer["minutes"] > 0 and answer["cpu_s"] > 0
    assert Path(answer["onnx"]).is_file() and 0 <= answer["own_AP"] <= answer["own_AP50"] <= 1
    assert set(train.judge(answer["onnx"], held)) == {"AP", "AP50", "nms_iou"}


def test_the_peers_process_has_no_network_and_a_configuration_of_its_own(tmp_path: Path) -> None:
    code = (
        "import sys, socket; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import train_ultralytics, os\n"
        "train_ultralytics.isolate(Path(sys.argv[2]), 2)\n"
        "print(os.environ['YOLO_OFFLINE'], os.environ['YOLO_CONFIG_DIR'], os.environ['OMP_NUM_THREADS'])\n"
        "for call in (lambda: socket.create_connection(('127.0.0.1', int(sys.argv[3]))),\n"
        "             lambda: socket.socket().connect(('127.0.0.1', int(sys.argv[3])))):\n"
        "    try: call(); print('connected')\n"
        "    except OSError as error: print(error)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        asked = [sys.executable, "-c", code, str(PEERS), str(tmp_path / "x"), port]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""})
    lines = done.stdout.splitlines()
    assert lines[0] == f"true {tmp_path / 'x' / 'config'} 2"
    assert lines[1:] == ["a benchmark has no network"] * 2


def _imported(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        found |= {name.split(".")[0] for name in names}
    return found


def test_only_scripts_of_the_peers_environment_import_it() -> None:
    """ultralytics is AGPL-3.0. Those scripts import nothing of ours but the line protocol, and nobody imports them."""
    theirs = {path.name for path in REPO.rglob("benchmarks/**/*.py") if "ultralytics" in _imported(path)}
    assert theirs == {"train_ultralytics.py", "with_ultralytics.py"}
    for name in theirs:
        assert not _imported(PEERS / name) & {"edgecsp", "benchmarks", "calib"}
    assert not any({"train_ultralytics", "with_ultralytics"} & _imported(path) for path in PEERS.glob("*.py"))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no data nothing\.such"):
        train.find_data("nothing.such")
    asked = [sys.executable, "-m", "benchmarks.peers.train", "--venvs", str(tmp_path / "v-")]
    done = subprocess.run(asked, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2 and "make bench-train makes it" in done.stderr


def test_a_report_holds_figures_and_no_place_of_this_machine() -> None:
    side = dict.fromkeys(("images_per_s", "images_per_cpu_s", "epochs", "minutes", "cpu_s"), 2.0)
    scores = dict.fromkeys(("AP", "AP50", "own_AP", "own_AP50"), 0.5)
    rows = [{"who": who, "onnx": "/somewhere/best.onnx", **side, **scores} for who in (train.THEIRS, train.OURS)]
    args = argparse.Namespace(
        data="/somewhere/bccd/data.yaml", minutes=5.0, keep=Path("/somewhere"), venvs="/somewhere", json=None
    )
    report = train.report(args, 205, 87, rows)
    assert "/somewhere" not in json.dumps(report) and report["settings"] == {"data": "bccd", "minutes": 5.0}
    assert report["ratio"] == {"images_per_s": 1.0, "images_per_cpu_s": 1.0, "AP": 0.0, "AP50": 0.0}
    assert rows[0]["onnx"], "the caller's rows stay"
