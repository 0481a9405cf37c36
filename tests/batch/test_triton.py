"""The Triton repository: Triton's own schema reads config.pbtxt, and its tensors are those of the ONNX file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecsp import importers
from edgecsp.errors import BadModel, UsageError
from edgecsp.graph import onnx_model
from edgecsp.serve import triton
from edgecsp.types import Model
from edgecsp.zoo import store
from support.repository import REPO
from support.tiny import Tiny


def read(path: Path) -> Any:
    """config.pbtxt as Triton's protobuf has it; a field it does not know is an error."""
    pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def check(config: Any, model: Model) -> None:
    """Names, types and whole shapes are the graph's."""
    graph = onnx_model.parse_graph(model).graph
    inputs = [value for value in graph.input if value.name not in {const.name for const in graph.initializer}]
    for said, values in ((config.input, inputs), (config.output, graph.output)):
        assert [tensor.name for tensor in said] == [value.name for value in values]
        for tensor, value in zip(said, values):
            assert list(tensor.dims) == [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            assert tensor.data_type == 11  # TYPE_FP32, as model_config.proto numbers it
    assert config.max_batch_size == 0
    assert [tensor.name for tensor in config.output] == [head.name for head in model.heads]


def test_a_detector(tiny: Tiny, tmp_path: Path) -> None:
    paths = triton.save(tiny.model, tmp_path, instances=2)
    folder = tmp_path / triton.repository_name(tiny.model)
    assert sorted(paths) == sorted([folder / "1" / "model.onnx", folder / "labels.txt", folder / "config.pbtxt"])
    config = read(folder / "config.pbtxt")
    check(config, tiny.model)
    assert (config.name, config.platform) == (folder.name, "onnxruntime_onnx")
    assert config.instance_group[0].count == 2
    assert importers.load(folder / "1" / "model.onnx") == tiny.model
    assert (folder / "labels.txt").read_text().splitlines() == list(tiny.model.labels)


@pytest.mark.parametrize("name", ["codes", "cspdensenetb-ref", "yolov4-tiny"])
def test_models_of_the_zoo(name: str, tmp_path: Path) -> None:
    model = store.resolve(name) if name == "codes" else store.resolve(name, "random")
    triton.save(model, tmp_path)
    config = read(tmp_path / triton.repository_name(model) / "config.pbtxt")
    check(config, model)
    classifies = model.task == "classify"
    assert [tensor.label_filename for tensor in config.output] == ["labels.txt" * classifies] * len(model.heads)
    assert config.parameters["edgecsp.task"].string_value == model.task


def test_a_plan(tiny: Tiny, tmp_path: Path) -> None:
    plan = tmp_path / "x.plan"
    plan.write_bytes(b"plan" * 100)
    triton.save(tiny.model, tmp_path / "repository", name="on-the-gpu", plan=plan)
    folder = tmp_path / "repository" / "on-the-gpu"
    config = read(folder / "config.pbtxt")
    check(config, tiny.model)
    assert (config.platform, config.instance_group[0].kind) == ("tensorrt_plan", 1)  # KIND_GPU
    assert (folder / "1" / "model.plan").read_bytes() == plan.read_bytes()
    onnx = tmp_path / "x.onnx"
    onnx_model.save(tiny.model, onnx)
    with pytest.raises(BadModel, match="is an ONNX file"):
        triton.save(tiny.model, tmp_path, plan=onnx)


def test_what_triton_cannot_serve(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="two-stage detector"):
        triton.save(store.resolve("snet49-thundernet", "random"), tmp_path)
    with pytest.raises(UsageError, match="letters, digits"):
        triton.save(tiny.model, tmp_path, name="../up")
    with pytest.raises(UsageError, match="instances 0"):
        triton.save(tiny.model, tmp_path, instances=0)
    assert not list(tmp_path.iterdir())


def test_the_command(tiny: Tiny, tmp_path: Path) -> None:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    words = [sys.executable, "-m", "edgecsp", "export", str(tmp_path / "tiny.onnx"), "--out", str(tmp_path / "models")]
    done = subprocess.run([*words, "--format", "triton"], capture_output=True, text=True, timeout=120, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert "config.pbtxt" in done.stdout and "tritonserver --model-repository=" in done.stderr
    wrong = subprocess.run([*words, "--format", "tritn"], capture_output=True, text=True, timeout=120, cwd=REPO)
    assert (wrong.returncode, "Did you mean 'triton'" in wrong.stderr) == (2, True), wrong.stderr
