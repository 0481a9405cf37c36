"""Training: an overfit that must succeed, a run that was killed and goes on, what is refused, what is exported."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Tuple

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

import edgecsp  # noqa: E402
from edgecsp import zoo  # noqa: E402
from edgecsp.bench import accuracy  # noqa: E402
from edgecsp.errors import BadWeights, SourceError, UsageError  # noqa: E402
from edgecsp.processing.heads.yolo import Yolo  # noqa: E402
from edgecsp.train import TrainSettings, train  # noqa: E402
from edgecsp.train import loss as losses  # noqa: E402
from edgecsp.train.augment import Augment, Sample, sample, stretch  # noqa: E402
from edgecsp.train.model import trainable  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
QUICK = TrainSettings(epochs=2, batch=4, imgsz=96, warmup=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(MODEL, data, settings=QUICK, weights="none", out=tmp_path_factory.mktemp("runs") / "whole", workers=0)


@pytest.mark.slow
def test_it_learns_what_is_easy(data: Path, tmp_path: Path) -> None:
    settings = TrainSettings(epochs=60, batch=6, imgsz=128, warmup=20, mosaic=0.3, scale=0.2)
    run = train(MODEL, data, settings=settings, weights="codes", out=tmp_path / "run", workers=0)
    assert run.ap50 is not None and run.ap50 > 0.8
    with edgecsp.load(run.onnx, engine="ort") as detector:
        again = accuracy.ap50(detector, data)
    assert again == pytest.approx(run.ap50, abs=0.03)  # bfloat16 while it learns, float32 in the file


def test_what_a_run_leaves(whole: Any, data: Path) -> None:
    assert {path.name for path in whole.folder.iterdir()} == {
        "run.json",
        "log.jsonl",
        "last.pt",
        "best.pt",
        "best.onnx",
        "best.cfg",
        "best.weights",
        "results.html",
    }
    model = edgecsp.load(whole.onnx, engine="ort").model
    assert model.labels == ("square", "disc") and model.input.hw == (96, 96)
    assert model.origin["weights"] == "trained by edgecsp" and 0 < model.conf < 1
    assert all(isinstance(head, Yolo) and head.scale_xy == 2.0 for head in model.heads)
    assert {each.engine for each in whole.agreements} >= {"ort"}
    assert all(each.difference < 1e-3 for each in whole.agreements)
    record = json.loads((whole.folder / "run.json").read_text())
    assert record["data"]["train_images"] == 12 and record["settings"]["epochs"] == 2


def test_a_killed_run_goes_on_to_the_same_weights(whole: Any, data: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    code = (
        "import sys, os; from edgecsp.train import *; from edgecsp.train import loop\n"
        "loop.SAVE_EVERY_S = 0\n"
        "def watch(at):\n    if at.step >= 3: os.kill(os.getpid(), 9)\n"
        f"s = TrainSettings(epochs=2, batch=4, imgsz=96, warmup=4)\nloop.LOG_EVERY = 1\n"
        f"train({MODEL!r}, sys.argv[1], settings=s, weights='none', out=sys.argv[2], workers=0, watch=watch)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(data), str(stopped)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr[-2000:]
    assert not (stopped / "best.onnx").exists()
    train(MODEL, data, settings=QUICK, resume=stopped, workers=0)
    ours, theirs = (torch.load(f / "last.pt", weights_only=True)["average"] for f in (whole.folder, stopped))
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-4)


def test_a_run_that_goes_on_must_be_asked_for_the_same(whole: Any, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"started with lr 0.002 \(now 0.1\)"):
        train(MODEL, data, settings=TrainSettings(epochs=2, batch=4, imgsz=96, warmup=4, lr=0.1), resume=whole.folder)
    with pytest.raises(SourceError, match="is not a run of edgecsp train that can be resumed"):
        train(MODEL, data, settings=QUICK, resume=tmp_path)
    with pytest.raises(UsageError, match="is not empty; use another --name"):
        train(MODEL, data, settings=QUICK, out=whole.folder)


def test_weights_of_another_number_of_classes_begin_a_run(tmp_path: Path, data: Path) -> None:
    from edgecsp.importers.darknet import weights as darknet
    from edgecsp.train.network import Network
    from edgecsp.train.start import find

    entry = zoo.get(MODEL)
    net = entry.net(classes=7)
    trained = Network(net).start()
    path = tmp_path / "seven.weights"
    with path.open("wb") as file:
        darknet.write(file, trained.floats())
    start = find(str(path), entry)
    assert start.name == "seven.weights" and start.labels == ()
    first = next(key for key in start.state if key.endswith("weight"))
    torch.testing.assert_close(start.state[first], trained.state_dict()[first])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UsageError, match="is not of cspdensenetb-ref-prn, with any number of classes"):
        find(str(path), entry)
    (tmp_path / "best.pt").write_bytes(b"no checkpoint")
    with pytest.raises(BadWeights, match="is not a checkpoint of edgecsp train"):
        find(str(tmp_path), entry)
    with pytest.raises(SourceError, match="there are no weights at"):
        find("nothing.such", entry)
    with pytest.raises(UsageError, match=r"--weights yolov4-tiny\.weights, or a bundled model \(codes, everyday\)"):
        find("yolov4-tiny", entry)


def test_fine_tuning_keeps_what_the_weights_know_of_the_same_classes(
    tmp_path: Path, data: Path, whole: Any, log_lines: List[str]
) -> None:
    settings = replace(QUICK, epochs=1, lr=1e-6)
    run = train(MODEL, data, settings=settings, weights=str(whole.folder), out=tmp_path / "again", workers=0)
    ending = "tensors, its heads for 2 of 2 classes, with its batch-norms' statistics"
    assert any(line.endswith(ending) for line in log_lines)
    before, after = (torch.load(each.folder / "best.pt", weights_only=True)["average"] for each in (whole, run))
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-4)
    layouts = [json.loads((each.folder / "run.json").read_text())["layout"] for each in (whole, run)]
    assert layouts[0] == layouts[1]


def test_only_models_with_yolo_heads_can_be_trained() -> None:
    with pytest.raises(UsageError, match=r"it has no YOLO heads; these can: .*cspdensenetb-ref-prn"):
        trainable(next(name for name in zoo.names() if not zoo.get(name).anchors))


def test_nothing_to_learn_is_said(tmp_path: Path, data: Path) -> None:
    empty = draw_shapes(tmp_path / "empty", 4)
    for path in (tmp_path / "empty" / "labels").rglob("*.txt"):
        path.write_text("")
    with pytest.raises(UsageError, match="no box on its 4 images: there is nothing to learn"):
        train(MODEL, empty, settings=QUICK, out=tmp_path / "a", workers=0)
    broken = draw_shapes(tmp_path / "broken", 4)
    for path in (tmp_path / "broken" / "images" / "train").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"none of the 4 images of .* can be read"):
        train(MODEL, broken, settings=QUICK, out=tmp_path / "b", workers=0)


def heads() -> Tuple[Yolo, ...]:
    return tuple(head for _, head in zoo.net(MODEL, (96, 96), 2, scale_xy=(2.0, 2.0)).heads if isinstance(head, Yolo))


@pytest.mark.parametrize("assigner", ["dynamic", "shape"])
def test_the_loss_is_least_where_the_truth_is_predicted(assigner: str) -> None:
    outputs = [torch.full((2, 21, n, n), -4.0) for n in (3, 6)]
    targets = torch.tensor([[0, 1, 40.0, 50.0, 30.0, 20.0], [1, 0, 20.0, 30.0, 60.0, 50.0]])
    measure = losses.Loss(heads(), assigner)
    torch.manual_seed(0)
    free = [torch.nn.Parameter(out + 0.01 * torch.randn_like(out)) for out in outputs]
    optimiser = torch.optim.Adam(free, 0.2)
    for _ in range(150):
        terms = measure(free, targets, (96, 96))
        optimiser.zero_grad()
        terms.total.backward()
        optimiser.step()
    made = losses.predict(heads(), free, (96, 96))
    for image, class_id, *box in targets.tolist():
        rows = made.raw[int(image)]
        best = int(rows[:, 4].argmax())
        assert rows[best, 5:].argmax() == class_id
        assert losses.iou(made.boxes[int(image), best], torch.tensor(box)) > 0.9


def test_images_without_boxes_and_boxes_at_the_edge_have_a_loss() -> None:
    outputs = [torch.zeros((2, 21, n, n), requires_grad=True) for n in (3, 6)]
    for targets in (torch.zeros((0, 6)), torch.tensor([[1.0, 0, 96, 96, 4, 4], [1.0, 1, 0, 0, 300, 2]])):
        for assigner in ("dynamic", "shape"):
            terms = losses.Loss(heads(), assigner)(outputs, targets, (96, 96))
            assert bool(torch.isfinite(terms.total))
            terms.total.backward()


def test_boxes_follow_the_pixels() -> None:
    """Whatever is done to an image, a box still lies around what it lay around."""
    image = np.full((90, 140, 3), 100, np.uint8)
    image[30:60, 40:80] = (255, 255, 255)
    one = Sample(image, np.array([[40, 30, 80, 60]], np.float32), np.array([3]), np.ones(1, np.float32))
    plain = stretch(one, 96)
    np.testing.assert_allclose(plain.boxes, [[40 * 96 / 140, 32, 80 * 96 / 140, 64]], atol=1e-4)
    seen = 0
    for seed in range(60):
        how = Augment(mosaic=0.5 * (seed % 2), hue=0, saturation=0, value=0)
        made = sample(lambda _: one, 0, 1, 96, how, np.random.default_rng(seed))
        bright = (made.image.min(2) > 180).astype(np.uint8)
        for x0, y0, x1, y1 in made.boxes:
            inside = bright[round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))]
            assert inside.mean() > 0.75
            seen += 1
        boxes = np.zeros_like(bright)
        for x0, y0, x1, y1 in made.boxes:
            boxes[max(0, int(y0) - 2) : int(y1) + 3, max(0, int(x0) - 2) : int(x1) + 3] = 1
        stray = cv2.connectedComponentsWithStats(bright * (1 - boxes))[2][1:, cv2.CC_STAT_AREA]
        assert stray.size == 0 or stray.max() < 0.3 * 30 * 40  # what is cut too much is no box
    assert seen > 40


def test_mixup_blends_two_images_and_keeps_the_boxes_of_both() -> None:
    def flat(grey: int, label: int) -> Sample:
        box = np.array([[8, 8, 40, 40]], np.float32) + 4 * label
        return Sample(np.full((96, 96, 3), grey, np.uint8), box, np.array([label]), np.ones(1, np.float32))

    parts = (flat(20, 0), flat(220, 1))
    how = Augment(mosaic=0, mixup=1.0, scale=0, shift=0, flip=0, hue=0, saturation=0, value=0)
    drawn: List[int] = []

    def get(index: int) -> Sample:
        drawn.append(index)
        return parts[index]

    shares = set()
    for seed in range(20):
        drawn.clear()
        made = sample(get, 0, 2, 96, how, np.random.default_rng(seed))
        assert drawn[0] == 0 and len(drawn) == 2
        assert made.ids.tolist() == drawn and len(made.confidence) == 2
        np.testing.assert_array_equal(made.boxes, np.concatenate([parts[i].boxes for i in drawn]))
        if drawn[1] == 1:
            assert made.image.min() == made.image.max() and 40 < made.image.min() < 200
            shares.add(int(made.image.min()))
    assert len(shares) > 3
    alone = sample(parts.__getitem__, 1, 2, 96, how.without_mosaic(), np.random.default_rng(0))
    assert len(alone.boxes) == 1 and alone.image.min() == 220
