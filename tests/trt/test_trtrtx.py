"""NVIDIA's own parser and builder read every graph of the zoo, in fp32, fp16 and int8, driven by our own builder code.

TensorRT-RTX does this much without a GPU. EDGECSP_TRTRTX_PYTHON names an interpreter that has it (the Makefile makes
one); a plan cannot be loaded there, so nothing is computed.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import numpy as np
import onnx
import pytest

from edgecsp import zoo
from edgecsp.backends import _trt_plan, recipes
from edgecsp.graph import precision
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.precision import calibration
from edgecsp.types import Model
from support.repository import REPO, child_environment
from support.zoo_models import at_small_size, covering, distinct

pytestmark = [pytest.mark.trtrtx, pytest.mark.slow]
HW = (64, 96)
Build = Callable[..., Dict[str, Any]]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """build(model) in one process for all: its libraries are large."""
    python = os.environ.get("EDGECSP_TRTRTX_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("EDGECSP_TRTRTX_PYTHON names no interpreter with TensorRT-RTX (make .venv-trtrtx/ready)")
    folder = tmp_path_factory.mktemp("rtx")
    with subprocess.Popen(
        [python, str(REPO / "tests" / "support" / "rtx_worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as worker:
        assert json.loads(worker.stdout.readline()) == {"version": "1.7.1.116", "strongly_typed": True}

        def built(model: Model, timing: str = "", **options: Any) -> Dict[str, Any]:
            graph = folder / "graph.onnx"
            graph.write_bytes(model.onnx)
            said = {**_trt_plan.options(recipes.load("x86-cuda")), **options}
            asked = {"onnx": str(graph), "name": model.name, "options": said, "timing": timing}
            worker.stdin.write(json.dumps(asked) + "\n")
            worker.stdin.flush()
            answer: Dict[str, Any] = json.loads(worker.stdout.readline())
            return answer

        yield built
        worker.stdin.close()


@functools.lru_cache(maxsize=1)
def stages(name: str) -> List[Model]:
    """The graphs of a model, at a small size: weights and operators are the same, the tests are quicker."""
    model = zoo.model(name, RandomWeights())
    small = at_small_size(model, HW)
    return [stage for stage in (replace(small, second=None), model.second) if stage is not None]


def in_precision(stage: Model, kind: str) -> Model:
    if kind == "fp32":
        return stage
    if kind == "fp16":
        return precision.to_fp16(stage)
    batches = [np.random.default_rng(0).random(dims(stage), np.float32)]
    return precision.quantize(stage, batches, method="minmax")


LONG = {"densenet201-elastic"}  # 200 layers: a plan of it takes ten seconds, so one precision is enough
CASES = [(name, kind) for kind in ("fp32", "fp16") for name in distinct() if name not in LONG or kind == "fp32"]
CASES += [(name, "int8") for name in covering()]  # three times as long as a plan in fp32


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_zoo(name: str, kind: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MIN_IMAGES", 1)  # of what use the ranges are is not asked here
    for stage in stages(name):
        graph = in_precision(stage, kind)
        assert precision.detect_precision(graph) == kind
        done = build(graph, precision=kind)
        assert "error" not in done, done
        # A plan holds the weights in the graph's type, and kernels; int8's are many and take more than they save.
        if kind != "int8":
            bytes_each = {"fp32": 4, "fp16": 2}[kind]
            kernels = (8 << 20) + 20_000 * len(onnx.load_model_from_string(graph.onnx).graph.node)
            assert 0.9 * bytes_each * floats(stage) < done["size"] < (bytes_each + 0.6) * floats(stage) + kernels


def floats(model: Model) -> int:
    graph = onnx.load_model_from_string(model.onnx).graph
    return sum(int(np.prod(each.dims)) for each in graph.initializer)


def dims(model: Model) -> tuple:
    value = onnx.load_model_from_string(model.onnx).graph.input[0]
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def test_what_it_refuses_is_told(build: Build, tiny: Any) -> None:
    proto = onnx.load_model_from_string(tiny.model.onnx)
    proto.graph.node[0].op_type = "Wonder"
    said = build(replace(tiny.model, onnx=proto.SerializeToString()))["error"]
    assert "cannot read" in said and "Wonder" in said and "node 0" in said, said
    assert "size" in build(tiny.model)  # the next one goes on


def test_timings_and_workspace(build: Build, tiny: Any, tmp_path: Path) -> None:
    cache = tmp_path / "timings"
    assert "size" in build(tiny.model, timing=str(cache), workspace_mb=64)
    assert cache.stat().st_size > 0
    assert "size" in build(tiny.model, timing=str(cache))
    cache.write_bytes(b"\0" * 100)  # damaged: begun anew
    assert "size" in build(tiny.model, timing=str(cache))
    assert cache.read_bytes() != b"\0" * 100


def test_no_dla_on_a_pc(build: Build, tiny: Any) -> None:
    said = build(tiny.model, dla_core=0, precision="fp16")
    assert said == {"error": "the recipe needs DLA core 0, and this device has none"}
