"""How test scenes are judged, and the video: boxes that lie on what they name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")
pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")

from calib import CLASSES, LOOKALIKE_SEEDS, TEST_SEEDS, test, video
from edgecsp import zoo
from edgecsp.bench import accuracy
from edgecsp.errors import EdgecspError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.types import Detections
from support.repository import REPO


def found(boxes, ids, scores=None):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores if scores is not None else [1.0] * len(ids), np.float32),
        np.array(ids, np.int32),
        CLASSES,
    )


def taken(truth, clear, hits):
    """(picture, detections) of one scene: which of the true boxes are legible, and what was found."""
    rows = np.column_stack([truth.class_ids, truth.xyxy[:, :2], truth.xyxy[:, 2:] - truth.xyxy[:, :2]])
    boxes = replace(accuracy.Boxes.from_rows(rows.tolist()), crowd=~np.array(clear, bool))
    return accuracy.LabelledImage("x.png", 0, boxes, (480, 640)), hits


def figures(scenes):
    held = test.empty_data()
    for i, (picture, hits) in enumerate(scenes):
        held.add(replace(picture, path=f"{i}.png", image_id=i), hits)
    return test.figures(held)


EACH = [taken(found([[10, 10, 110, 90]], [c]), [True], found([[10, 10, 110, 90]], [c], [0.9])) for c in range(6)]


def test_all_found_is_one():
    got = figures([*EACH, taken(found([], []), [], found([], []))])
    assert [got[key] for key in ("ap", "ap50", "recall", "all_ap50")] == pytest.approx([1] * 4)
    assert set(got["ap50_by_class"]) == set(CLASSES) and got["false_alarms"] == 0
    assert got["symbols"] == got["legible"] == 6


def test_what_is_not_legible_counts_neither_way_but_for_all_ap50():
    blurred = found([[300, 300, 340, 340]], [0])
    for hits in (found([], []), found([[300, 300, 340, 340]], [0], [0.95])):
        got = figures([*EACH, taken(blurred, [False], hits)])
        assert [got["ap50"], got["recall"]] == pytest.approx([1, 1])
        assert (got["all_ap50"] < 0.95) == (len(hits.scores) == 0)
        assert (got["symbols"], got["legible"]) == (7, 6)


def test_misses_and_false_alarms_cost():
    got = figures([*EACH[1:], (EACH[0][0], found([], []))])
    assert got["ap50"] == pytest.approx(5 / 6) and got["recall"] == pytest.approx(5 / 6)
    assert got["ap50_by_class"]["qr"] == 0
    noisy = taken(found([], []), [], found([[0, 0, 9, 9]] * 3, [0, 1, 2], [0.9, 0.25, 0.24]))
    assert figures([*EACH, noisy])["false_alarms"] == 2


def test_recall_and_false_alarms_are_at_the_score_that_run_keeps():
    box = [[0, 0, 10, 10]]
    scenes = [
        taken(found(box, [1]), [True], found(box, [1], [0.9])),
        taken(found(box, [1]), [True], found(box, [1], [0.2])),
        taken(found([], []), [], found(box * 3, [0, 1, 1], [0.3, 0.6, 0.1])),
    ]
    got = figures(scenes)
    assert (got["recall"], got["false_alarms"]) == (0.5, 2.0)
    # A recall of 0.91 of two symbols needs both, the second at 0.2; two false alarms lie above that, one below.
    assert got["false_alarms_at_recall"] == 2.0
    assert figures([*scenes, taken(found(box, [2]), [True], found([], []))])["false_alarms_at_recall"] is None


def test_data_matrix_is_what_the_best_box_on_it_says():
    box, beside = [[0, 0, 100, 100]], [[0, 0, 100, 96]]
    scenes = [
        taken(found(box, [1]), [True], found(box, [1], [0.9])),
        taken(found(box, [1]), [True], found(box + beside, [1, 0], [0.4, 0.6])),  # also found, but called qr
        taken(found(box, [1]), [True], found(box + beside, [1, 3], [0.2, 0.5])),
        taken(found(box, [1]), [True], found([[200, 0, 300, 100]], [1], [0.9])),
        taken(found(box, [1]), [False], found(box, [0], [0.9])),
        taken(found(box, [0]), [True], found(box, [1], [0.9])),
    ]
    assert figures(scenes)["datamatrix"] == {"qr": 0.25, "datamatrix": 0.25, "pdf417": 0.25, "missed": 0.25}
    assert figures(EACH[:1])["datamatrix"] == {}
    assert "Data Matrix is found as:  qr 0.250" in test.format_figures(figures(scenes))


def test_legible():
    picture = np.full((480, 640, 3), 200, np.uint8)
    picture[100:200, 100:200] = (
        np.kron(np.random.default_rng(0).integers(0, 2, (10, 10)), np.ones((10, 10)))[..., None] * 200
    )
    assert test.legible(picture, (100, 100, 200, 200))
    assert not test.legible(picture, (100, 100, 200, 112)), "too thin"
    assert not test.legible(picture // 16, (100, 100, 200, 200)), "too dark to differ"
    noise = np.random.default_rng(1).normal(128, 20, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    assert not test.legible(noise, (100, 100, 200, 200)), "noise is no contrast"


def test_the_figures_of_a_model_end_to_end(tmp_path):
    got = test.measure("codes", 12, tmp_path, engine="ort")
    assert json.loads(json.dumps(got)) == got
    held = json.loads((tmp_path / "instances.json").read_text())
    assert len(held["images"]) == 12 and len(list(tmp_path.glob("*.png"))) == 12
    for row in held["annotations"]:
        hw = cv2.imread(str(tmp_path / held["images"][row["image_id"]]["file_name"])).shape[:2]
        x, y, w, h = row["bbox"]
        assert x >= 0 and y >= 0 and x + w <= hw[1] + 0.01 and y + h <= hw[0] + 0.01


def test_look_alikes_are_other_scenes():
    pair = [test.measure("codes", 8, first=first, engine="ort") for first in (TEST_SEEDS, LOOKALIKE_SEEDS)]
    assert json.dumps(pair[0]) != json.dumps(pair[1])
    done = subprocess.run(
        [sys.executable, "-m", "calib.test", "--lookalikes", "--count", "8", "--json"],
        cwd=REPO, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.dumps(json.loads(done.stdout)) == json.dumps(pair[1])


def test_a_model_of_other_classes_is_refused(tmp_path):
    onnx_model.save(zoo.model("cspdensenetb-ref-prn", RandomWeights(0), (96, 96), ["a"]), tmp_path / "x.onnx")
    with pytest.raises(EdgecspError, match=r"finds a .*: not codes"):
        test.measure(str(tmp_path / "x.onnx"), 1, engine="ort")


def test_the_films_boxes_lie_on_codes(tmp_path):
    count = video.write_video(tmp_path / "x.mp4", seconds=0.5)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(rows) == 10 and sum(len(row["detections"]) for row in rows) == count > 0
    with av.open(str(tmp_path / "x.mp4")) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == 10 and frames[0].shape == (480, 640, 3)
    inside, outside = [], []
    for row, frame in zip(rows, frames):
        edges = np.abs(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.CV_32F))
        mask = np.zeros(edges.shape, bool)
        for each in row["detections"]:
            x0, y0, x1, y1 = (int(v) for v in each["xyxy"])
            mask[y0:y1, x0:x1] = True
        inside.append(edges[mask].mean())
        outside.append(edges[~mask].mean())
    assert np.mean(inside) > 3 * np.mean(outside)


def test_the_demo_film_is_small_and_has_its_boxes():
    place = REPO / "benchmarks" / "codes.mp4"
    assert place.stat().st_size < 2_000_000
    with av.open(str(place)) as container:
        frames = container.streams.video[0].frames
    rows = [json.loads(line) for line in place.with_suffix(".jsonl").read_text().splitlines()]
    assert len(rows) == frames
    assert {each["label"] for row in rows for each in row["detections"]} == set(CLASSES)
