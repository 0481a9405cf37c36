"""A teacher's boxes as labels: whose class is whose, which images, what is ignored, and that it looks only once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Event
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import pipeline  # noqa: E402
from edgecsp.bench.accuracy import Boxes, Data, LabelledImage  # noqa: E402
from edgecsp.errors import SourceError, Stopped, UnknownName, UsageError  # noqa: E402
from edgecsp.processing.heads.yolo import Yolo  # noqa: E402
from edgecsp.train import TrainSettings, sightings, teacher, train  # noqa: E402
from edgecsp.train.data import Images  # noqa: E402
from edgecsp.train.sightings import Sighting  # noqa: E402
from edgecsp.train.teacher import Teaching, class_map, open_model, teach, unlabelled_images, widen  # noqa: E402
from edgecsp.types import Input, Model  # noqa: E402
from support import toy_zoo  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

SHARED = Path(os.environ.get("EDGECSP_TEST_DATA", "/nothing"))


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    toy_zoo.add(monkeypatch)
    yield


def model(*labels: str) -> Model:
    head = Yolo("yolo", len(labels), 32, ((8.0, 10.0),))
    return Model("knows", Input((64, 64)), (head,), labels, onnx=b"a graph")


def data(*rows: List[float], names: Any = ("dog", "cat")) -> Data:
    xywh = np.array([row[1:] for row in rows]).reshape(-1, 4)
    boxes = Boxes(xywh, np.array([row[0] for row in rows], int), np.zeros(len(rows), bool), xywh[:, 2] * xywh[:, 3])
    pictures = (LabelledImage("a.jpg", "a", boxes, (100, 100)),)
    return Data("pets", "made", names, tuple(range(1, len(names) + 1)), pictures)


def sees(monkeypatch: pytest.MonkeyPatch, found: Dict[str, List[List[float]]]) -> List[List[str]]:
    """Have every teacher see rows of (class, x0, y0, x1, y1, score) on images of 100 x 200; what it is asked."""
    asked: List[List[str]] = []

    def look(model: Model, paths: Any, conf: float, *_: Any) -> Dict[str, Sighting]:
        asked.append(list(paths))
        made = {}
        for path in paths:
            if path in found:
                table = np.array(found[path], np.float32).reshape(-1, 6)
                rows = table[table[:, 5] >= conf]
                made[path] = Sighting((100, 200), rows[:, 1:5], rows[:, 5], rows[:, 0].astype(np.int64))
        return made

    monkeypatch.setattr(teacher, "look", look)
    return asked


def test_unlabelled_images_get_the_teachers_boxes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log_lines: List[str]
) -> None:
    rows = [[2, 10, 20, 40, 60, 0.9], [0, 50, 50, 90, 90, 0.2], [1, 0, 0, 9, 9, 0.8], [2, 100, 10, 120, 30, 0.05]]
    asked = sees(monkeypatch, {"b.jpg": rows, "c.jpg": []})
    learn = data([0, 5, 5, 50, 50])
    made = teach(learn, [], [model("Dog", "car", "CAT")], ["b.jpg", "c.jpg", "gone.jpg"], 0.3, tmp_path)
    assert asked == [["b.jpg", "c.jpg", "gone.jpg"]]
    assert [row.path for row in made.images] == ["a.jpg", "b.jpg", "c.jpg"] and made.names == ("dog", "cat")
    assert made.images[0] is learn.images[0] and not len(made.images[2].boxes)
    boxes = made.images[1].boxes
    np.testing.assert_allclose(boxes.xywh, [[10, 20, 30, 40], [50, 50, 40, 40]])
    assert boxes.class_ids.tolist() == [1, 0] and boxes.crowd.tolist() == [False, True]
    np.testing.assert_allclose(boxes.scores, [0.9, 0.2])
    assert "teachers label 1 boxes, and 1 uncertain ones are ignored" in log_lines


def test_classes_that_the_data_lacks_are_added_to_labelled_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sees(monkeypatch, {"a.jpg": [[0, 100, 0, 160, 90, 0.9], [1, 0, 0, 90, 90, 0.9], [1, 150, 50, 180, 90, 0.25]]})
    learn, judge = data([1, 5, 5, 50, 50]), data([0, 1, 1, 5, 5])
    knows = model("cat", "Person")
    learn, judge, lacking = widen(learn, judge, ["person", "CAT"], [knows])
    assert learn.names == judge.names == ("cat", "Person") and lacking == [1]
    assert learn.category_ids == (2, 3) and len(judge.images[0].boxes) == 0
    made = teach(learn, lacking, [knows], [], 0.3, tmp_path).images[0].boxes
    # The teacher's cat is none: people have boxed the cats.
    assert made.class_ids.tolist() == [0, 1, 1] and made.crowd.tolist() == [False, False, True]
    np.testing.assert_allclose(made.scores, [1, 0.9, 0.25])


def test_two_teachers_box_a_thing_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sees(monkeypatch, {"b.jpg": [[0, 10, 10, 50, 50, 0.6]]})
    made = teach(data([0, 1, 1, 5, 5]), [], [model("dog"), model("dog", "fish")], ["b.jpg"], 0.3, tmp_path)
    assert len(made.images[1].boxes) == 1


def test_no_common_class_prints_both_lists() -> None:
    with pytest.raises(UsageError, match=r"knows none of the classes.*It knows: sheep, cow.* To learn: dog, cat"):
        class_map(model("sheep", "cow"), data())
    assert class_map(model("sofa", "cat", "Dog"), data()).tolist() == [-1, 1, 0]


def test_what_cannot_be_meant_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"these images need labels; add --teacher"):
        Teaching((), ("folder",))
    with pytest.raises(UsageError, match=r"has nothing to add: pets boxes all of its classes; give it .*--unlabelled"):
        teach(data([0, 1, 1, 5, 5]), [], [model("dog")], [], 0.3, tmp_path)
    with pytest.raises(UnknownName, match=r"no class of pets or its teacher .*bird"):
        widen(data(), data(), ["bird"], [model("dog")])
    with pytest.raises(SourceError, match="no image is there"):
        unlabelled_images([str(tmp_path / "*.jpg")], [])
    with pytest.raises(SourceError, match="no model is called"):
        open_model("no-such-teacher")


def test_images_of_the_data_are_not_unlabelled_too(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "d.png").symlink_to(tmp_path / "a.png")
    found = unlabelled_images([str(tmp_path), str(tmp_path / "*.png")], [str(tmp_path / "b.png")])
    assert [Path(path).name for path in found] == ["a.png", "c.png"]


def test_it_looks_once_and_keeps_what_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: List[str]
) -> None:
    from edgecsp.zoo import store

    monkeypatch.undo()
    knows = store.resolve("codes")
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.png"))
        cv2.imwrite(paths[-1], np.random.default_rng(i).integers(0, 255, (90, 120, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no image")
    first = sightings.look(knows, [*paths, str(tmp_path / "broken.png")], 0.001, tmp_path)
    assert list(first) == paths and first[paths[0]].hw == (90, 120)
    assert any("broken.png" in line for line in log_lines)
    assert any("detects on 4 images with" in line for line in log_lines)
    assert sum(len(each.scores) for each in first.values())

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it looks again")

    monkeypatch.setattr(pipeline, "load", refuse)
    again = sightings.look(knows, paths, 0.001, tmp_path)
    for path in paths:
        np.testing.assert_allclose(again[path].xyxy, first[path].xyxy, atol=0.01)
    with pytest.raises(AssertionError, match="looks again"):
        sightings.look(knows, paths, 0.002, tmp_path)
    monkeypatch.undo()
    stop = Event()
    stop.set()
    with pytest.raises(Stopped, match="training had not begun"):
        sightings.look(knows, paths, 0.003, tmp_path, stop=stop)
    assert json.loads((tmp_path / sightings.FILE).read_text())


def test_a_taught_run_goes_on_without_looking_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: List[str]
) -> None:
    path = draw_shapes(tmp_path / "data", 8)
    more = tmp_path / "more"
    more.mkdir()
    for i, file in enumerate(sorted((tmp_path / "data" / "images" / "train").iterdir())[:3]):
        cv2.imwrite(str(more / f"more{i}.png"), cv2.imread(str(file))[:, ::-1])
    found = {str(more / f"more{i}.png"): [[1, 5, 5, 60, 60, 0.9], [0, 70, 5, 99, 50, 0.2]] for i in range(3)}
    asked = sees(monkeypatch, found)
    monkeypatch.setattr(teacher, "open_model", lambda spec: model("disc", "square"))
    settings = TrainSettings(epochs=2, batch=4, imgsz=64)
    folder = tmp_path / "run"
    words: Any = {"settings": settings, "teacher": ["knows"], "unlabelled": [str(more)], "workers": 0}
    run = train("toy", path, weights="none", out=folder, **words)
    assert run.onnx.is_file() and any(line.startswith("training on 11 images with") for line in log_lines)
    record = json.loads((folder / "run.json").read_text())
    assert record["teacher"] == {"teacher": ["knows"], "unlabelled": [str(more)]}
    assert train("toy", path, resume=folder, **words).onnx.is_file() and len(asked) == 2
    with pytest.raises(UsageError, match=r"started with teacher knows \(now none\), unlabelled .*more \(now none\)"):
        train("toy", path, settings=settings, resume=folder, workers=0)
    found[str(more / "more0.png")] = [[1, 5, 5, 60, 60, 0.7]]
    with pytest.raises(UsageError, match="the data is not what"):
        train("toy", path, resume=folder, **words)


def test_images_without_the_wanted_classes_are_background(tmp_path: Path, log_lines: List[str]) -> None:
    path = draw_shapes(tmp_path / "data", 8)
    settings = TrainSettings(epochs=1, batch=4, imgsz=64)
    run = train(
        "toy", path, settings=settings, weights="none", out=tmp_path / "run", classes=["Disc"], workers=0,
    )  # fmt: skip
    from edgecsp.bench import accuracy

    learn = accuracy.read(path, split="train").select_classes(["disc"])
    empty = sum(not len(row.boxes) for row in learn.images)
    assert empty and len(Images(learn, 64)) == 8
    assert any(f"training on 8 images with {sum(learn.counts)} boxes" in line for line in log_lines)
    assert any(f"{empty} without a box are background" in line for line in log_lines)
    assert run.onnx.is_file()


WEIGHTS = SHARED / "weights" / "yolo-fastest-1.1-xl.cfg"
VOC = SHARED / "data" / "voc2012_subset"


@pytest.mark.skipif(not (WEIGHTS.is_file() and VOC.is_dir()), reason="EDGECSP_TEST_DATA has no weights, no VOC subset")
def test_a_real_teacher_finds_what_people_boxed(tmp_path: Path) -> None:
    """Its boxes, mapped by name, are mostly where VOC's are, and of the same class."""
    from dataclasses import replace

    from edgecsp.bench import accuracy

    truth = accuracy.read(VOC, split="val")
    truth = replace(truth, images=truth.images[::40]).select_classes(["dog", "cat", "sheep", "horse", "cow", "person"])
    seed = replace(truth, images=truth.images[:1])
    files = [row.path for row in truth.images[1:]]
    made = teach(seed, [], [open_model(str(WEIGHTS))], files, 0.3, tmp_path)
    hits = boxes = 0
    for row, other in zip(truth.images[1:], made.images[1:]):
        assert row.path == other.path
        if other.hw is None:
            continue  # it finds nothing there
        own = row.with_size(other.hw).boxes
        sure = other.boxes.class_ids[~other.boxes.crowd]
        labelled = teacher._is_labelled(own, other.boxes.xyxy[~other.boxes.crowd], sure)
        hits, boxes = hits + int(labelled.sum()), boxes + len(sure)
    assert boxes >= 12 and hits / boxes > 0.6
