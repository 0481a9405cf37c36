"""The small detectors with public weights, on the one file of them that is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgecsp import backends, zoo
from edgecsp.graph.labels import VOC
from edgecsp.importers import darknet
from edgecsp.importers.darknet.weights import WeightsFile
from edgecsp.zoo import store

XL = "yolo-fastest-1.1-xl"
SMALL = [name for name in zoo.names() if "raw.githubusercontent.com" in getattr(zoo.get(name).weights, "url", "")]


def file_of(data: Path, suffix: str) -> Path:
    path = data / "weights" / f"{XL}{suffix}"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def test_the_published_file_is_the_one_that_the_record_names(test_data: Path) -> None:
    path, weights = file_of(test_data, ".weights"), zoo.get(XL).weights
    assert weights is not None and weights.digest == ("sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert weights.size == path.stat().st_size


def test_it_gives_the_heads_of_its_authors_cfg(test_data: Path) -> None:
    path = file_of(test_data, ".weights")
    own = zoo.model(XL, WeightsFile(path, zoo.net(XL)))
    imported = darknet.load(file_of(test_data, ".cfg"), path, test_data / "weights" / "coco.names").model
    assert own.heads == imported.heads and own.labels == imported.labels
    assert (own.nms_beta, own.input.hw) == (imported.nms_beta, imported.input.hw)
    batch = np.random.default_rng(0).random((1, 3, 320, 320), np.float32)
    for a, b in zip(*(backends.open(model, "ort").run(batch) for model in (own, imported))):
        np.testing.assert_array_equal(a, b)


def test_pulling_it_from_a_file_checks_the_digest(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    record = store.pull(XL, source=file_of(test_data, ".weights"))
    assert (record.weights, record.check) == ("public", "sha256 as published")
    assert "public domain" in record.licence and store.load(XL).labels[0] == "person"


@pytest.mark.parametrize("name", SMALL)
def test_a_url_names_the_commit_so_that_its_file_cannot_change(name: str) -> None:
    weights = zoo.get(name).weights
    assert weights is not None
    commit = weights.url.split("/")[5]
    assert len(commit) == 40 and int(commit, 16)
    assert weights.is_pinned == (name == XL), "a digest is stated where the file was at hand, and only there"


def test_what_they_detect() -> None:
    assert len(SMALL) == 8 and len(VOC) == 20
    labels = {name: zoo.get(name).labels for name in SMALL}
    assert {name for name, own in labels.items() if not own} == {
        "yolo-fastest-1.1", XL, "yolo-fastest-1.0-xl", "mobilenetv2-yolov3-nano",
    }  # fmt: skip
    assert labels["yolo-fastest-1.1-body"] == ("body",) and labels["yoloface-50k"] == labels["yoloface-500k-v2"] == (
        "face",
    )
    assert labels["mobilenetv2-yolov3-nano-voc"] == VOC
