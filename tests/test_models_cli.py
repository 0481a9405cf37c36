"""`edgecsp models` as a user types it, and `edgecsp run` with a name for a model."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from edgecsp import zoo
from edgecsp.cli.render import layers as _costs
from edgecsp.cli.render import model
from support import commands
from support.repository import REPO

EFM = "csppeleenet-ref-efm-sam"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "100")


def edgecsp(*words: object, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    return commands.edgecsp(*words, code=code, **options)


def asked(*words: object) -> Any:
    return json.loads(edgecsp(*words, "--json", "-").stdout)


# -- list, show ----------------------------------------------------------------------------------------------


def test_list_names_every_model_with_what_it_costs_and_where_its_weights_are() -> None:
    said = edgecsp("models", "list").stdout
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert set(zoo.names()) <= set(rows)
    assert re.search(r"320 +5\.67M +3\.428 +22\.8 +44\.6 +reconstructed +none$", rows[EFM])
    assert re.search(
        r"416 +8\.85M +5\.571 +35\.4 +33\.1 +published +public +darknet's: public domain$", rows["yolov3-tiny"]
    )
    listed: Dict[str, Any] = {row["name"]: row for row in asked("models", "list")}
    assert listed[EFM]["parameters"] == 5_668_080 and listed[EFM]["paper"]["params_m"] == 5.67


def test_list_imports_nothing_heavy() -> None:
    code = "import sys; from edgecsp import cli; sys.argv[1:] = ['models', 'list']\ntry: cli.main()\n"
    code += "finally: print([m for m in ('onnx', 'onnxruntime', 'cv2', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show_puts_counted_beside_printed_and_says_what_is_certain() -> None:
    said = edgecsp("models", "show", EFM).stdout
    assert re.search(r"^ +counted +Tables 4, 5$", said, re.M) and re.search(r"^BFLOPs +3\.428 +3\.43$", said, re.M)
    assert re.search(r"^AP50 {10,}44\.6$", said, re.M) and re.search(r"^fps, Jetson TX2 {10,}41$", said, re.M)
    assert "no cfg was ever published" in said and "forced" in said and "chosen" in said
    assert "1x255x10x10 yolo, stride 32: 116x90  156x198  373x326" in said
    assert "no public weights" in said and "--weights random" in said and f"models pull {EFM} --from MINE" in said
    assert re.search(r"^000_conv +3x3 3 > 16 +320x320 +0\.088 +█+", said, re.M)
    assert all(len(line) <= 130 for line in said.splitlines())


def test_show_at_another_size_and_as_data() -> None:
    said = asked("models", "show", EFM, "--imgsz", "416x320")
    assert said["input"]["hw"] == [416, 320] and said["heads"][0]["shape"] == [1, 255, 13, 10]
    assert said["bflops"] == pytest.approx(3.428 * 1.3, rel=0.01)
    assert sum(layer["bflops"] for layer in said["layers"]) == pytest.approx(said["bflops"], rel=1e-3)
    assert "must be multiples of 32" in edgecsp("models", "show", EFM, "--imgsz", "300", code=2).stderr
    assert "Did you mean 'yolov3-tiny'?" in edgecsp("models", "show", "yolov3-tinny", code=2).stderr


def test_show_writes_plain_bars_where_letters_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    said = edgecsp("models", "show", "yolov3-tiny").stdout
    assert said.isascii() and re.search(r"018_conv .* 1\.595  #{40,}$", said, re.M)


@pytest.mark.parametrize("name", zoo.names())
def test_every_model_can_be_shown(name: str) -> None:
    entry = zoo.get(name)
    said, costs = model.full(entry, None), _costs.layer_costs(entry)
    assert list(model.lines(said)) and json.dumps(said)
    assert sum(cost.bflops for cost in costs) == pytest.approx(said["bflops"], rel=1e-3)
    bars = list(_costs.bars(costs, 100))
    assert len(bars) == len(costs) and max(map(len, bars)) <= 100
    nodes = [cost.node for cost in costs]
    assert len(set(nodes)) == len(nodes)


def test_the_plot_is_a_picture_of_the_bars(tmp_path: Path) -> None:
    import cv2

    done = edgecsp("models", "show", EFM, "--plot", tmp_path / "new" / "efm.png")
    assert f"wrote {tmp_path / 'new' / 'efm.png'}" in done.stderr
    picture = cv2.imread(str(tmp_path / "new" / "efm.png"))
    assert picture.shape == (800, 1600, 3) and (picture == 255).all(2).mean() > 0.6
    orange = np.abs(picture.astype(int) - (0x00, 0x5E, 0xD5)).max(2) < 3
    ys, xs = np.nonzero(orange[:700])  # above the legend
    tallest = 700 - ys.min()
    assert tallest == pytest.approx(550 * 0.4719 / 0.5, abs=2) and xs[ys.argmin()] > 1200
    assert "must end in .png" in edgecsp("models", "show", EFM, "--plot", tmp_path / "efm.pdf", code=2).stderr
    (tmp_path / "file").write_text("")
    assert "cannot write" in edgecsp("models", "show", EFM, "--plot", tmp_path / "file" / "x.png", code=5).stderr


# -- pull, run, rm -------------------------------------------------------------------------------------------


def test_a_name_that_is_not_here_says_how_to_get_it(tmp_path: Path, picture: np.ndarray) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "x.png"), picture)
    ask = ("run", tmp_path / "x.png", "--out", tmp_path / "y.png", "--model")
    assert "Download it: edgecsp models pull yolov4-tiny" in edgecsp(*ask, "yolov4-tiny", code=3).stderr
    assert "has no public weights" in edgecsp(*ask, EFM, code=3).stderr
    assert "has no public weights" in edgecsp("models", "pull", EFM, code=3).stderr
    assert "did you mean yolov4-tiny?" in edgecsp(*ask, "yolo4-tiny", code=3).stderr
    assert "yolov4-tiny is not here. What is:" in edgecsp("models", "rm", "yolov4-tiny", code=2).stderr


def test_random_weights_are_announced_loudly(tmp_path: Path, picture: np.ndarray) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "x.png"), picture)
    ask = ("run", tmp_path / "x.png", "--out", tmp_path / "y.png", "--quiet", "--model")
    loud = edgecsp(*ask, "cspdensenetb-ref-prn", "--weights", "random", "--imgsz", "64")
    assert loud.stderr.startswith("edgecsp: RANDOM WEIGHTS") and loud.stderr.count("\n") == 1
    assert (tmp_path / "y.png").is_file()
    assert "only 'random'" in edgecsp(*ask, EFM, "--weights", "mine.weights", code=2).stderr


def test_the_official_weights_from_pull_to_boxes(test_data: Path, tmp_path: Path, home: Path) -> None:
    weights = test_data / "weights" / "yolov3-tiny.weights"
    golden_path = test_data / "golden" / "yolov3-tiny-416.json"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    said = edgecsp("models", "pull", "yolov3-tiny", "--from", weights)
    assert re.search(r"checked +sha256 as published", said.stdout) and "licence     darknet's" in said.stdout
    assert f"written     {home}/models/yolov3-tiny.onnx" in said.stdout
    assert "edgecsp run SOURCE --model yolov3-tiny" in said.stderr
    assert "is here already" in edgecsp("models", "pull", "yolov3-tiny").stderr
    assert [row["weights"] for row in asked("models", "list") if row["name"] == "yolov3-tiny"] == ["installed"]
    assert asked("models", "show", "yolov3-tiny")["weights"]["here"]["size"] == 35_434_956

    pictures = sorted((test_data / "data" / "coco64" / "images").glob("*.jpg"))[:6]
    outputs = ("--json", tmp_path / "x.jsonl", "--out", tmp_path / "out")
    edgecsp("run", *pictures, "--model", "yolov3-tiny", "--resize", "darknet", "--precision", "fp32", *outputs)
    found = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(found) == len(pictures)
    if golden_path.is_file():
        assert_found(json.loads(golden_path.read_text()), found)

    if importlib.util.find_spec("faster_coco_eval"):
        words = ("--data", test_data / "data" / "coco64", "--precision", "fp32", "-q", "--json", "-")
        (row,) = json.loads(edgecsp("val", "yolov3-tiny", *words).stdout)["rows"]
        assert row["AP50"] == pytest.approx(0.512, abs=0.002)

    assert "removed yolov3-tiny" in edgecsp("models", "rm", "yolov3-tiny").stderr
    assert not list(home.rglob("*.onnx"))


def assert_found(golden: Any, found: Any) -> None:
    """The boxes that darknet itself found in the same pictures are there, and no more."""
    wanted = {picture["file"]: picture["objects"] for picture in golden}
    for row in found:
        objects, boxes = wanted[Path(row["source"]).name], row["detections"]
        assert len(boxes) == len(objects)
        for each in objects:
            (x, y, w, h), wide, high = each["xywh_center_rel"], row["width"], row["height"]
            xyxy = [(x - w / 2) * wide, (y - h / 2) * high, (x + w / 2) * wide, (y + h / 2) * high]
            near = [box for box in boxes if np.abs(np.subtract(box["xyxy"], np.clip(xyxy, 0, None))).max() < 3]
            assert any(box["class_id"] == each["class_id"] and abs(box["score"] - each["score"]) < 0.01 for box in near)
