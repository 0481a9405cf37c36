"""The adapter's whole flow on doubles that have each real version's names: what is done, in which order, and freed.

The doubles compute with onnxruntime, so the heads are held against the oracle's: a buffer that is copied too early, or
to the wrong place, gives other numbers.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from edgecsp import backends
from edgecsp.backends import SessionOptions, _trt_chip, _trt_plan, recipes, trt
from edgecsp.cache import plans
from edgecsp.errors import BuildFailed, EngineUnavailable, IntegrityError, UsageError
from edgecsp.graph import onnx_model, precision
from support import stage
from support.tiny import Tiny

VERSIONS = ["8.2", "8.6.1", "10.3.0", "11.4.0.106"]  # 10.16 has the names that 10.3 has (test_names.py)
play = stage.play


def assert_close(got: list, wanted: tuple) -> None:
    assert [out.shape for out in got] == [out.shape for out in wanted]
    for a, b in zip(got, wanted):
        assert a.dtype == np.float32 and np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


@pytest.mark.parametrize("version", VERSIONS)
def test_from_graph_to_heads_and_back_to_nothing(version: str, play, tiny: Tiny) -> None:
    played = play(version)
    session = backends.open(tiny.model, "trt")
    built = played.steps()
    assert_close(session.run(tiny.batch), tiny.heads)
    first = session.run(tiny.batch)
    session.run(np.zeros_like(tiny.batch))
    assert_close(first, tiny.heads)
    wide = np.zeros((1, 3, 64, 80), np.float32)
    wide[..., 8:72] = tiny.batch
    assert_close(session.run(wide[..., 8:72]), tiny.heads)
    assert len(played.left()) > 4  # it does hold something
    run = played.steps()
    session.close()
    assert played.left() == []
    closed = played.steps()
    with pytest.raises(Exception, match=r"."):
        session.run(tiny.batch)
    session.close()

    flags = "create_network 0" if version.startswith("11") else "create_network 1"
    order = ["make_context", "Builder", flags, "parse", "build_serialized_network", "detach", "make_context"]
    order += ["Runtime", "deserialize_cuda_engine", "create_execution_context", "Stream", "pagelocked_empty"]
    assert [step for step in built if step in order][: len(order)] == order
    execute = "execute_async_v2" if version == "8.2" else "execute_async_v3"
    out = ["memcpy_dtoh_async"] * len(tiny.heads)
    assert run == ["memcpy_htod_async", execute, *out, "synchronize"] * 4
    assert closed[:2] == ["execution context freed", "engine freed"] and closed[-1] == "detach"
    assert closed.count("free") == closed.count("free pinned") == 1 + len(tiny.heads)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_is_built_once(version: str, play, tiny: Tiny) -> None:
    played = play(version)
    backends.open(tiny.model, "trt").close()
    assert played.steps().count("Builder") == 1
    backends.open(tiny.model, "trt").close()
    other = backends.open(onnx_model.reshape(tiny.model, hw=(32, 32)), "trt")
    assert played.steps().count("Builder") == 1
    session = backends.open(tiny.model, "trt")
    assert_close(session.run(tiny.batch), tiny.heads)
    other.close()
    assert_close(session.run(tiny.batch), tiny.heads)
    session.close()
    assert played.left() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_workspace_and_precision(version: str, play, tiny: Tiny) -> None:
    played = play(version)
    backends.open(tiny.model, "trt").close()
    steps = played.steps()
    size = 2048 << 20
    if version == "8.2":
        assert f"config.max_workspace_size = {size}" in steps
    else:
        assert f"set_memory_pool_limit MemoryPoolType.WORKSPACE {size}" in steps
    assert "clear_flag BuilderFlag.TF32" in steps  # fp32 is float32
    assert not any(step.startswith("set_flag") for step in steps)
    backends.open(tiny.model, "trt", precision="fp16").close()
    flags = [step for step in played.steps() if step.startswith("set_flag")]
    graph = kept_graph(plans.list_facts("trt")[0])
    if version.startswith("11"):  # strongly typed: the graph itself is in float16
        assert flags == [] and graph == "fp16"
    else:
        assert flags == ["set_flag BuilderFlag.FP16"] and graph == "fp32"


def kept_graph(facts: dict) -> str:
    data = plans.path(facts).read_bytes().split(b"\n", 2)[2]
    assert facts["options"]["precision"] == "fp16"
    types = {each.data_type for each in onnx.load_model_from_string(data).graph.initializer}
    return "fp16" if onnx.TensorProto.FLOAT16 in types else "fp32"


def quantized(tiny: Tiny):
    """The tiny model with a pair of QuantizeLinear and DequantizeLinear at its input."""
    proto = onnx.load_model_from_string(tiny.model.onnx)
    graph = proto.graph
    name = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["dequantized" if each == name else each for each in node.input]
    graph.initializer.extend(
        [onnx.helper.make_tensor("scale", 1, [], [1 / 127]), onnx.helper.make_tensor("zero", 3, [], [0])]
    )
    graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", [name, "scale", "zero"], ["quantized"]))
    graph.node.insert(1, onnx.helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["dequantized"]))
    return replace(tiny.model, onnx=proto.SerializeToString())


@pytest.mark.parametrize("version", VERSIONS)
def test_int8_is_what_the_graph_carries(version: str, play, tiny: Tiny) -> None:
    played = play(version)
    model = quantized(tiny)
    assert precision.detect_precision(model) == "int8"
    session = backends.open(model, "trt")
    flags = [step for step in played.steps() if step.startswith("set_flag")]
    # The layers that the graph keeps in float may be computed in fp16; a strongly typed network has no such choice.
    strict = "STRICT_TYPES" if version == "8.2" else "PREFER_PRECISION_CONSTRAINTS"
    both = [f"set_flag BuilderFlag.{flag}" for flag in ("INT8", "FP16", strict)]
    assert flags == ([] if version.startswith("11") else both)
    assert np.abs(session.run(tiny.batch)[0] - tiny.heads[0]).max() < 0.1 * np.abs(tiny.heads[0]).max()
    session.close()
    with pytest.raises(UsageError, match="edgecsp quantize"):
        backends.open(tiny.model, "trt", precision="int8")


@pytest.mark.parametrize("version", ["8.2", "10.3.0", "11.4.0.106"])
@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("parse", r"cannot read .*tiny.* \(node 7: No importer registered for op: Wonder\)"),
        ("build", r"cannot build .*tiny.*TensorRT says: Could not find any implementation for node conv_3\."),
        ("deserialize", r"cannot load .*\.plan; delete it.*says: The engine plan file is not compatible"),
        ("context", r"no execution context\. TensorRT says: out of memory"),
        ("dtype", r"has other tensors than the model"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_is_left(version: str, fails: str, said: str, play, tiny: Tiny) -> None:
    played = play(version, fails=fails)
    with pytest.raises(BuildFailed, match=said) as caught:
        backends.open(tiny.model, "trt")
    assert "a warning" not in str(caught.value)
    del caught
    assert played.left() == []
    assert played.steps()[-1] == "detach"
    if fails in ("parse", "build"):
        assert not list(plans.folder().glob("*.plan"))


@pytest.mark.parametrize("version", ["8.2", "10.3.0"])
def test_a_run_that_fails(version: str, play, tiny: Tiny) -> None:
    played = play(version, fails="run")
    session = backends.open(tiny.model, "trt")
    with pytest.raises(BuildFailed, match=r"failed while it ran.*says: an illegal memory access was encountered"):
        session.run(tiny.batch)
    session.close()
    assert played.left() == []


def test_memory_that_runs_out_half_way_is_given_back(play, tiny: Tiny) -> None:
    played = play("10.3.0", fails="memory")
    with pytest.raises(MemoryError):
        backends.open(tiny.model, "trt")
    assert played.left() == []


def test_a_batch_of_another_shape(play, tiny: Tiny) -> None:
    play("10.3.0")
    pair = backends.open(onnx_model.reshape(tiny.model, batch=2), "trt")
    with pytest.raises(UsageError, match=r"was built for an input of \(2, 3, 64, 64\); \(1, 3, 64, 64\) was given"):
        pair.run(tiny.batch)
    both = pair.run(np.concatenate((tiny.batch, tiny.batch)))
    assert_close([out[1:] for out in both], tiny.heads)
    pair.close()


def test_the_kernel_kills_the_builder(play, tiny: Tiny) -> None:
    played = play("10.3.0", fails="kill")
    with pytest.raises(
        BuildFailed, match=r"building the TensorRT plan of .*tiny.* was killed \(signal 9\).*--workspace"
    ):
        backends.open(tiny.model, "trt")
    assert "Builder" in played.steps()
    assert not list(plans.folder().glob("*.plan"))


def test_a_build_for_which_there_is_no_memory_is_not_begun(play, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecsp.system import memory

    played = play("8.2", chip="6.2")
    monkeypatch.setattr(memory, "free", lambda: memory.Memory(300 << 20, 100 << 20))
    with pytest.raises(
        BuildFailed, match=r"jetson-tx2 needs \d+ MB at least, 512 MB of it as workspace, and 300 MB of"
    ):
        backends.open(tiny.model, "trt")
    assert "Builder" not in played.steps()
    play("10.3.0")  # a card with memory of its own: the workspace is not the host's
    backends.open(tiny.model, "trt").close()


def test_the_tx2_has_no_int8(play, tiny: Tiny) -> None:
    play("8.2", chip="6.2")
    with pytest.raises(EngineUnavailable, match=r"Rehearsal GPU \(compute capability 6\.2\) has no int8 arithmetic"):
        backends.open(quantized(tiny), "trt")
    with pytest.raises(EngineUnavailable, match=r"NVIDIA Jetson TX2 \(compute capability 6\.2\) has no int8"):
        _trt_plan.check(quantized(tiny), replace(recipes.load("jetson-tx2"), precision="int8"))


def test_a_recipe_for_another_board(play, tiny: Tiny) -> None:
    play("10.3.0")
    recipe = recipes.load("jetson-orin")
    with pytest.raises(EngineUnavailable, match=r"is for NVIDIA Jetson Orin .*8\.7.*\(8\.6\).*--recipe x86-cuda"):
        trt.TrtSession(tiny.model, SessionOptions("cuda", 1, "fp16"), recipe=recipe)


@pytest.mark.parametrize("version", ["8.6.1", "11.4.0.106"])
def test_the_dla(version: str, play, tiny: Tiny) -> None:
    played = play(version, chip="8.7")
    recipe = replace(recipes.load("jetson-orin"), dla_core=1)
    trt.TrtSession(tiny.model, SessionOptions("cuda", 1, "fp16"), recipe=recipe).close()
    steps = played.steps()
    for step in ("config.default_device_type = DeviceType.DLA", "config.DLA_core = 1", "runtime.DLA_core = 1"):
        assert step in steps
    assert "set_flag BuilderFlag.GPU_FALLBACK" in steps
    with pytest.raises(BuildFailed, match=r"needs DLA core 2, and this device has 2"):
        trt.TrtSession(tiny.model, SessionOptions("cuda", 1, "fp16"), recipe=replace(recipe, dla_core=2))


def test_what_a_session_runs_is_what_was_built_last(play, tiny: Tiny) -> None:
    played = play("10.3.0")
    own = replace(recipes.load("x86-cuda"), workspace_mb=77)
    trt.TrtSession(tiny.model, SessionOptions("cuda", 1, "fp32"), recipe=own).close()
    assert f"set_memory_pool_limit MemoryPoolType.WORKSPACE {77 << 20}" in played.steps()
    session = backends.open(tiny.model, "trt")
    assert not session.plan.is_new and "Builder" not in played.steps()
    session.forget()
    session.close()
    session = backends.open(tiny.model, "trt")
    assert session.plan.is_new
    session.close()


def test_timings_are_kept_from_build_to_build(play, tiny: Tiny) -> None:
    played = play("10.3.0")
    backends.open(tiny.model, "trt").close()
    assert "set_timing_cache 0" in played.steps()
    backends.open(onnx_model.reshape(tiny.model, hw=(32, 32)), "trt").close()
    assert "set_timing_cache 1" in played.steps()
    play("10.3.0", fails="timing")  # another device's: thrown away
    backends.open(onnx_model.reshape(tiny.model, hw=(96, 32)), "trt").close()
    assert [step for step in played.steps() if "timing" in step] == ["set_timing_cache 2", "set_timing_cache 0"]


def test_where_there_is_no_gpu(play, tiny: Tiny) -> None:
    play("10.3.0", fails="count")
    unavailable_reason = trt.TrtSession.unavailable_reason
    assert (
        unavailable_reason("cuda")
        == "finds no device: CUDA sees no device here; see: nvidia-smi, and CUDA_VISIBLE_DEVICES"
    )
    with pytest.raises(EngineUnavailable, match="engine 'trt' finds no device"):
        backends.open(tiny.model, "trt")
    play("10.3.0", fails="init")
    assert "no CUDA-capable device is detected" in str(unavailable_reason("cuda"))
    play("10.3.0")
    assert unavailable_reason("cuda") is None
    assert _trt_chip.chip() == _trt_chip.Chip("Rehearsal GPU", "8.6", "driver 12020, pycuda 12.2.0")


def test_a_graph_the_old_parser_does_not_know_never_reaches_it(play, tiny: Tiny) -> None:
    played = play("8.2", chip="6.2")
    proto = onnx.load_model_from_string(tiny.model.onnx)
    proto.opset_import[0].version = 17
    with pytest.raises(BuildFailed, match=r"TensorRT 8\.2 cannot read .*its opset is 17, 13 is the newest"):
        backends.open(replace(tiny.model, onnx=proto.SerializeToString()), "trt")
    assert "make_context" not in played.steps()


@pytest.mark.parametrize("odd", [{"workspace_mb": "x"}, {"workspace_mb": 0}, {"dla_core": "x"}, {"more": 1}])
def test_an_edited_sidecar_is_not_gone_by(odd: dict, play, tiny: Tiny) -> None:
    play("10.3.0")
    backends.open(tiny.model, "trt").close()
    (sidecar,) = plans.folder().glob("*.json")
    said = json.loads(sidecar.read_text())
    said["facts"]["options"].update(odd)
    sidecar.write_text(json.dumps(said))
    with pytest.raises(IntegrityError):
        backends.open(tiny.model, "trt")
