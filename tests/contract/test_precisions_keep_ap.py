"""Engines and precisions that people are given unasked: their COCO AP against onnxruntime in fp32."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest

from edgecsp import pipeline
from edgecsp.bench import accuracy
from edgecsp.errors import EngineUnavailable
from edgecsp.importers import darknet
from edgecsp.types import Model
from edgecsp.zoo import store
from support.real_models import cfg_of

# On 64 images AP moves by as much through what is found at IoU 0.75 or is not.
NEAR = 0.002
CASES = [("ncnn", "fp32"), ("ncnn", "bf16"), ("openvino", "bf16")]
SCENES = 150

pytestmark = pytest.mark.slow
every_case = pytest.mark.parametrize(("engine", "precision"), CASES, indirect=["engine"])


def open_detector(model: Model, engine: str, precision: str) -> pipeline.Detector:
    try:
        return pipeline.load(model, engine, precision=precision, conf=0.001, max_det=1000)
    except EngineUnavailable as error:
        pytest.skip(str(error))


@lru_cache(maxsize=None)
def coco_ap(engine: str, precision: str, data: Path) -> float:
    """AP of yolov3-tiny on the 64 COCO images."""
    folder = data / "weights"
    model = darknet.load(cfg_of("yolov3-tiny", data), folder / "yolov3-tiny.weights", folder / "coco.names").model
    with open_detector(model, engine, precision) as detector:
        labelled = accuracy.read(data / "data" / "coco64", labels=model.labels)
        return accuracy.score(accuracy.predict(detector, labelled)).averages["AP"] or 0.0


@lru_cache(maxsize=1)
def scenes() -> List[Tuple[np.ndarray, accuracy.LabelledImage]]:
    from calib import TEST_SEEDS, test
    from calib.scenes import scene

    drawn = [scene(TEST_SEEDS + i, test.SIDE, natural=True) for i in range(SCENES)]
    return [(image, test.labelled(image, boxes, ids, i)) for i, (image, boxes, ids) in enumerate(drawn)]


@lru_cache(maxsize=None)
def codes_ap(engine: str, precision: str) -> float:
    """AP of the bundled model on test scenes."""
    from calib import test

    predictions = test.empty_data()
    with open_detector(store.resolve("codes"), engine, precision) as detector:
        for image, labelled in scenes():
            predictions.add(labelled, detector(image))
    return float(test.averages(predictions)["ap"])


@every_case
def test_yolov3_tiny_keeps_its_ap(engine: str, precision: str, test_data: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    wanted = coco_ap("ort", "fp32", test_data)
    assert wanted == pytest.approx(0.2545, abs=0.001)
    assert coco_ap(engine, precision, test_data) == pytest.approx(wanted, abs=NEAR)


@every_case
def test_the_bundled_model_keeps_its_ap(engine: str, precision: str) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    pytest.importorskip("zxingcpp", reason="zxing-cpp draws the codes of the scenes (extra calib)")
    wanted = codes_ap("ort", "fp32")
    assert wanted > 0.6
    assert codes_ap(engine, precision) == pytest.approx(wanted, abs=NEAR)
