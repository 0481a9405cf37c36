"""The models in the box: they are there and are what their records say; `codes` finds codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgecsp
from edgecsp import zoo
from edgecsp.errors import BadWeights, UsageError
from edgecsp.zoo import store
from edgecsp.zoo._packed import PackedWeights, pack, record_of
from support.repository import REPO

NAMES = zoo.bundled_names()
CODES = ("qr", "datamatrix", "aztec", "pdf417", "barcode", "marker")


def marker(path: Path) -> Path:
    """A picture of an ArUco marker on a pale sheet: what it is, and where, is known."""
    picture = np.full((480, 640, 3), 190, np.uint8)
    made = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100), 7, 140)
    picture[150:330, 230:410] = 255
    picture[170:310, 250:390] = made[:, :, None]
    cv2.imwrite(str(path), picture)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_along_and_says_what_it_is(name: str) -> None:
    model, entry = store.resolve(name), zoo.get(name)
    assert model.name == name and model.labels == entry.labels and model.input.hw == (320, 320)
    assert model.origin["weights"] == "in the box" and model.origin["licence"].startswith("Apache-2.0")
    assert "epoch" in model.origin["trained"] and model.conf == entry.conf


def test_codes_is_the_default() -> None:
    assert NAMES[0] == "codes" and store.resolve("codes").labels == CODES
    with pytest.raises(UsageError, match=r"no weights of yolov3 come with edgecsp"):
        zoo.load_bundled("yolov3")


def test_its_graph_is_laid_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    laid = zoo.load_bundled("codes")
    first = store.load("codes")
    shipped = zoo.load_bundled
    monkeypatch.setattr(zoo, "load_bundled", None)  # a second start does not ask for it
    again = store.load("codes")
    assert first == laid == again and first.onnx == laid.onnx == again.onnx
    monkeypatch.setattr(zoo, "load_bundled", shipped)
    (kept,) = (tmp_path / "plans").glob("box-*.plan")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert store.load("codes").onnx == laid.onnx
    monkeypatch.setattr(zoo, "source_digest", lambda name: "another edgecsp")
    store.load("codes")
    assert len(list((tmp_path / "plans").glob("box-*.plan"))) == 1  # of the two the damaged one is gone


def test_whoever_changes_the_code_or_the_weights_gets_another_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    real, was = Path.read_bytes, zoo.source_digest("codes")
    for name in ("codes.npz", "export.py", "csp_ref.py"):
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: real(path) + b" " * (path.name == name))
        assert zoo.source_digest("codes") != was
    monkeypatch.undo()
    assert zoo.source_digest("codes") == was


@pytest.mark.parametrize("name", NAMES)
def test_its_record_says_how_it_was_made(name: str) -> None:
    place = zoo.get(name).bundled
    assert place is not None and place.stat().st_size < 4_000_000
    record = record_of(place)
    assert {"model", "anchors", "masks", "labels", "licence", "settings", "commit", "test"} <= set(record)
    assert record == zoo.record(name) and record["model"] in zoo.names()
    test = record["test"]
    assert test.get("scenes", 0) >= 1000 or test["images"] >= 900


def test_codes_is_as_accurate_as_it_must_be() -> None:
    test = zoo.record("codes")["test"]
    assert test["ap50"] >= 0.939 and test["recall"] >= 0.91
    assert test["false_alarms"] <= 0.12 and test["false_alarms_at_recall"] <= 0.12


def test_everyday_is_as_accurate_as_it_must_be() -> None:
    test = zoo.record("everyday")["test"]
    assert test["ap50"] >= 0.60 and test["false_alarms"] <= 0.3 and test["images_without"] >= 25


def test_its_heads_are_what_they_were() -> None:
    """Raw values of a drawn picture, written down when the weights were baked."""
    import onnxruntime

    y, x = np.mgrid[:320, :320]
    planes = np.stack([(7 * x + 3 * y) % 256, (x * y // 5) % 256, (x // 20 + y // 20) % 2 * 255])
    session = onnxruntime.InferenceSession(zoo.load_bundled("codes").onnx, providers=["CPUExecutionProvider"])
    heads = session.run(None, {"images": planes[None].astype(np.float32) / 255})
    wanted = (
        [0.3369046, -11.61811, 0.5088134, 0.3517819, -2.487197, -2.298605, -0.2336394, -1.521455, -3.733267],
        [0.06984982, -12.53188, 0.941462, -0.133193, -2.563385, -1.064432, -0.7336867, -2.679171],
    )
    for head, values in zip(heads, wanted):
        flat = head.ravel()
        assert np.abs(flat[:: flat.size // 8] - values).max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_float_is_used(name: str) -> None:
    place = zoo.get(name).bundled
    assert place is not None
    with np.load(place) as held:
        assert len(held["kernels"]) + len(held["rest"]) == zoo.net(name).floats
        assert held["kernels"].dtype == np.float16


def test_it_finds_a_marker(tmp_path: Path) -> None:
    (found,) = edgecsp.load(conf=0.5)(cv2.imread(str(marker(tmp_path / "x.png"))))
    assert found.label == "marker"
    x0, y0, x1, y1 = found.xyxy
    common = (min(x1, 390) - max(x0, 250)) * (min(y1, 310) - max(y0, 170))
    assert common / ((x1 - x0) * (y1 - y0) + 140 * 140 - common) > 0.6


def test_everyday_finds_a_dog_offline(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    image = test_data / "data" / "coco64" / "images" / "000000000307.jpg"
    command = [sys.executable, "-m", "edgecsp", "run", str(image), "--model", "everyday", "--json", "-", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (found,) = json.loads(done.stdout)["detections"]
    assert found["label"] == "dog"
    x0, y0, x1, y1 = found["xyxy"]
    common = (min(x1, 578) - max(x0, 406)) * (min(y1, 366) - max(y0, 198))  # COCO: 406, 198, 172 x 168
    assert common / ((x1 - x0) * (y1 - y0) + 172 * 168 - common) > 0.6


def test_run_without_a_model_says_what_it_finds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgecsp", "run", str(marker(tmp_path / "x.png")), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert '"label": "marker"' in done.stdout
    said = " ".join(done.stderr.split())
    assert "no --model given: using codes, which detects qr, datamatrix, aztec, pdf417, barcode and marker" in said
    assert "models pull yolov4-tiny, then --model yolov4-tiny" in said
    quiet = subprocess.run([*command, "-q"], capture_output=True, text=True, cwd=REPO)
    assert quiet.stderr == "" and quiet.stdout == done.stdout


def test_packed_weights_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [("bias", (3,)), ("scale", (3,)), ("weights", (3, 2, 5, 5)), ("bias", (2,)), ("weights", (2, 3, 1, 1))]
    arrays = [(part, rng.standard_normal(shape).astype(np.float32)) for part, shape in parts]
    with (tmp_path / "x.npz").open("wb") as file:
        pack(file, arrays, {"made": "by hand"})
    weights = PackedWeights(tmp_path / "x.npz")
    for part, array in arrays:
        back = weights.take(part, array.shape, "layer 0")
        assert back.dtype == np.float32
        assert (back == (array.astype(np.float16) if part == "weights" else array)).all()
    with pytest.raises(BadWeights, match="layer 9: the packed weights end before its bias"):
        weights.take("bias", (1,), "layer 9")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all"])
def test_what_is_not_packed_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadWeights, match=r"x\.npz does not hold packed weights"):
        PackedWeights(tmp_path / "x.npz")


def test_a_kernel_beyond_half_precision() -> None:
    with pytest.raises(BadWeights, match="too large for half precision"):
        pack(io.BytesIO(), [("bias", np.zeros(1, np.float32)), ("weights", np.full((1, 1, 1, 1), 1e6, np.float32))], {})
