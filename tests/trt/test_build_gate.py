"""`edgecsp build` refuses a plan that is slower than fp16's, or that loses AP: on doubles, no GPU has run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgecsp import pipeline
from edgecsp.bench import plan_gate
from edgecsp.cache import plans
from edgecsp.cli import app
from edgecsp.errors import UsageError
from edgecsp.graph import onnx_model, precision
from support import media, stage
from support.tiny import Tiny

play = stage.play


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in fp32 and in int8, and images that are labelled with its own boxes."""
    folder = tmp_path_factory.mktemp("gate")
    rng = np.random.default_rng(1)
    batches = (rng.random((1, 3, 64, 64), np.float32) for _ in range(precision.MIN_IMAGES))
    onnx_model.save(tiny.model, folder / "tiny.onnx")
    onnx_model.save(precision.quantize(tiny.model, batches, "mse", threads=1), folder / "int8.onnx")
    paths = [folder / "data" / "images" / f"{index}.png" for index in range(6)]
    paths[0].parent.mkdir(parents=True)
    media.write_coarse(paths)
    images: List[Dict[str, Any]] = []
    boxes: List[Dict[str, Any]] = []
    with pipeline.load(folder / "tiny.onnx", "ort", device="cpu", threads=1) as detector:
        for index, path in enumerate(paths):
            image = cv2.imread(str(path))
            images.append({"id": index, "file_name": path.name, "height": image.shape[0], "width": image.shape[1]})
            found = detector(image)
            for (x1, y1, x2, y2), kind in zip(found.xyxy.tolist(), found.class_ids.tolist()):
                box = [x1, y1, x2 - x1, y2 - y1]
                row = {"id": len(boxes), "image_id": index, "category_id": kind, "bbox": box, "area": box[2] * box[3]}
                boxes.append(row)
    categories = [{"id": index, "name": name} for index, name in enumerate(tiny.model.labels)]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "data" / "instances.json").write_text(json.dumps(content))
    return folder


def build(home: Path, *words: str) -> Tuple[Result, Dict[str, Any]]:
    (home / "built.json").unlink(missing_ok=True)
    command = ["build", str(home / "int8.onnx"), "--recipe", "x86-cuda", "--json", str(home / "built.json"), *words]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    return done, json.loads((home / "built.json").read_text()) if (home / "built.json").exists() else {}


def test_a_plan_that_is_slower_than_fp16s_is_not_kept(
    play: stage.Play, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play("10.3.0")
    monkeypatch.setattr(plan_gate, "time_plans", lambda *_: [3.2, 2.9])
    done, content = build(home)
    assert done.exit_code == 8 and "it takes 3.20 ms and a plan in fp16 2.90 ms" in done.output
    assert content["schema"] == "edgecsp-build/1" and content["refused"].startswith("it takes 3.20 ms")
    assert not list(plans.folder().glob("trt-*.plan")), "neither is of any use"
    # Not asked for, it is not measured.
    done, content = build(home, "--no-compare-fp16")
    assert done.exit_code == 0 and content["fp16_ms"] is None and content["refused"] is None
    assert len(list(plans.folder().glob("trt-*.plan"))) == 1


def test_a_plan_that_is_as_fast_is_kept_and_measured_once(
    play: stage.Play, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = play("10.3.0")
    monkeypatch.setattr(plan_gate, "NOISE", 1e9)
    done, content = build(home)
    assert done.exit_code == 0 and "speed" in done.stdout and content["ms"] > 0 and content["fp16_ms"] > 0
    assert [plan["built"] for plan in content["plans"]] == [True] and content["plans"][0]["gpu_layers"] == []
    steps = played.steps()
    assert steps.count("Builder") == 2 and len(list(plans.folder().glob("trt-*.plan"))) == 1
    done, content = build(home)
    assert done.exit_code == 0 and content["fp16_ms"] is None and "Builder" not in played.steps()
    assert played.left() == []


def test_a_plan_that_loses_ap_is_not_kept(play: stage.Play, home: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    play("8.6.1")
    words = ("--no-compare-fp16", "--images", str(home / "data"), "--max-ap-drop")
    done, content = build(home, *words, "1")
    assert done.exit_code == 0 and "accuracy" in done.stdout and content["refused"] is None, done.output
    assert content["float_ap50"] > 0.9 and 0 < content["ap"] < content["float_ap"]
    fall = content["float_ap"] - content["ap"]
    done, content = build(home, *words, f"{fall / 4:.5f}")
    assert done.exit_code == 8 and "more than --max-ap-drop" in done.output and "No plan was kept" in done.output
    assert content["refused"] and not list(plans.folder().glob("trt-*.plan"))


def test_a_budget_needs_labels(play: stage.Play, home: Path) -> None:
    play("8.6.1")
    for words, said in (
        (("--max-ap-drop", "0.1"), "measured on labelled images"),
        (("--max-ap-drop", "2", "--images", str(home)), "AP is in 0..1"),
    ):
        with pytest.raises(UsageError, match=said):
            build(home, *words)


def test_figures_are_held_against_both_limits() -> None:
    figures = plan_gate.PlanFigures(ms=2.0, fp16_ms=1.99, ap=0.3, ap50=0.5, float_ap=0.305, float_ap50=0.52)
    assert figures.find_fault(None) == figures.find_fault(0.021) == ""  # 2 % are noise
    assert "its AP50 falls by 0.0200, from 0.5200 to 0.5000" in figures.find_fault(0.01)
