"""Check before a build whether an old TensorRT's parser supports a graph.

A build on a Jetson TX2 takes many minutes, and its parser's errors name a node by its number. This takes a second,
on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterator, Tuple

from ..errors import BuildFailed, UnknownName
from ..types import Model


@dataclass(frozen=True)
class Parser:
    """Support of one TensorRT's ONNX parser: the newest opset, operators, constants, and modes of `Resize`."""

    opset: int
    operators: FrozenSet[str]
    constants: FrozenSet[str]
    coordinates: FrozenSet[str]
    resizes: FrozenSet[str]


# Source: onnx-tensorrt, docs/operators.md of 8.4 less what docs/Changelog.md says that 8.4 added: Shrink, Xor, and
# constants in float16. Of its operators only those are listed that are in ONNX.
_OPERATORS_8_2 = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip Concat
    Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu
    Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity If InstanceNormalization IsNaN LRN LSTM LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg Not Or PRelu Pad Pow
    QuantizeLinear RNN RandomUniform RandomUniformLike Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scan Scatter
    ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split
    Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where
"""
PARSERS: Dict[str, Parser] = {
    "8.2": Parser(
        opset=13,
        operators=frozenset(_OPERATORS_8_2.split()),
        constants=frozenset(("FLOAT", "INT32", "INT64", "INT8", "BOOL", "DOUBLE")),
        coordinates=frozenset(
            ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
        ),
        resizes=frozenset(("nearest", "linear")),
    )
}


def check(model: Model, version: str) -> None:
    """Check a model's graph against a TensorRT's parser. Raises `BuildFailed`, or `UnknownName` for the version."""
    if version not in PARSERS:
        raise UnknownName("TensorRT whose parser is known", version, PARSERS)
    wrong = list(dict.fromkeys(_find_problems(model.onnx, PARSERS[version])))
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise BuildFailed(
            f"TensorRT {version} cannot read {model.name}: {'; '.join(wrong[:5])}{more}. Export it again with opset "
            f"{PARSERS[version].opset} and without nodes behind the raw heads (edgecsp does decoding and NMS itself)"
        )


def _find_problems(data: bytes, parser: Parser) -> Iterator[str]:
    import onnx

    proto = onnx.load_model_from_string(data)
    for opset in proto.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield f"it has operators of {opset.domain}"
        elif opset.version > parser.opset:
            yield f"its opset is {opset.version}, {parser.opset} is the newest it supports"
    kinds = onnx.TensorProto.DataType
    for constant in proto.graph.initializer:
        if kinds.Name(constant.data_type) not in parser.constants:
            yield f"a constant of {kinds.Name(constant.data_type)}"
    for node in proto.graph.node:
        if node.op_type not in parser.operators:
            yield f"the operator {node.op_type}"
        elif node.op_type == "Resize":
            yield from _find_resize_problems(node, parser)


def _find_resize_problems(node: Any, parser: Parser) -> Iterator[str]:
    attributes = {each.name: each.s.decode("utf-8", "replace") for each in node.attribute}
    allowed: Tuple[Tuple[str, str, FrozenSet[str]], ...] = (
        ("mode", "nearest", parser.resizes),
        ("coordinate_transformation_mode", "half_pixel", parser.coordinates),
    )
    for name, default, known in allowed:
        if attributes.get(name, default) not in known:
            yield f"Resize with {name} {attributes[name]}"
