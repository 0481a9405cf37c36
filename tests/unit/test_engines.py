"""What single backends promise beyond the contract: no quiet CPU behind a GPU's name, threads, no rounding unasked."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any, List

import cv2
import numpy as np
import onnx
import pytest

from edgecsp import backends, zoo
from edgecsp import types as core
from edgecsp.backends import SessionOptions, null, opencv, ort
from edgecsp.errors import BuildFailed, EngineUnavailable
from edgecsp.graph import precision
from edgecsp.graph.export import RandomWeights
from support.tiny import Tiny

GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class Onnxruntime:
    """A double of onnxruntime-gpu: offers all providers and, like the real one, leaves out those that do not load."""

    __version__ = "1.99"
    __spec__ = ModuleSpec("onnxruntime", None)

    def __init__(self, loads: List[str]) -> None:
        self.loads, self.asked = loads, {}
        self.SessionOptions = SimpleNamespace

    def get_available_providers(self) -> List[str]:
        return GPU

    def preload_dlls(self) -> None:
        print("Failed to load libcublas.so")  # the real one prints so, to stdout

    def InferenceSession(self, graph: bytes, options: Any, providers: Any, enable_fallback: int) -> Any:
        self.asked, self.fallback = dict(providers), enable_fallback
        got = [name for name, _ in providers if name in self.loads]
        return SimpleNamespace(
            get_providers=lambda: got,
            disable_fallback=lambda: None,
            get_inputs=lambda: [SimpleNamespace(name="images")],
            run=lambda outputs, feed: [feed["images"] for _ in outputs],
        )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that has one device."""
    driver = SimpleNamespace(cuInit=lambda flags: 0)
    driver.cuDeviceGetCount = lambda count: setattr(count._obj, "value", 1) or 0
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)


def with_onnxruntime(monkeypatch: pytest.MonkeyPatch, *loads: str) -> Onnxruntime:
    double = Onnxruntime(list(loads))
    monkeypatch.setitem(sys.modules, "onnxruntime", double)
    return double


def test_cuda_without_the_gpu_package_names_it(tiny: Tiny) -> None:
    if ort.OrtSession.unavailable_reason("cuda") is None:
        pytest.skip("this machine has onnxruntime-gpu and a GPU")
    with pytest.raises(EngineUnavailable, match=r"engine 'ort' .*pip install 'onnxruntime-gpu\[cuda,cudnn\]'|driver"):
        backends.open(tiny.model, "ort", device="cuda")


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_provider_that_does_not_load_is_no_quiet_cpu(
    device: str, tiny: Tiny, gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_onnxruntime(monkeypatch, "CPUExecutionProvider")
    with pytest.raises(EngineUnavailable, match=rf"asked for {device}.*got CPUExec.*libcublas.so\); type: pip"):
        ort.OrtSession(tiny.model, SessionOptions(device, 1, "fp32"))
    assert capsys.readouterr().out == "", "stdout is for data"


def test_cuda_that_loads_runs_in_plain_fp32(tiny: Tiny, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    double = with_onnxruntime(monkeypatch, *GPU)
    assert backends.unavailable_reason("ort", "cuda") is None
    session = ort.OrtSession(tiny.model, SessionOptions("cuda", 1, "fp32"))
    assert list(double.asked) == GPU[1:] and double.fallback == 0
    assert double.asked["CUDAExecutionProvider"] == {"use_tf32": "0"}
    assert len(session.run(tiny.batch)) == 2
    ort.OrtSession(tiny.model, SessionOptions("tensorrt", 1, "int8"))
    assert list(double.asked) == GPU
    assert double.asked[GPU[0]] == {"trt_fp16_enable": "False", "trt_int8_enable": "True"}


def test_the_gpu_package_on_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_onnxruntime(monkeypatch, *GPU)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert "finds no NVIDIA driver" in str(backends.unavailable_reason("ort", "cuda"))
    assert backends.unavailable_reason("ort", "cpu") is None
    driver = SimpleNamespace(cuInit=lambda flags: 100, cuDeviceGetCount=None)  # 100: CUDA_ERROR_NO_DEVICE
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert "finds no CUDA device (the driver's answer: 100" in str(backends.unavailable_reason("ort", "cuda"))


def test_a_package_that_does_not_load_is_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort.OrtSession, "info", replace(ort.OrtSession.info, requires=("broken_on_purpose",)))
    monkeypatch.setattr(backends, "missing_packages", lambda name: [])
    assert "needs broken_on_purpose, which is installed and cannot be loaded" in str(backends.unavailable_reason("ort"))


def test_openvino_keeps_to_fp32_and_to_its_threads(tiny: Tiny) -> None:
    """Where the CPU has bf16 it would take that unasked; the heads then differ by a hundredth."""
    if backends.missing_packages("openvino"):
        pytest.skip("openvino is not installed")
    session: Any = backends.open(tiny.model, "openvino", threads=1)
    compiled = session._compiled[False]._free.queue[0][0].get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    session.close()


def test_openvino_in_bf16_where_the_cpu_has_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    ov = pytest.importorskip("openvino", reason="openvino is not installed")
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        session = backends.open(tiny.model, "openvino", precision="bf16")
        off = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(session.run(tiny.batch), tiny.heads)]
        assert 1e-4 < max(off) < 0.05, "rounded, and not by more than bf16 rounds"
        session.close()
    monkeypatch.setattr(ov.Core, "get_property", lambda self, device, name: ["FP32", "INT8"])
    with pytest.raises(
        EngineUnavailable, match=r"computes in bf16 on a CPU with AVX-512 BF16 or AMX.*--precision fp32"
    ):
        backends.open(tiny.model, "openvino", precision="bf16")


def test_opencv_sets_its_threads_and_gives_them_back(tiny: Tiny) -> None:
    before = cv2.getNumThreads()
    one, two = (backends.open(tiny.model, "opencv", threads=n) for n in (1, 2))
    one.run(tiny.batch)
    assert cv2.getNumThreads() == 1
    two.run(tiny.batch)
    assert cv2.getNumThreads() == 2
    two.close()
    one.close()
    one.close()
    assert cv2.getNumThreads() == before


def test_opencv_says_why_and_says_it_once(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    proto = onnx.load_model_from_string(tiny.model.onnx)
    proto.graph.node[0].op_type = "Abacus"
    with pytest.raises(BuildFailed, match=r"OpenCV \d.* cannot build tiny: .*"):
        opencv.OpenCvSession(replace(tiny.model, onnx=proto.SerializeToString()), SessionOptions("cpu", 1, "fp32"))
    assert capfd.readouterr().err == ""


def test_a_sum_of_two_sizes_is_written_out_and_stays_the_same() -> None:
    first = zoo.model("snet49-thundernet", RandomWeights())
    wide = opencv._expand_sums(first.onnx)
    assert [n.op_type for n in onnx.load_model_from_string(wide).graph.node].count("Expand") == 1
    onnx.checker.check_model(wide, full_check=True)
    batch = np.random.default_rng(0).random((1, 3, *first.input.hw), np.float32)
    outputs = [
        ort.OrtSession(replace(first, onnx=data), SessionOptions("cpu", 2, "fp32")).run(batch)
        for data in (first.onnx, wide)
    ]
    assert all(np.abs(a - b).max() <= 1e-6 * np.abs(b).max() for a, b in zip(*outputs))


# -- other precisions ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def int8(tiny: Tiny) -> core.Model:
    """The tiny net in int8, its ranges from noise like the batch it is tried on."""
    noise = np.random.default_rng(5)
    return precision.quantize(
        tiny.model, (noise.random((1, 3, 64, 64), np.float32) for _ in range(precision.MIN_IMAGES))
    )


@pytest.mark.parametrize("engine", ["openvino", "ort"])
def test_int8_runs_as_such_and_is_near(engine: str, tiny: Tiny, int8: core.Model) -> None:
    if backends.unavailable_reason(engine):
        pytest.skip(f"engine {engine} {backends.unavailable_reason(engine)}")
    session: Any = backends.open(int8, engine)
    off = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(session.run(tiny.batch), tiny.heads)]
    assert 1e-4 < max(off) < 0.1, "rounded, and not by more than int8 rounds"
    if engine == "openvino":
        compiled = session._compiled[False]._free.queue[0][0].get_compiled_model()
        ops = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
        said = [(str(op["layerType"].value), str(op["runtimePrecision"].value)) for op in ops]
        kinds = [kind for layer, kind in said if layer == "Convolution"]
        assert sum(kind in ("u8", "i8") for kind in kinds) >= len(kinds) - 2, said  # the heads' are kept in float
    session.close()


def test_fp16_of_a_float_graph(tiny: Tiny) -> None:
    session = backends.open(tiny.model, "ort", precision="fp16")
    off = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(session.run(tiny.batch), tiny.heads)]
    assert 1e-6 < max(off) < 0.01
    session.close()


# -- null ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov4-csp", "csppeleenet"])
def test_null_finds_nothing_at_any_threshold(name: str) -> None:
    from edgecsp.processing import decode

    model = zoo.model(name, RandomWeights())
    outputs = null.NullSession(model, SessionOptions("cpu", 1, "fp32")).run(
        np.zeros((1, 3, *model.input.hw), np.float32)
    )
    if model.task == "classify":
        assert not np.any(outputs[0]) and outputs[0].shape[1] == 1000
    else:
        assert len(decode.boxes(model.heads, outputs, model.input.hw, 0.001).scores) == 0
