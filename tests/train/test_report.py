"""The page of a run: what it shows, that strangers' text stays text, and that it needs nothing else. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np
import pytest

from edgecsp.bench.accuracy import Boxes, ClassScore, Data, LabelledImage, Predictions, Score
from edgecsp.train import curves, report
from edgecsp.types import Detections
from support import chromium

browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
HOSTILE = "<script>alert(1)</script>"
NAMES = ("square", HOSTILE, "no box of this")
Truth = List[Tuple[int, float, float, float, float]]


def found_on(
    folder: Path, images: List[Tuple[str, Truth, List[List[float]]]], names: Tuple[str, ...] = NAMES
) -> Predictions:
    """Grey images with boxes (class, left, top, width, height) and detections (x0, y0, x1, y1, score, class)."""
    rows = []
    for name, truth, _ in images:
        path = folder / name
        cv2.imwrite(str(path), np.full((96, 128, 3), 128, np.uint8))
        rows.append(LabelledImage(str(path), name, Boxes.from_rows(truth), (96, 128)))
    found = Predictions(Data("shapes", "yolo", names, tuple(range(len(names))), tuple(rows)))
    for row, (_, _, detections) in zip(rows, images):
        table = np.array(detections, np.float32).reshape(-1, 6)
        table = table[np.argsort(-table[:, 4])]
        found.add(row, Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32), names))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    """Two squares found of three, a box where nothing is, and one taken for the other class."""
    truth: Truth = [(0, 10, 10, 20, 20), (0, 60, 10, 20, 20)]
    images = [
        ("a.png", truth, [[10, 10, 30, 30, 0.9, 0], [60, 10, 80, 30, 0.6, 0], [90, 60, 110, 80, 0.5, 0]]),
        (f"{HOSTILE.replace('/', '')}.png", [(0, 10, 10, 20, 20), (1, 60, 50, 30, 30)], [[60, 50, 90, 80, 0.8, 0]]),
    ]
    return found_on(tmp_path_factory.mktemp("images"), images)


def score_of(found: Predictions) -> Score:
    rows = tuple(
        ClassScore(name, count, count, 0.5 if count else None, 0.75 if count else None)
        for name, count in zip(found.data.names, found.data.counts)
    )
    return Score({"AP": 0.5, "AP50": 0.75}, rows)


def record_of(found: Predictions, **data: Any) -> Dict[str, Any]:
    return {
        "settings": {"epochs": 4, "batch": 2, "lr": 0.002},
        "layout": {"model": "tiny", "imgsz": 96, "labels": list(found.data.names), "anchors": [[8.0, 9.0]]},
        "start": HOSTILE,
        "data": {"name": f"{HOSTILE}/data.yaml", "train_images": 9, "val_images": 2, "digest": "0123abcd", **data},
        "versions": {"edgecsp": "1", "torch": "2"},
        "command": f"edgecsp train tiny --data '{HOSTILE}'",
    }


def log_of(epochs: int, ap: Any = 0.5) -> List[Dict[str, Any]]:
    rows: List[Dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        terms = {"box": 2.0 / epoch, "objectness": 1.0 / epoch, "classes": 0.0}
        rates = {"images_per_s": 12.0, "waited": 0.25, "lr": 0.001 * epoch}
        rows.append({"step": epoch, "epoch": float(epoch), "loss": sum(terms.values()), **terms, **rates})
        value = None if ap is None else ap * epoch / epochs
        rows.append({"step": epoch, "epoch": epoch, "AP": value, "AP50": value})
    return rows


def test_the_curves_are_what_is_counted_by_hand(found: Predictions) -> None:
    made = curves.curves(curves.judge(found))
    square = made["classes"][0]
    assert made["classes"][2] is None, "a class without a box has no curve"
    # Of 3 squares two are found, with 0.9 and 0.6; 0.8 is on another class, 0.5 on nothing.
    assert curves.at(square, 0.95) == (None, 0.0)
    assert curves.at(square, 0.85) == (1.0, pytest.approx(1 / 3, abs=1e-4))
    assert curves.at(square, 0.7) == (0.5, pytest.approx(1 / 3, abs=1e-4))
    assert curves.at(square, 0.55) == (pytest.approx(2 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4))
    assert square["f1"][55] == pytest.approx(2 * 2 / (3 + 3), abs=1e-4)
    assert square["pr"][:34] == [1.0] * 34 and square["pr"][34] == pytest.approx(2 / 3, abs=1e-4)
    assert square["pr"][67:] == [0.0] * 34
    conf, f1 = curves.best_threshold(curves.judge(found))
    assert 0.5 < conf < 0.6 and f1 == pytest.approx(2 * 2 / (3 + 4))


def test_what_is_found_in_a_region_of_many_counts_nowhere(tmp_path: Path) -> None:
    made = [[10, 10, 30, 30, 0.9, 0], [50, 50, 60, 60, 0.95, 0]]
    found = found_on(tmp_path, [("a.png", [(0, 10, 10, 20, 20)], made)])
    assert curves.curves(curves.judge(found))["all"]["precision"][85] == 0.5
    two = Boxes.from_rows([(0, 10, 10, 20, 20), (0, 40, 40, 50, 50)])
    crowd = Boxes(two.xywh, two.class_ids, np.array([False, True]), two.areas)
    found.images[0] = LabelledImage(found.images[0].path, "a", crowd, (96, 128))
    assert curves.curves(curves.judge(found))["all"]["precision"][85] == 1.0
    assert curves.best_threshold(curves.judge(found))[1] == 1.0


def test_average_precision_is_the_area_under_the_curve() -> None:
    """As COCO counts it, on random detections; the library is not needed for the curve itself."""
    pytest.importorskip("faster_coco_eval", reason="COCO's measure (extra val)")
    from edgecsp.bench import accuracy

    rng = np.random.default_rng(0)
    rows, every = [], []
    for i in range(30):
        corners = rng.uniform(0, 60, (4, 2))
        truth = np.concatenate((corners, rng.uniform(12, 30, (4, 2))), 1)
        ids = rng.integers(0, 2, 4)
        rows.append(
            LabelledImage(f"{i}", i, Boxes.from_rows(np.concatenate((ids[:, None], truth), 1).tolist()), (96, 128))
        )
        moved = np.concatenate((truth + rng.normal(0, 3, truth.shape), truth + 40))
        xyxy = np.concatenate((moved[:, :2], moved[:, :2] + moved[:, 2:]), 1).astype(np.float32)
        scores = np.sort(rng.uniform(0.02, 1, 8).astype(np.float32).round(3))[::-1]
        every.append(Detections(xyxy, scores, np.tile(ids, 2).astype(np.int32), ("a", "b")))
    found = Predictions(Data("random", "coco", ("a", "b"), (1, 2), tuple(rows)), rows, every)
    made = curves.curves(curves.judge(found))["classes"]
    for each, curve in zip(accuracy.score(found).classes, made):
        assert float(np.mean(curve["pr"])) == pytest.approx(each.ap50, abs=2e-3)


def page_of(found: Predictions, log: List[Dict[str, Any]], finished: bool = True, **data: Any) -> str:
    details = report.details(found, curves.judge(found), score_of(found), 0.45)
    return report.page(record_of(found, **data), log, details, finished=finished)


def test_everything_is_there_and_text_of_strangers_is_text(found: Predictions) -> None:
    page = page_of(found, log_of(4), train_boxes=[5, 6, 0])
    assert HOSTILE not in page and HOSTILE.replace("/", "") not in page and "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert page.count("http") == page.count("http-equiv") == 1, "no address of anything"
    assert page.count('class="plot lines"') == 1 + 3 + 4 and page.count('class="plot matrix"') == 1
    assert page.count("data:image/jpeg;base64,") == 2
    for said in ("Ended after epoch 4 of 4", "waited 25% of the time", "0123abcd", "8 x 9", "square not found: 1"):
        assert said in page, said
    assert "square where nothing is: 1" in page and "taken for square: 1" in page
    row = re.search(r'<th scope="row">square</th>(.*?)</tr>', page)
    assert row and re.findall("<td>(.*?)</td>", row[1])[:5] == ["5", "3", "3", "0.750", "0.500"]
    empty = re.search(r'<th scope="row">no box of this</th>(.*?)</tr>', page)
    assert empty and re.findall("<td>(.*?)</td>", empty[1]) == ["0", "0", "0", "-", "-", "-", "-"]


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_first_epochs_are_a_page_too(found: Predictions, epochs: int) -> None:
    page = page_of(found, log_of(epochs), finished=False)
    assert f"Running: epoch {epochs} of 4 is done" in page
    assert "nan" not in page.lower().replace("nance", "")


def test_nothing_found_and_nothing_validated_are_said(tmp_path: Path) -> None:
    bare = found_on(tmp_path, [("a.png", [], [])])
    page = page_of(bare, log_of(1, None))
    assert "The validation images have no box." in page and "No image with a mistake" in page
    page = report.page(record_of(bare), [], {}, finished=False)
    assert page.count('class="none"') == 5


def test_many_classes_have_their_weakest_coloured(tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(120))
    truth: Truth = [(i, i, 4, 30, 40) for i in range(20)]
    found = found_on(tmp_path, [("a.png", truth, [[i, 4, i + 30, 44, 0.5, i] for i in range(0, 20, 2)])], names)
    page = page_of(found, log_of(2))
    # Four charts and the legend; seven of the fourteen classes have no detection, hence no precision.
    assert page.count('class="line rest"') == 4 * 14 + 1 - 7 and "other classes" in page
    assert 'class="plot matrix"' not in page and "class 1 not found: 1" in page


def test_it_is_written_whole_or_not_at_all(found: Predictions, tmp_path: Path) -> None:
    from edgecsp.errors import OutputError

    record = record_of(found)
    path = report.write(tmp_path, record, log_of(1), {}, finished=False)
    assert path == tmp_path / "results.html" and [each.name for each in tmp_path.iterdir()] == ["results.html"]
    before = path.read_bytes()
    report.write(tmp_path, record, log_of(2), {}, finished=True)
    assert path.read_bytes() != before
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        report.write(tmp_path / "file", record, [], {}, finished=True)


def test_a_vanished_image_is_left_out(tmp_path: Path) -> None:
    found = found_on(tmp_path, [("a.png", [(0, 10, 10, 20, 20)], []), ("b.png", [(0, 10, 10, 20, 20)], [])])
    (tmp_path / "a.png").unlink()
    assert [each["file"] for each in report.details(found, curves.judge(found), score_of(found), 0.25)["worst"]] == [
        "b.png"
    ]


@browser
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_a_browser_shows_it_without_a_network(found: Predictions, tmp_path: Path, width: int, dark: bool) -> None:
    place = tmp_path / "results.html"
    place.write_text(page_of(found, log_of(4)), encoding="utf-8")
    with chromium.opened(place, tmp_path / "profile", width, dark) as shown:
        assert shown.value("document.documentElement.scrollWidth") <= width
        assert shown.value("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        strokes = "new Set([...document.querySelectorAll('path.line')].map(line => getComputedStyle(line).stroke))"
        assert shown.value(f"{strokes}.size") >= 4 and not shown.value(f"{strokes}.has('none')")
        assert shown.value("getComputedStyle(document.body).backgroundColor") == (
            "rgb(20, 23, 27)" if dark else "rgb(251, 250, 248)"
        )
        asked = [said["request"]["url"] for said in shown.received("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith("data:")] == [place.as_uri()], "it loads nothing"
        assert shown.complaints() == []
