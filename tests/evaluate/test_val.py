"""`edgecsp val` as a user types it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import edgecsp
from edgecsp import backends, zoo
from edgecsp.bench import accuracy
from edgecsp.cli import app
from edgecsp.errors import EdgecspError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.importers import darknet
from edgecsp.system import install
from support import images, labelled, media
from support.real_models import cfg_of
from support.tiny import Tiny

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
ENGINES = list(backends.names(with_dummies=False))


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three named classes, and pictures on which what it finds is the truth."""
    folder = tmp_path_factory.mktemp("val")
    named = onnx_model.with_graph(replace(tiny.model, labels=labelled.NAMES), onnx_model.parse_graph(tiny.model))
    onnx_model.save(named, folder / "tiny.onnx")
    labelled.coco(folder / "drawn")
    for i in range(4):
        cv2.imwrite(str(folder / f"drawn/images/{i}.png"), media.scene(5 * i, 96, 80))
    with edgecsp.load(folder / "tiny.onnx", engine="ort", conf=0.001) as detector:
        found = [(each.score, i, each) for i in range(4) for each in detector(folder / f"drawn/images/{i}.png")]
    # The best of all: what comes behind them costs no precision.
    best = sorted(found, key=lambda row: -row[0])[:18]
    rows = []
    for k, (_, i, each) in enumerate(best):
        x0, y0, x1, y1 = (round(v, 2) for v in each.xyxy)
        rows.append({"id": k, "image_id": i, "category_id": 3 * each.class_id + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    images = [{"id": i, "file_name": f"{i}.png", "height": 80, "width": 96} for i in range(4)]
    said = {**labelled.coco_annotations(), "images": images, "annotations": rows}
    (folder / "drawn/instances.json").write_text(json.dumps(said))
    return folder


def val(*words: object) -> Any:
    """Standard output, of a run that ends well."""
    done = CliRunner().invoke(app, ["val", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def refused(rc: int, *words: object) -> str:
    with pytest.raises(EdgecspError) as error:
        CliRunner().invoke(app, ["val", *map(str, words)], catch_exceptions=False)
    assert error.value.exit_code == rc
    return str(error.value)


def test_what_a_model_finds_is_found_by_every_engine(home: Path, tmp_path: Path) -> None:
    figures, found = tmp_path / "figures.json", tmp_path / "found.json"
    words = ("--engine", "all", "--threads", 1, "--json", figures, "--save-json", found, "--out", tmp_path / "out")
    shown = val(home / "tiny.onnx", "--data", home / "drawn", *words, "--precision", "fp32", "--save-worst", 2)
    said = json.loads(figures.read_text())
    assert said["schema"] == "edgecsp-val/1" and said["settings"]["conf"] == 0.001
    assert (said["data"]["pictures"], said["data"]["objects"]) == (4, 18)
    here = [name for name in ENGINES if backends.unavailable_reason(name, "auto") is None]
    assert [row["engine"] for row in said["rows"]] == here
    for row in said["rows"]:
        assert row["precision"] == "fp32" and row["pictures"] == 4 and row["reason"] is None
        assert row["AP"] > 0.99 and row["AP50"] > 0.99, row
        assert sum(each["objects"] for each in row["classes"]) == 18 == np.sum(row["confusion"]["matrix"][:-1])
        way = f"tiny-{row['engine']}-{row['device']}-fp32"
        results = json.loads((tmp_path / f"found-{way}.json").read_text())
        assert len(results) == row["detections"] and {each["category_id"] for each in results} <= {1, 4, 7}
        with open(tmp_path / "out" / way / "confusion.csv", newline="") as file:
            lines = list(csv.reader(file))
        assert lines[0][1:] == [*labelled.NAMES, "background"]
        assert [[int(v) for v in line[1:]] for line in lines[1:]] == row["confusion"]["matrix"]
        line = rf"^tiny +{row['engine']} +{row['device']} +fp32 +{row['AP']:.3f} "
        assert re.search(line, shown.output, re.MULTILINE)
        assert len(list((tmp_path / "out" / way / "worst").glob("*.jpg"))) <= 2
    assert "dark blue" in shown.output and "4 images, 18 objects of 3 classes" in shown.output


def test_the_results_are_what_pycocotools_reads(home: Path, tmp_path: Path, capsys: Any) -> None:
    words = ("--engine", "ort", "--save-json", tmp_path / "x.json", "--json", tmp_path / "y.json", "-q")
    val(home / "tiny.onnx", "--data", home / "drawn/instances.json", "--resize", "letterbox", *words)
    (row,) = json.loads((tmp_path / "y.json").read_text())["rows"]
    assert 0 < row["AP"] < 0.99
    pycocotools_says_the_same(row, tmp_path / "x.json", home / "drawn/instances.json", capsys)


def test_json_to_stdout_leaves_the_table_to_stderr(home: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        app(["val", str(home / "tiny.onnx"), "--data", str(home / "drawn"), "-e", "ort", "--json", "-"])
    said = capsys.readouterr()
    assert left.value.code in (0, None)
    assert json.loads(said.out)["rows"][0]["engine"] == "ort" and "AP50" in said.err


def test_classes_that_differ_in_their_numbers(home: Path, tmp_path: Path) -> None:
    """The same truth as text labels under other numbers and one more class, which has no object."""
    pytest.importorskip("yaml", reason="PyYAML (extra val) is not installed")
    data = accuracy.read(home / "drawn")
    shutil.copytree(str(home / "drawn/images"), str(tmp_path / "images"))
    (tmp_path / "labels").mkdir()
    for picture in data.images:
        lines = []
        for class_id, (x, y, w, h) in zip(picture.boxes.class_ids.tolist(), picture.boxes.xywh.tolist()):
            lines.append(f"{3 - class_id} {(x + w / 2) / 96} {(y + h / 2) / 80} {w / 96} {h / 80}\n")
        (tmp_path / "labels" / f"{Path(picture.path).stem}.txt").write_text("".join(lines))
    for name in labelled.SIZES:
        (tmp_path / "images" / f"{name}.png").unlink()
    (tmp_path / "data.yaml").write_text("val: images\nnames: [unseen, Dark_Blue, GREEN, red]\n")
    words = ("--data", tmp_path / "data.yaml", "--engine", "ort", "-q", "--json")
    val(home / "tiny.onnx", *words, tmp_path / "x.json")
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert row["AP50"] > 0.99 and row["classes"][0]["AP"] is None
    val(home / "tiny.onnx", *words, tmp_path / "y.json", "--classes", "green,red")
    (row,) = json.loads((tmp_path / "y.json").read_text())["rows"]
    assert [each["name"] for each in row["classes"]] == ["GREEN", "red"] and row["AP50"] > 0.99
    (tmp_path / "data.yaml").write_text("val: images\nnames: [unseen, teal, green, red]\n")
    said = refused(2, home / "tiny.onnx", "--data", tmp_path / "data.yaml", "--engine", "ort")
    assert said.startswith("teal of") and "--classes 'red'" in said and "red, green, dark blue" in said


def test_pictures_that_cannot_be_read_or_have_another_size(home: Path, tmp_path: Path) -> None:
    shutil.copytree(str(home / "drawn"), str(tmp_path / "drawn"))
    (tmp_path / "drawn/images/1.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "drawn/images/2.png"), media.scene(0, 64, 64))
    words = [
        str(home / "tiny.onnx"),
        "--data",
        str(tmp_path / "drawn"),
        "-e",
        "ort",
        "--json",
        str(tmp_path / "x.json"),
    ]
    done = CliRunner().invoke(app, ["val", *words], catch_exceptions=False)
    assert done.exit_code == 4
    assert "1.png is not a complete image" in done.output
    assert "2.png is 64x64, and annotated as 96x80" in done.output
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert row["pictures"] == 3
    # Damaged, and read all the same; by its content a JPEG.
    (tmp_path / "drawn/images/3.png").write_bytes(images.damaged_jpeg(media.noise(1, 96, 80)))
    done = CliRunner().invoke(app, ["val", *words], catch_exceptions=False)
    assert done.exit_code == 4 and "3.png: damaged" in done.output
    for i in range(4):
        (tmp_path / f"drawn/images/{i}.png").write_bytes(b"")
    assert "none of 4 images can be read" in refused(3, *words)


def test_refuses_in_words(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = home / "tiny.onnx", ("--data", home / "drawn")
    assert "there is no nowhere" in refused(3, model, "--data", "nowhere")
    assert "no model is called nobody" in refused(3, "nobody", *data)
    assert "no engine is called 'ortt'. Did you mean 'ort'" in refused(2, model, *data, "-e", "ortt")
    assert "no precision is called 'fp31'" in refused(2, model, *data, "--precision", "fp31")
    assert "engine null is a dummy" in refused(2, model, *data, "-e", "null")
    assert "edgecsp quantize MODEL" in refused(2, model, *data, "-e", "ort", "--precision", "int8")
    assert "--out FOLDER" in refused(2, model, *data, "--save-worst", 3)
    assert "conf 1.5: a number from 0 to 1" in refused(2, model, *data, "--conf", 1.5)
    assert "no class of" in refused(2, model, *data, "--classes", "blue")
    assert "cannot write" in refused(5, model, *data, "-e", "ort", "--json", home)
    assert "cannot both go to" in refused(2, model, *data, "-e", "ort", "--json", "x", "--save-json", "x")
    instances = home / "drawn/instances.json"
    assert "would replace the data" in refused(2, model, *data, "-e", "ort", "--json", instances)
    assert instances.is_file() and not list(tmp_path.iterdir())
    if backends.unavailable_reason("trt"):
        assert "engine 'trt' needs" in refused(6, model, *data, "-e", "ort,trt")
    onnx_model.save(zoo.model("peleenet", RandomWeights(0), (64, 64)), tmp_path / "c.onnx")
    assert "is a classifier; val measures boxes" in refused(2, tmp_path / "c.onnx", *data, "-e", "ort")


def test_without_the_package_it_says_what_to_type(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install.command("val") in refused(6, home / "tiny.onnx", "--data", home / "drawn", "-e", "ort")


def test_a_way_that_does_not_work_is_a_row_that_says_so(home: Path, tmp_path: Path) -> None:
    words = ("--data", home / "drawn", "-e", "ort", "--precision", "fp32,int8", "--json", tmp_path / "x.json")
    shown = val(home / "tiny.onnx", *words)
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert rows[0]["AP"] > 0.99 and "AP" not in rows[1] and "edgecsp quantize" in rows[1]["reason"]
    assert "not measured: ort in int8" in shown.output


def test_ap50_of_a_detector_whatever_its_threshold(home: Path) -> None:
    with edgecsp.load(home / "tiny.onnx", engine="ort", conf=0.9, max_det=1) as detector:
        assert accuracy.ap50(detector, home / "drawn") == pytest.approx(1, abs=0.01)
        assert detector.settings.conf == 0.9 and detector.settings.max_det == 1


# -- real weights on real pictures ---------------------------------------------------------------------------

REAL = (
    ("yolov3-tiny", 0.5151, 0.5120),
    ("yolo-fastest-1.1-xl", 0.5513, 0.5532),
)  # the figures of docs/explanation/darknet.md


def real(name: str, data: Path, folder: Path) -> Path:
    cfg = cfg_of(name, data)
    model = darknet.load(cfg, data / "weights" / f"{name}.weights", data / "weights" / "coco.names").model
    onnx_model.save(model, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def rows(model: Path, data: Path, out: Path, *words: object) -> List[Dict[str, Any]]:
    val(model, "--data", data / "data" / "coco64", "-q", "--json", out / "x.json", *words)
    found: List[Dict[str, Any]] = json.loads((out / "x.json").read_text())["rows"]
    return found


def pycocotools_says_the_same(row: Dict[str, Any], results: Path, annotations: Path, capsys: Any) -> None:
    oracle = pytest.importorskip("pycocotools.coco", reason="pycocotools, the oracle, is not installed")
    from pycocotools.cocoeval import COCOeval

    truth = oracle.COCO(str(annotations))
    for each in truth.dataset["annotations"]:  # ids from 1, an area and iscrowd: pycocotools needs them
        each.setdefault("area", each["bbox"][2] * each["bbox"][3])
        each.setdefault("iscrowd", 0)
        each["id"] += 1
    truth.createIndex()
    judge = COCOeval(truth, truth.loadRes(str(results)), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    capsys.readouterr()
    mine = [-1 if row[name] is None else row[name] for name in accuracy.AVERAGES]
    np.testing.assert_allclose(mine, judge.stats, atol=1e-6)


def test_coco64_on_onnxruntime_is_what_the_documents_say(test_data: Path, tmp_path: Path, capsys: Any) -> None:
    name, as_darknet, _ = REAL[0]
    words = ("-e", "ort", "--save-json", tmp_path / "found.json")
    (row,) = rows(real(name, test_data, tmp_path), test_data, tmp_path, *words)
    assert row["AP50"] == pytest.approx(as_darknet, abs=5e-4) and row["pictures"] == 64
    assert sum(each["objects"] for each in row["classes"]) == 423
    pycocotools_says_the_same(row, tmp_path / "found.json", test_data / "data/coco64/instances.json", capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "as_darknet", "plain"), REAL)
def test_coco64_on_every_engine(
    name: str, as_darknet: float, plain: float, test_data: Path, tmp_path: Path, capsys: Any
) -> None:
    model = real(name, test_data, tmp_path)
    found = rows(model, test_data, tmp_path, "-e", "all", "--precision", "fp32")
    assert len(found) == len([each for each in ENGINES if backends.unavailable_reason(each) is None]) >= 2
    for row in found:
        assert row["AP50"] == pytest.approx(as_darknet, abs=0.002), row["engine"]
    words = ("-e", "ort", "--resize", "stretch", "--plain-nms", "--save-json", tmp_path / "found.json")
    (row,) = rows(model, test_data, tmp_path, *words)
    assert row["AP50"] == pytest.approx(plain, abs=5e-4)
    pycocotools_says_the_same(row, tmp_path / "found.json", test_data / "data/coco64/instances.json", capsys)
