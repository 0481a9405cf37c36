"""One body over all engines: every graph of the zoo, and real weights on real pictures, against onnxruntime in fp32."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import cv2
import numpy as np
import pytest

from edgecsp import backends, pipeline, zoo
from edgecsp.graph.export import RandomWeights
from edgecsp.importers import darknet
from edgecsp.options import Thresholds
from edgecsp.types import Array, Detections, Model
from support import oracle
from support.coco import ap50
from support.real_models import cfg_of
from support.repository import REPO, child_environment
from support.zoo_models import at_small_size, distinct

ENGINES = [name for name in backends.names() if name != "ort" and not backends.info(name).is_dummy]
OF_SCALE = 1e-3
CLASSES = 80


every_engine = pytest.mark.parametrize("engine", ENGINES, indirect=True)

# -- every graph of the zoo ----------------------------------------------------------------------------------


class Weights(RandomWeights):
    """He's rule from one block of numbers, over and over: ten times as fast to make for the largest.

    Logits that a graph takes the sigmoid of itself are kept near 0. YOLOv4-CSP's, of random weights, are in the ten
    thousands: its heads are then steps, on which a rounding shows as a whole one.
    """

    block = np.random.default_rng(0).standard_normal(1_000_003, np.float32)

    def __init__(self, calm: bool) -> None:
        super().__init__()
        self._calm = calm

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> Array:
        if part != "weights":
            return super().take(part, shape, at)
        head = self._calm and shape[0] == 3 * (5 + CLASSES)
        return np.resize(self.block, shape) * np.float32(np.sqrt(2 / np.prod(shape[1:])) * (1e-4 if head else 1))


@lru_cache(maxsize=1)
def stages(name: str) -> List[Tuple[Model, Array, List[Array]]]:
    """A model's graphs at a small size, each with a batch and the heads that onnxruntime gives for it."""
    entry = zoo.get(name)
    made = zoo.model(name, Weights(calm=name == "yolov4-csp"))
    small = at_small_size(made, (96, 64))
    found = []
    for graph in filter(None, (replace(small, second=None), made.second)):
        rows = entry.rois if graph is made.second else 1
        batch = np.random.default_rng(1).random((rows, graph.input.channels, *graph.input.hw), np.float32)
        session = backends.open(graph, "ort")
        found.append((graph, batch, session.run(batch)))
        session.close()
    return found


def by_weight(name: str) -> object:
    """The largest take seconds to make."""
    return pytest.param(name, marks=pytest.mark.slow) if zoo.net(name).floats > 1.5e7 else name


@every_engine
@pytest.mark.parametrize("name", [by_weight(name) for name in distinct()])
def test_same_heads_on_every_graph_of_the_zoo(name: str, engine: str) -> None:
    for graph, batch, wanted in stages(name):
        session = backends.open(graph, engine, precision="fp32")
        outputs = session.run(batch)
        assert [out.shape for out in outputs] == [head.shape for head in wanted]
        for out, head in zip(outputs, wanted):
            assert head.std() > 1e-3, "a head that says nothing proves nothing"
            assert np.abs(out - head).max() <= OF_SCALE * np.abs(head).max()
        session.run(np.zeros_like(batch))
        assert all((a == b).all() for a, b in zip(session.run(batch), outputs)), "the same again after another"
        session.close()


FOR_OPENCV4 = ("yolov3-tiny", "csppeleenet-ref-efm-sam", "cspdensenetb-ref", "peleenet-prn", "snet49-thundernet")


def test_opencv_4_gives_the_same_heads(tmp_path: Path) -> None:
    """The suite runs on OpenCV 5; version 4 is what a Jetson has."""
    python = os.environ.get("EDGECSP_OPENCV4_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("EDGECSP_OPENCV4_PYTHON names no interpreter with OpenCV 4")
    wanted = 0
    for name in FOR_OPENCV4:
        for i, (graph, batch, heads) in enumerate(stages(name)):
            (tmp_path / f"{name}-{i}.onnx").write_bytes(graph.onnx)
            named = {head.name: array for head, array in zip(graph.heads, heads)}
            np.savez(tmp_path / f"{name}-{i}.npz", the_batch=batch, **named)
            wanted += 1
    child = REPO / "tests" / "support" / "opencv4_session.py"
    env = child_environment()
    done = subprocess.run([python, str(child), str(tmp_path)], capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    differences = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(differences) == wanted == 6
    assert max(differences) <= OF_SCALE


# -- real weights on real pictures ---------------------------------------------------------------------------

REAL = ("yolov3-tiny", "yolo-fastest-1.1-xl")
Found = Dict[str, Detections]


@lru_cache(maxsize=None)
def found(name: str, engine: str, data: Path) -> Found:
    """What a model finds in the 64 pictures on an engine, down to a score of 0.001."""
    cfg = cfg_of(name, data)
    model = darknet.load(cfg, data / "weights" / f"{name}.weights", data / "weights" / "coco.names").model
    settings = Thresholds(conf=0.001, iou=0.45, max_det=1000)
    with pipeline.Detector(model, backends.open(model, engine, precision="fp32"), settings) as detector:
        pictures = sorted((data / "data" / "coco64" / "images").glob("*.jpg"))
        return {path.name: detector(cv2.imread(str(path))) for path in pictures}


def shown(rows: Detections) -> Iterator[Tuple[int, float, List[float]]]:
    """Class, score and box of what a user sees at the default threshold: suppression goes from the best down."""
    for row in rows:
        if row.score > 0.25:
            yield row.class_id, row.score, list(row.xyxy)


@every_engine
@pytest.mark.parametrize("name", REAL)
def test_same_boxes_on_real_pictures(name: str, engine: str, test_data: Path) -> None:
    wanted, got = found(name, "ort", test_data), found(name, engine, test_data)
    compared = 0
    for picture, rows in wanted.items():
        others = list(shown(got[picture]))
        for class_id, score, box in shown(rows):
            same = [k for k in others if k[0] == class_id and oracle.overlap(k[2], box) >= 0.99]
            assert any(abs(k[1] - score) <= 0.005 for k in same), (picture, class_id, score, box)
            compared += 1
        assert len(others) == len(list(shown(rows))), f"{picture}: boxes that onnxruntime has not"
    assert compared > {"yolov3-tiny": 150, "yolo-fastest-1.1-xl": 300}[name]


@every_engine
@pytest.mark.slow
@pytest.mark.parametrize(("name", "known"), [*zip(REAL, (0.5154, 0.5513))])
def test_same_ap50(name: str, known: float, engine: str, test_data: Path) -> None:
    wanted = ap50(found(name, "ort", test_data), test_data)
    assert wanted == pytest.approx(known, abs=0.002)
    assert ap50(found(name, engine, test_data), test_data) == pytest.approx(wanted, abs=0.002)
