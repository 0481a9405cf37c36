"""Graphs in ncnn's format: every operator that edgecsp writes gives what onnxruntime computes, any other is named."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import pytest

from edgecsp import backends
from edgecsp.backends import _ncnn_graph
from edgecsp.errors import BuildFailed
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.layers import ACTIVATIONS, Net, Tensor
from edgecsp.types import Model
from support.repository import child_environment
from support.tiny import Tiny

needs_ncnn = pytest.mark.skipif(bool(backends.missing_packages("ncnn")), reason="ncnn is not installed")


def squeeze(net: Net, x: Tensor) -> Tensor:
    """A squeeze-and-excitation block, and a gate of one map."""
    gate = net.conv(net.global_avgpool(x), x.c, 1, act="logistic")
    return net.mul(net.add(net.mul(x, gate), gate), net.conv(x, 1, 1, act="tanh"))


BLOCKS: Dict[str, Callable[[Net, Tensor], Tensor]] = {
    **{f"conv {act}": lambda net, x, act=act: net.conv(x, 12, 3, act=act) for act in ACTIVATIONS},  # type: ignore[misc]
    **{f"act {act}": lambda net, x, act=act: net.act(net.scale(x, 3.0), act) for act in ACTIVATIONS},  # type: ignore[misc]
    "depthwise": lambda net, x: net.conv(x, x.c, 3, groups=x.c, act="relu6"),
    "groups": lambda net, x: net.conv(x, 12, 3, groups=4, stride=2),
    "oblong": lambda net, x: net.conv(x, 8, (1, 5), stride=(2, 1), dilation=2),
    "maxpool 2 1": lambda net, x: net.maxpool(x, 2, 1),
    "maxpool 13": lambda net, x: net.maxpool(x, 13, 1),
    "avgpool": lambda net, x: net.avgpool(x, 3, 2),
    "maxout": lambda net, x: net.maxout(x, x.c // 4),
    "slice": lambda net, x: net.concat(net.slice(x, 4, 11), net.slice(x, 0, 5)),
    "every other channel": lambda net, x: net.concat(net.slice(x, 1, 16, 2), net.slice(x, 0, 16, 2)),
    "every fourth channel": lambda net, x: net.slice(x, 6, 16, 4),
    "shortcut of other widths": lambda net, x: net.shortcut(net.conv(x, 20, 1), x, act="swish"),
    "upsample": lambda net, x: net.upsample(net.maxpool(x, 2, 2), 2),
    "squeeze": squeeze,
    "the same twice": lambda net, x: net.add(x, x),
}


def make(block: Callable[[Net, Tensor], Tensor], *, head_is_read: bool = False) -> Model:
    """A model of 3x24x40 with a block in it, and one or two heads."""
    net = Net(3, 24, 40)
    x = block(net, net.conv(net.input, 16, 3, act="leaky"))
    first = net.conv(x, 16, 1, bn=False, act="linear")
    net.yolo(first, classes=3, anchors_wh=((8.0, 10.0), (14.0, 9.0)))
    if head_is_read:
        net.yolo(net.conv(first, 16, 3, bn=False, act="linear"), classes=3, anchors_wh=((3.0, 4.0), (5.0, 9.0)))
    return onnx_model.build(net, RandomWeights(3), name="block", labels=("a", "b", "c"))


def compare(model: Model) -> None:
    batch = np.random.default_rng(2).random((1, 3, 24, 40), np.float32)
    expected, actual = (backends.open(model, engine, precision="fp32").run(batch) for engine in ("ort", "ncnn"))
    for a, b in zip(expected, actual):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


@needs_ncnn
@pytest.mark.parametrize("name", BLOCKS)
def test_an_operator_is_what_onnxruntime_computes(name: str) -> None:
    compare(make(BLOCKS[name]))


@needs_ncnn
def test_a_head_that_other_layers_read() -> None:
    compare(make(BLOCKS["avgpool"], head_is_read=True))


@needs_ncnn
def test_names_of_any_length_with_spaces_and_slashes() -> None:
    model = make(BLOCKS["maxout"], head_is_read=True)
    proto = onnx.load_model_from_string(model.onnx)
    heads = {head.name for head in model.heads}
    for at, node in enumerate(proto.graph.node):
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name[:1].isdigit() and "." not in name and name not in heads:
                    names[i] = f"/a name/{name}/{'x' * 300}"
        node.name = f"node {at}"
    compare(replace(model, onnx=proto.SerializeToString()))


@needs_ncnn
def test_bf16_rounds_and_fp32_does_not(tiny: Tiny) -> None:
    off = {}
    for name in ("fp32", "bf16"):
        session = backends.open(tiny.model, "ncnn", precision=name)
        off[name] = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(session.run(tiny.batch), tiny.heads))
        session.close()
    assert off["fp32"] < 1e-5 and 1e-4 < off["bf16"] < 0.05


def spoil(change: Callable[[Any], None]) -> Model:
    model = make(BLOCKS["avgpool"])
    proto = onnx.load_model_from_string(model.onnx)
    change(proto.graph)
    return replace(model, onnx=proto.SerializeToString())


def rename_operator(graph: Any) -> None:
    graph.node[1].op_type = "HardSwish"


def align_to_the_left(graph: Any) -> None:
    pool = next(node for node in graph.node if node.op_type == "AveragePool")
    pool.attribute.append(onnx.helper.make_attribute("ceil_mode", 1))


@pytest.mark.parametrize(
    ("change", "what"),
    [(rename_operator, r"operator HardSwish \("), (align_to_the_left, "a pooling with auto_pad, ceil_mode")],
)
def test_what_is_not_converted_is_named(change: Callable[[Any], None], what: str) -> None:
    model = spoil(change)
    with pytest.raises(BuildFailed, match=f"ncnn cannot build block: its graph has {what}.*, which is not converted"):
        _ncnn_graph.to_ncnn(model.onnx, [head.name for head in model.heads], model.name)


def test_bytes_and_back(tiny: Tiny) -> None:
    graph = _ncnn_graph.to_ncnn(tiny.model.onnx, [head.name for head in tiny.model.heads], "tiny")
    assert _ncnn_graph.NcnnGraph.from_bytes(graph.to_bytes()) == graph
    assert not any(len(word) > 200 or is_of_the_file(word) for word in graph.param.split())


def is_of_the_file(word: str) -> bool:
    return "images" in word or "head" in word


@needs_ncnn
def test_a_graph_is_converted_once_by_each_converter(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    convert, calls = _ncnn_graph.to_ncnn, []
    monkeypatch.setattr(_ncnn_graph, "to_ncnn", lambda *args: calls.append(args) or convert(*args))  # type: ignore[func-returns-value]
    for source, expected in ((Path(_ncnn_graph.__file__), 1), (tmp_path / "newer.py", 2)):
        (tmp_path / "newer.py").write_text("# another one")
        monkeypatch.setattr(_ncnn_graph, "__file__", str(source))
        for _ in range(2):
            backends.open(tiny.model, "ncnn").close()
            assert len(calls) == expected


@needs_ncnn
def test_its_threads_wait_asleep_and_the_variable_is_gone_after(tmp_path: Path) -> None:
    code = (
        "import os; from edgecsp.backends import ncnn as engine\n"
        "engine._import_ncnn(); print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    for own in ({}, {"GOMP_SPINCOUNT": "7"}):
        environment = {**child_environment(), **own}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
        assert (done.stdout.strip(), done.stderr) == (own.get("GOMP_SPINCOUNT", "None"), "")
    assert "GOMP_SPINCOUNT" not in os.environ
