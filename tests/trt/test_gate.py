"""The static gate: every graph of ours passes it, and what TensorRT 8.2 does not know does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np
import onnx
import pytest

from edgecsp import zoo
from edgecsp.backends import _trt_gate
from edgecsp.errors import BuildFailed, UnknownName
from edgecsp.types import Model
from support.tiny import Tiny
from support.zoo_models import distinct


class Ones:
    """Weights that cost nothing to make: the gate does not look at them."""

    def take(self, part: str, shape: Tuple[int, ...], at: str) -> np.ndarray:
        return np.ones(shape, np.float32)


@pytest.mark.parametrize("name", distinct())
def test_the_zoo_passes(name: str) -> None:
    model = zoo.model(name, Ones())
    for stage in filter(None, (model, model.second)):
        _trt_gate.check(stage, "8.2")


def edited(model: Model, edit) -> Model:
    proto = onnx.load_model_from_string(model.onnx)
    edit(proto)
    return replace(model, onnx=proto.SerializeToString())


def node(proto: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(each for each in proto.graph.node if each.op_type == kind)


def set_text(proto: onnx.ModelProto, name: str, value: str) -> None:
    found = next(each for each in node(proto, "Resize").attribute if each.name == name)
    found.s = value.encode()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda proto: setattr(proto.opset_import[0], "version", 14), "its opset is 14, 13 is the newest it supports"),
        (lambda proto: setattr(node(proto, "Conv"), "op_type", "GridSample"), "the operator GridSample"),
        (lambda proto: setattr(node(proto, "Conv"), "op_type", "Xor"), "the operator Xor"),
        (lambda proto: proto.opset_import.add(domain="com.acme", version=1), r"operators of com\.acme"),
        (lambda proto: proto.graph.initializer.add(data_type=10, name="h"), "a constant of FLOAT16"),
        (lambda proto: set_text(proto, "mode", "cubic"), "Resize with mode cubic"),
    ],
)
def test_what_is_not_known(edit, said: str, tiny: Tiny) -> None:
    with pytest.raises(BuildFailed, match=f"TensorRT 8.2 cannot read .*tiny.*{said}.*Export it again with opset 13"):
        _trt_gate.check(edited(tiny.model, edit), "8.2")


def test_a_version_whose_parser_is_not_known(tiny: Tiny) -> None:
    with pytest.raises(UnknownName, match=r"Known: 8\.2"):
        _trt_gate.check(tiny.model, "8.3")


def test_the_table_speaks_of_operators_that_exist() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    parser = _trt_gate.PARSERS["8.2"]
    assert parser.operators <= known
    assert len(parser.operators) > 110 and not parser.operators & {"Xor", "Shrink", "NonMaxSuppression", "GridSample"}
