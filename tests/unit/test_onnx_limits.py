"""What no graph may hold is refused in a sentence before an engine sees it, whoever wrote the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecsp import backends, importers
from edgecsp.errors import BadModel, EngineFailed
from edgecsp.graph import limits as onnx_limits
from edgecsp.graph import onnx_model
from edgecsp.pipeline import Detector
from support import exports
from support.repository import REPO, child_environment
from support.tiny import Tiny

LONG = 2**62


def opened_by_no_engine(*_: Any, **__: Any) -> None:
    raise AssertionError("an engine was given the file")


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", opened_by_no_engine)


def ours(tiny: Tiny) -> Any:
    """A self-describing file."""
    return onnx.load_model_from_string(tiny.model.onnx)


def theirs(_: Tiny) -> Any:
    """Another exporter's file."""
    return onnx.load_model_from_string(exports.finder("yolov8", (96, 128)))


def head_of(proto: Any) -> Any:
    """The node that gives the first output."""
    return next(node for node in proto.graph.node if proto.graph.output[0].name in node.output)


def plus(proto: Any, *nodes: Any) -> Any:
    """The graph with nodes before its last ones; the value "more", a number, is added to the first head."""
    node, name = head_of(proto), proto.graph.output[0].name
    node.output[0] = "before"
    proto.graph.node.extend([*nodes, helper.make_node("Add", ["before", "more"], [name], "sum")])
    return proto


def const(name: str, values: Any, dtype: Any = np.int64) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype)))


def outside(tensor: Any, place: str) -> Any:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def secret() -> Any:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "stolen")
    return outside(tensor, "etc/passwd")


def in_an_initializer(proto: Any) -> Any:
    proto.graph.initializer.append(secret())
    proto.graph.initializer[-1].name = "more"
    return plus(proto)


def in_an_attribute(proto: Any) -> Any:
    return plus(proto, helper.make_node("Constant", [], ["more"], value=secret()))


def in_a_branch(proto: Any) -> Any:
    def branch(*nodes: Any, **weights: Any) -> Any:
        value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [1])
        return helper.make_graph(list(nodes), "branch", [], [value], **weights)

    kept = secret()
    kept.name = "chosen"
    one = branch(helper.make_node("Identity", ["stolen"], ["chosen"]), initializer=[secret()])
    other = branch(helper.make_node("Constant", [], ["chosen"], value=numpy_helper.from_array(np.ones(1, np.float32))))
    nodes = const("yes", True, np.bool_), helper.make_node("If", ["yes"], ["more"], then_branch=one, else_branch=other)
    return plus(proto, *nodes)


def sparse(proto: Any) -> Any:
    values = numpy_helper.from_array(np.zeros(1, np.float32), "stolen")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "at")
    tensor = helper.make_sparse_tensor(values, indices, [1])
    outside(tensor.values, "etc/passwd")
    return plus(proto, helper.make_node("Constant", [], ["more"], sparse_value=tensor))


EXTERNAL: Dict[str, Callable[[Any], Any]] = {
    "initializer": in_an_initializer,
    "attribute": in_an_attribute,
    "branch": in_a_branch,
    "sparse": sparse,
}


@pytest.mark.parametrize("place", EXTERNAL)
@pytest.mark.parametrize("whose", [ours, theirs])
def test_data_in_other_files_is_read_for_nobody(
    whose: Any, place: str, tiny: Tiny, tmp_path: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    path = tmp_path / "model.onnx"
    path.write_bytes(EXTERNAL[place](whose(tiny)).SerializeToString())
    with pytest.raises(BadModel, match=r"etc/passwd.*one file"):
        importers.load(path)


def test_a_second_stage_is_looked_at_as_well(tiny: Tiny, tmp_path: Path, no_engine: None) -> None:
    bad = onnx_model.Model(**{**vars(tiny.model), "onnx": in_an_attribute(ours(tiny)).SerializeToString()})
    path = tmp_path / "two.onnx"
    path.write_bytes(onnx_model.with_second(tiny.model, bad).onnx)
    with pytest.raises(BadModel, match="etc/passwd"):
        importers.load(path)


def test_started_in_the_root_run_reads_no_file_into_a_head(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(in_an_initializer(ours(tiny)).SerializeToString())
    done = run(path, "/")
    assert done.returncode == 3 and "etc/passwd" in done.stderr, done.stderr


def run(path: Path, folder: str) -> Any:
    words = [
        sys.executable,
        "-m",
        "edgecsp",
        "run",
        str(REPO / "benchmarks/results/demo.jpg"),
        "--model",
        str(path),
        "--json",
        "-",
        "-e",
        "ort",
    ]
    env = child_environment()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def loop(proto: Any) -> Any:
    kinds = (("i", 7), ("go", 9), ("x", 1))
    info = [helper.make_tensor_value_info(name, kind, [] if name != "x" else [1]) for name, kind in kinds]
    out = [helper.make_tensor_value_info(name, kind, dims) for name, kind, dims in (("on", 9, []), ("y", 1, [1]))]
    steps = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["y"])]
    body = helper.make_graph(steps, "body", info, out)
    nodes = (
        const("times", LONG), const("begin", True, np.bool_), const("zero", [0], np.float32),
        helper.make_node("Loop", ["times", "begin", "zero"], ["more"], body=body),
    )  # fmt: skip
    return plus(proto, *nodes)


def inside_a_branch(proto: Any) -> Any:
    looping = loop(proto)
    at = next(i for i, node in enumerate(looping.graph.node) if node.op_type == "Loop")
    inner = [node for node in looping.graph.node if node.output[0] in ("times", "begin", "zero")]
    value = helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])
    body = helper.make_graph([*inner, looping.graph.node[at]], "then", [], [value])
    branch = helper.make_node("If", ["begin"], ["more"], then_branch=body, else_branch=body)
    looping.graph.node[at].CopyFrom(branch)
    return looping


def functions(proto: Any, *made: Any) -> Any:
    proto.functions.extend(made)
    proto.opset_import.add(domain="own", version=1)
    proto.ir_version = 8
    return plus(proto, const("zero", [0], np.float32), helper.make_node("f0", ["zero"], ["more"], domain="own"))


def function(name: str, *nodes: Any) -> Any:
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], list(nodes), imports)


def call(name: str, source: str, out: str) -> Any:
    return helper.make_node(name, [source], [out], domain="own")


def recursion(proto: Any) -> Any:
    return functions(proto, function("f0", call("f1", "x", "y")), function("f1", call("f0", "x", "y")))


def doubling(proto: Any) -> Any:
    """Sixty functions that each call the next one twice: 2^60 nodes in a few kilobytes."""
    made = [function(f"f{i}", call(f"f{i + 1}", "x", "m"), call(f"f{i + 1}", "m", "y")) for i in range(60)]
    return functions(proto, *made, function("f60", helper.make_node("Identity", ["x"], ["y"])))


ENDLESS = {
    "loop": (loop, "a Loop.*nothing says that it ends"),
    "branch": (inside_a_branch, "a Loop.*nothing says that it ends"),
    "recursion": (recursion, "calls itself"),
    "doubling": (doubling, "nodes when its functions are expanded"),
}


@pytest.mark.parametrize("case", ENDLESS)
@pytest.mark.parametrize("whose", [ours, theirs])
def test_a_graph_that_does_not_end_is_refused(
    whose: Any, case: str, tiny: Tiny, tmp_path: Path, no_engine: None
) -> None:
    change, words = ENDLESS[case]
    path = tmp_path / "model.onnx"
    path.write_bytes(change(whose(tiny)).SerializeToString())
    with pytest.raises(BadModel, match=words):
        importers.load(path)


def test_a_function_and_a_branch_that_end_are_taken(tiny: Tiny, tmp_path: Path) -> None:
    twice = helper.make_node("Add", ["x", "x"], ["y"])
    path = tmp_path / "model.onnx"
    path.write_bytes(functions(ours(tiny), function("f0", twice)).SerializeToString())
    found = backends.open(importers.load(path), "ort").run(tiny.batch)
    assert np.allclose(found[0], tiny.heads[0], atol=1e-4)


def filled(proto: Any) -> Any:
    shape = const("shape", [2**20, 2**20])
    return plus(proto, shape, helper.make_node("ConstantOfShape", ["shape"], ["huge"]), *summed())


def summed() -> Any:
    return (helper.make_node("ReduceSum", ["huge"], ["more"], keepdims=0),)


def expanded(proto: Any) -> Any:
    one = const("one", [[1]], np.float32)
    return plus(
        proto, const("shape", [2**20, 2**20]), one, helper.make_node("Expand", ["one", "shape"], ["huge"]), *summed()
    )


def tiled(proto: Any) -> Any:
    one = const("one", [[1]], np.float32)
    return plus(proto, const("by", [2**20, 2**20]), one, helper.make_node("Tile", ["one", "by"], ["huge"]), *summed())


def ranged(proto: Any) -> Any:
    ends = const("from", 0), const("to", 2**40), const("by", 1)
    made = helper.make_node("Range", ["from", "to", "by"], ["long"])
    return plus(proto, *ends, made, helper.make_node("Cast", ["long"], ["huge"], to=1), *summed())


def doubled(proto: Any) -> Any:
    """Forty joins of a value with itself."""
    joins = [helper.make_node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=0) for i in range(40)]
    joins[-1].output[0] = "huge"
    return plus(proto, const("d0", [1], np.float32), *joins, *summed())


def padded(proto: Any) -> Any:
    """Of the picture itself: no constant."""
    pads = const("pads", [0, 0, 2**19, 2**19, 0, 0, 2**19, 2**19])
    made = helper.make_node("Pad", [proto.graph.input[0].name, "pads"], ["huge"])
    return plus(proto, pads, made, *summed())


HUGE = {"ConstantOfShape": filled, "Expand": expanded, "Tile": tiled, "Range": ranged, "Concat": doubled, "Pad": padded}


@pytest.mark.parametrize("case", HUGE)
@pytest.mark.parametrize("whose", [ours, theirs])
def test_a_tensor_that_cannot_be_meant_is_a_sentence(
    whose: Any, case: str, tiny: Tiny, tmp_path: Path, no_engine: None
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(HUGE[case](whose(tiny)).SerializeToString())
    with pytest.raises(BadModel, match=r"would be .* GB"):
        importers.load(path)


def test_many_constants_count_together(tiny: Tiny) -> None:
    made = [helper.make_node("ConstantOfShape", ["shape"], [f"part{i}"]) for i in range(5)]
    sums = [helper.make_node("Sum", [f"part{i}" for i in range(5)], ["huge"])]
    proto = plus(ours(tiny), const("shape", [2**27]), *made, *sums, *summed())
    with pytest.raises(BadModel, match=r"part3.*2 GB are computed from constants"):
        onnx_limits.check_sizes(proto, "x", (64, 64))


def test_whatever_an_engine_raises_is_a_sentence(tiny: Tiny) -> None:
    """A size that only shows while it runs."""

    class Broken(backends.Session):
        def __init__(self) -> None: ...

        def run(self, batch: Any) -> Any:
            raise RuntimeError("Failed to\nallocate memory")

        def close(self) -> None:
            """Nothing to close."""

    with pytest.raises(EngineFailed, match=r"the engine failed on tiny \(RuntimeError: Failed to allocate memory\)"):
        Detector(tiny.model, Broken())(np.zeros((64, 64, 3), np.uint8))
