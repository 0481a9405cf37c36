"""int8 with real weights on real pictures: what it costs in AP50, on every engine that offers it."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator

import cv2
import numpy as np
import pytest

from edgecsp import backends, importers, pipeline, zoo
from edgecsp.bench import accuracy
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.precision import calibration
from edgecsp.importers import darknet
from edgecsp.processing import preprocess
from edgecsp.types import Array
from support.repository import REPO

ENGINES = [name for name in backends.names(with_dummies=False) if "int8" in backends.info(name).precisions]
COST = 0.010  # of AP50


@pytest.fixture(scope="module")
def files(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """The official yolov3-tiny in fp32 and in int8, its ranges from the 64 pictures and their mirror images."""
    folder = tmp_path_factory.mktemp("int8")
    weights = test_data / "weights" / "yolov3-tiny.weights"
    model = darknet.load(REPO / "tests" / "data" / "yolov3-tiny.cfg", weights, resize="stretch").model

    def batches() -> Iterator[Array]:
        for path in sorted((test_data / "data" / "coco64" / "images").glob("*.jpg")):
            image = cv2.imread(str(path))
            for each in (image, np.ascontiguousarray(image[:, ::-1])):
                yield preprocess.prepare(each, model.input)[0]

    made = {"fp32": model, "int8": precision.quantize(model, batches(), threads=1)}
    for name, each in made.items():
        onnx_model.save(each, folder / f"{name}.onnx")
    return {name: folder / f"{name}.onnx" for name in made}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_yolov3_tiny_in_int8_loses_less_than_a_hundredth(engine: str, files: Dict[str, Path], test_data: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    coco, found = accuracy.read(test_data / "data" / "coco64"), {}
    for kind, path in files.items():
        with pipeline.load(path, engine, precision=kind, plain_nms=True) as detector:
            found[kind] = accuracy.ap50(detector, coco) or 0.0
    assert found["fp32"] == pytest.approx(0.512, abs=0.002)
    assert found["int8"] > found["fp32"] - COST, found
    assert found["int8"] != found["fp32"]  # it did compute in int8


# Slices of channels; maxout and SAM; shortcuts of other widths; a classifier with groups; depthwise.
GRAPHS = ("yolov4-tiny", "csppeleenet-ref-efm-sam", "yolov3-tiny-prn", "cspresnext50", "cspdensenetb-ref-prn")


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_the_zoo_in_int8(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MIN_IMAGES", 3)
    model = zoo.model(name, RandomWeights(1), (96, 96))
    rng = np.random.default_rng(0)
    pictures = [rng.random((1, 3, 96, 96), np.float32) for _ in range(3)]
    int8, batch = precision.quantize(model, pictures, threads=1), pictures[0]
    assert importers.parse(int8.onnx) == int8
    wanted = backends.open(model, "ort", device="cpu").run(batch)
    for engine in ENGINES:
        if backends.unavailable_reason(engine):
            continue
        session = backends.open(int8, engine, precision="int8")
        for got, reference in zip(session.run(batch), wanted):
            off = float(np.abs(got - reference).mean() / np.abs(reference).max())
            assert 0 < off < 0.03, (engine, off)
        session.close()
