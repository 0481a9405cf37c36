"""OpenVINO on an Intel GPU or NPU, as far as it goes without one.

What it sees is given to it, and what it is asked for is recorded; the graphs are computed by its CPU plugin.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.errors import EngineUnavailable
from edgecsp.graph import precision
from edgecsp.testing import ContractSample, make_sample
from edgecsp.types import Array
from edgecsp.zoo import store
from support.repository import REPO

openvino = pytest.importorskip("openvino", reason="openvino is not installed")

Call = Tuple[str, str, Dict[str, Any]]
CAPABLE = {"GPU": ["FP32", "BIN", "FP16", "INT8", "EXPORT_IMPORT"], "NPU": ["FP16", "INT8", "EXPORT_IMPORT"]}


@pytest.fixture(scope="module")
def sample() -> ContractSample:
    return make_sample()


def give(monkeypatch: pytest.MonkeyPatch, *seen: str) -> List[Call]:
    """Let OpenVINO see such devices, and compute for them on the CPU; returns the calls that it gets."""
    calls: List[Call] = []

    class RecordingCore(openvino.Core):  # type: ignore[misc]
        @property
        def available_devices(self) -> List[str]:
            return list(seen)

        def get_property(self, device: str, name: str) -> Any:
            if device in CAPABLE and name == "OPTIMIZATION_CAPABILITIES":
                return CAPABLE[device]
            return f"a {device}" if name == "FULL_DEVICE_NAME" else super().get_property("CPU", name)

        def compile_model(self, model: Any, device: str, config: Dict[str, Any]) -> Any:
            calls.append(("compile", device, config))
            return super().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def import_model(self, plan: bytes, device: str, config: Dict[str, Any]) -> Any:
            calls.append(("import", device, config))
            return super().import_model(plan, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(openvino, "Core", RecordingCore)
    return calls


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_is_not_there(device: str, sample: ContractSample, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "CPU", "GNA")
    version = openvino.__version__.split("-")[0]
    sentence = f"finds no such device of Intel's: OpenVINO {version} sees CPU, GNA; install its driver"
    assert (backends.unavailable_reason("openvino", device) or "").startswith(sentence)
    with pytest.raises(EngineUnavailable, match=re.escape(f"engine 'openvino' {sentence}")):
        backends.open(sample.model, "openvino", device=device)
    with pytest.raises(EngineUnavailable, match=f"no installed engine runs on device '{device}'(.|\n)*openvino finds"):
        backends.choose(device=device)
    assert backends.unavailable_reason("openvino") is None


@pytest.mark.parametrize("seen", ["GPU", "GPU.0"])
def test_a_device_that_is_there_is_chosen_for_its_name(seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "CPU", seen, "GPU.1")
    assert backends.choose(device="gpu")[:2] == ("openvino", "gpu")
    assert backends.choose()[1] == "cpu", "a GPU is used when it is asked for"
    assert backends.native_precision("openvino", "gpu") == "fp16"


@pytest.mark.parametrize(("kind", "hint"), [("fp32", "f32"), ("fp16", "f16")])
def test_what_a_gpu_is_asked_for(
    kind: str, hint: str, sample: ContractSample, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    calls = give(monkeypatch, "CPU", "GPU")
    for _ in range(2):
        session = backends.open(sample.model, "openvino", device="gpu", precision=kind, concurrency=2)
        assert session.concurrency == 1
        close(session.run(sample.batch), sample.heads)
        session.close()
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    assert calls == [("compile", "GPU", config), ("import", "GPU", config)], "built once, kept as a plan"


def test_an_npu_computes_in_fp16_and_says_so(sample: ContractSample, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = give(monkeypatch, "CPU", "NPU")
    with pytest.raises(EngineUnavailable, match=r"computes in fp16, int8 on this NPU; fp32 was .*--precision fp16"):
        backends.open(sample.model, "openvino", device="npu", precision="fp32")
    with pytest.raises(EngineUnavailable, match="computes in fp32, fp16, int8; sample was requested in bf16"):
        backends.open(sample.model, "openvino", device="npu", precision="bf16")
    assert not calls
    backends.open(sample.model, "openvino", device="npu", precision="fp16").close()
    assert [device for _, device, _ in calls] == ["NPU"]


def test_a_gpu_gets_the_int8_graph_and_an_images_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    codes = store.resolve("codes")
    int8 = precision.with_ranges(codes, precision.load(REPO / "calib" / "codes.json"))
    image = np.random.default_rng(0).integers(0, 256, (1, 320, 320, 3), np.uint8)
    planes = image.transpose(0, 3, 1, 2) * np.float32(codes.input.scale)
    wanted = backends.open(codes, "ort").run(planes)
    calls = give(monkeypatch, "CPU", "GPU")
    session = backends.open(int8, "openvino", device="gpu", accepts_uint8=True)
    assert session.accepts_uint8 and calls[0][1:] == (
        "GPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f16"}
    )  # fmt: skip
    for got, planar, head in zip(session.run(image), session.run(planes), wanted):
        np.testing.assert_array_equal(got, planar)
        assert np.abs(got - head).mean() < 0.03 * np.abs(head).max()


def close(got: List[Array], wanted: Tuple[Array, ...]) -> None:
    for out, head in zip(got, wanted):
        assert np.abs(out - head).max() <= 1e-3 * np.abs(head).max()
