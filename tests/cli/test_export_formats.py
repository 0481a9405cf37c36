"""`edgecsp export` in other programs' formats: read back by them, the heads are those of the model."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import pytest

from edgecsp import backends, importers
from edgecsp.backends import registry
from edgecsp.errors import BadModel, UnknownName, UsageError
from edgecsp.importers import darknet
from edgecsp.types import Array, Model
from edgecsp.zoo import store
from support.commands import edgecsp, invoke


@pytest.fixture(scope="module")
def codes() -> Model:
    return store.resolve("codes")


@pytest.fixture(scope="module")
def image(codes: Model) -> Array:
    return np.random.default_rng(0).random((1, 3, *codes.input.hw), dtype=np.float32)


def heads(model: Model, image: Array) -> List[Array]:
    session = backends.open(model, backends.REFERENCE, device="cpu")
    try:
        return session.run(image)
    finally:
        session.close()


def check(results: List[Array], expected: List[Array], tolerance: float = 1e-4) -> None:
    assert len(results) == len(expected)
    for result, reference in zip(results, expected):
        assert np.abs(result.reshape(reference.shape) - reference).max() < tolerance * np.abs(reference).max()


def test_onnx_and_darknet(codes: Model, image: Array, tmp_path: Path) -> None:
    for format in ("onnx", "darknet"):
        edgecsp("export", "codes", "--format", format, "--out", tmp_path, code=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "codes.cfg", "codes.names", "codes.onnx", "codes.weights",
    ]  # fmt: skip
    assert importers.load(tmp_path / "codes.onnx") == codes
    back = darknet.load(tmp_path / "codes.cfg", tmp_path / "codes.weights", tmp_path / "codes.names").model
    assert back.labels == codes.labels
    check(heads(back, image), heads(codes, image))


@pytest.mark.parametrize("name", ["yolov4-tiny", "yolov3-tiny", "csppeleenet-ref-prn"])
def test_darknet_of_other_networks(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose weights went through the ONNX graph, as those of a pulled model did."""
    invoke(capsys, "export", name, "-f", "darknet", "-o", str(tmp_path), "--weights", "random", "--imgsz", "64")
    model = store.resolve(name, "random", hw=(64, 64))
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    check(heads(darknet.load(tmp_path / f"{name}.cfg", tmp_path / f"{name}.weights").model, image), heads(model, image))


def test_openvino(codes: Model, image: Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (edgecsp[openvino])")
    invoke(capsys, "export", "codes", "--format", "openvino", "--out", str(tmp_path))
    compiled = openvino.Core().compile_model(str(tmp_path / "codes.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(image)
    check([results[head.name] for head in codes.heads], heads(codes, image))


def test_formats_of_one_model_may_share_a_folder(codes: Model) -> None:
    engines = [name for name in backends.names() if registry.find(name).writes_files]
    here = [name for name in engines if backends.unavailable_reason(name, "cpu") is None]
    suffixes = [suffix for name in here for suffix in registry.find(name).to_files(codes)]
    assert len(set(suffixes)) == len(suffixes), suffixes


def test_ncnn(codes: Model, image: Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ncnn = pytest.importorskip("ncnn", reason="ncnn is not installed (edgecsp[ncnn])")
    invoke(capsys, "export", "codes", "--format", "ncnn", "--out", str(tmp_path))
    net = ncnn.Net()
    net.opt.use_fp16_arithmetic = net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
    assert net.load_param(str(tmp_path / "codes.ncnn.param")) == net.load_model(str(tmp_path / "codes.ncnn.bin")) == 0
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(image[0])))
    results = [np.array(extractor.extract(name)[1]) for name in net.output_names()]
    expected = heads(codes, image)
    sizes = {result.size: result for result in results}
    check([sizes[reference.size] for reference in expected], expected, 1e-3)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ("codes --format tflite", UnknownName, "no format is called 'tflite'"),
        ("peleenet --format darknet --weights random", BadModel, "peleenet cannot be written for darknet: layer"),
        ("snet49-thundernet --format openvino --weights random", BadModel, "two-stage"),
        ("codes --format onnx --plan x.plan", UsageError, "are for --format triton"),
        ("codes --format onnx --model-name a/b", UsageError, "--model-name 'a/b'"),
    ],
)
def test_what_cannot_be_is_refused_and_writes_nothing(
    words: str, error: type, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=text):
        invoke(capsys, "export", *words.split(), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_darknet_of_a_file_says_what_it_takes(codes: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.onnx").write_bytes(codes.onnx)
    with pytest.raises(UsageError, match="give a name of edgecsp models list"):
        invoke(capsys, "export", str(tmp_path / "own.onnx"), "--format", "darknet", "--out", str(tmp_path / "out"))
