"""Inputs of others' graphs: batches, half precision, bytes, no batch axis, inputs beside the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecsp import backends, importers, pipeline
from edgecsp.errors import BadModel
from edgecsp.importers import onnx as recognise
from support import families
from support.exports import HW, Graph, cells, planted

BATCH = 4


def written(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "x.onnx").write_bytes(data)
    return tmp_path / "x.onnx"


def grid_network(batch: Any, *, mixes: bool = False, half: bool = False) -> bytes:
    """A YOLOv8-like network of one class that sees red; with `mixes` its maps are one line of all images on the way."""
    g, dtype = Graph(), np.float16 if half else np.float32
    levels = []
    for stride in (8, 16, 32):
        kernel = np.zeros((5, 3, stride, stride))
        kernel[4, 0, stride // 2, stride // 2] = 1
        x = g.node("Conv", "images", g.const(kernel, dtype), g.const([40, 40, 20, 20, 0], dtype), strides=[stride] * 2)
        places = (HW[0] // stride) * (HW[1] // stride)
        if mixes:
            x = g.node("Reshape", x, g.const([batch * 5, places], np.int64))
        levels.append(g.node("Reshape", x, g.const([batch, 5, places], np.int64)))
    g.node("Mul", g.node("Concat", *levels, axis=2), g.const(1.0, dtype), out="output0")
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return g.save({"output0": (batch, 5, cells())}, shape=(batch, 3, *HW), dtype=kind)


def red_square() -> np.ndarray:
    """An image of the input's size, with red at the middle of one cell of 8 pixels."""
    image = np.zeros((*HW, 3), np.uint8)
    image[33:40, 49:56] = (0, 0, 255)
    return image


@pytest.mark.parametrize("mixes", [False, True])
def test_a_batch_of_several_is_run_with_one_image(mixes: bool, tmp_path: Path) -> None:
    imported = importers.import_foreign(
        written(tmp_path, grid_network(BATCH, mixes=mixes)), recognise.ImportOptions(kind="yolov8")
    )
    note = "every image is computed 4 times" if mixes else "made a graph of one image"
    assert any(note in each for each in imported.notes), imported.notes
    graph = onnx.load_model_from_string(imported.model.onnx).graph
    sides = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in (graph.input[0], graph.output[0])]
    assert sides == [[1, 3, *HW], [1, 5, cells()]]
    single = importers.import_foreign(written(tmp_path, grid_network(1)), recognise.ImportOptions(kind="yolov8")).model
    results = []
    for model in (imported.model, single):
        with pipeline.load(model, "ort", conf=0.5) as detector:
            results.append(detector(red_square()))
    assert len(results[0]) == len(results[1]) >= 1
    assert np.allclose(results[0].xyxy, results[1].xyxy)


def test_outputs_that_no_batch_can_be_cut_from_are_run_padded(tmp_path: Path) -> None:
    values = np.zeros((BATCH, 84, cells()), np.float32)
    values[0, :4, 7], values[0, 4 + 3, 7] = (40, 30, 20, 10), 0.9
    values[1:, :4, 9], values[1:, 4 + 5, 9] = 50, 0.8  # of the other images
    imported = importers.import_foreign(written(tmp_path, planted({"o": values}, shape=(BATCH, 3, *HW))))
    assert any("every image is computed 4 times" in note for note in imported.notes)
    with pipeline.load(imported.model, "ort", conf=0.5) as detector:
        (row,) = detector(np.zeros((*HW, 3), np.uint8))
    assert row.class_id == 3 and row.xyxy == pytest.approx((30, 25, 50, 35))


def test_a_batch_beyond_reason(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="batches of 1000; at most 256"):
        importers.import_foreign(
            written(tmp_path, planted({"o": np.zeros((1, 84, cells()), np.float32)}, shape=(1000, 3, *HW)))
        )


def raw_heads(half: bool) -> bytes:
    """Two raw YOLO heads behind convolutions alone, which ncnn converts as well."""
    g, dtype, rng = Graph(), np.float16 if half else np.float32, np.random.default_rng(0)
    x = g.node("Conv", "images", g.const(rng.normal(0, 0.1, (8, 3, 3, 3)), dtype), strides=[2, 2], pads=[1] * 4)
    x = g.node("Mul", x, g.node("Sigmoid", x))
    for stride in (16, 32):
        kernel = rng.normal(0, 0.3, (21, 8, stride // 2, stride // 2))
        g.node("Conv", x, g.const(kernel, dtype), strides=[stride // 2] * 2, out=f"o{stride}")
    shapes = {f"o{stride}": (1, 21, HW[0] // stride, HW[1] // stride) for stride in (16, 32)}
    return g.save(shapes, dtype=TensorProto.FLOAT16 if half else TensorProto.FLOAT)


@pytest.mark.parametrize("engine", ["ort", "openvino", "opencv", "ncnn"])
def test_raw_heads_of_half_precision_run_on_every_engine(engine: str, tmp_path: Path) -> None:
    if backends.unavailable_reason(engine):
        pytest.skip(str(backends.unavailable_reason(engine)))
    image, found = np.random.default_rng(1).integers(0, 255, (*HW, 3)).astype(np.uint8), []
    options = recognise.ImportOptions(kind="darknet", anchors=recognise.parse_anchors("yolov4-tiny"))
    for half in (False, True):
        model = importers.import_foreign(written(tmp_path, raw_heads(half)), options).model
        with pipeline.load(model, engine, precision="fp32", conf=0.3) as detector:
            found.append(detector(image))
    assert len(found[0]) == len(found[1]) > 50 and np.allclose(found[0].xyxy, found[1].xyxy, atol=0.3)


@pytest.mark.parametrize("engine", ["ort", "openvino", "opencv"])
def test_half_precision_runs_on_every_engine(engine: str, tmp_path: Path) -> None:
    if backends.unavailable_reason(engine):
        pytest.skip(str(backends.unavailable_reason(engine)))
    results = []
    for half in (False, True):
        imported = importers.import_foreign(
            written(tmp_path, grid_network(1, half=half)), recognise.ImportOptions(kind="yolov8")
        )
        assert any("float16" in note for note in imported.notes) == half
        with pipeline.load(imported.model, engine, precision="fp32", conf=0.5) as detector:
            results.append(detector(red_square()))
    assert len(results[0]) == len(results[1]) >= 1
    assert np.allclose(results[0].xyxy, results[1].xyxy, atol=0.1)


def test_no_half_is_left_in_the_graph(tmp_path: Path) -> None:
    """Casts, constants and branches among it."""
    g = Graph()
    zero = g.node("ReduceMax", "images", keepdims=0)
    zero = g.node("Cast", g.node("Cast", zero, to=TensorProto.FLOAT), to=TensorProto.FLOAT16)
    values = helper.make_tensor("v", TensorProto.FLOAT16, [1, 84, cells()], np.zeros(84 * cells(), np.float16))
    constant = g.node("Constant", value=values)
    g.node("Add", constant, zero, out="o")
    data = g.save({"o": (1, 84, cells())}, dtype=TensorProto.FLOAT16)
    graph = onnx.load_model_from_string(importers.import_foreign(written(tmp_path, data)).model.onnx).graph
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            assert attribute.t.data_type != TensorProto.FLOAT16
            assert node.op_type != "Cast" or attribute.i != TensorProto.FLOAT16


def test_a_damaged_tensor_of_half_precision(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(grid_network(1, half=True))
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    with pytest.raises(BadModel, match=r"tensor 'const\d' is damaged"):
        importers.import_foreign(written(tmp_path, proto.SerializeToString()))


def test_bytes_are_for_families_that_say_how(tmp_path: Path) -> None:
    data = families.plain({"o": np.zeros((1, 84, cells()), np.float32)}, dtype=TensorProto.UINT8)
    with pytest.raises(BadModel, match="UINT8; export it with a float32 input"):
        importers.import_foreign(written(tmp_path, data))


def inputs_of(data: bytes, tmp_path: Path, **options: Any) -> Tuple[Tuple[str, Tuple[int, ...]], ...]:
    model = importers.import_foreign(written(tmp_path, data), recognise.ImportOptions(**options)).model
    return tuple(
        (value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim))
        for value in onnx.load_model_from_string(model.onnx).graph.input
    )


def test_one_image_is_the_only_input(tmp_path: Path) -> None:
    ((_, shape),) = inputs_of(families.torchvision(), tmp_path)
    assert shape == (1, 3, *HW)
    ((_, shape),) = inputs_of(families.torchvision(hw=("h", "w")), tmp_path, hw=(64, 96))
    assert shape == (1, 3, 64, 96)
    free = families.rtdetr_logits(shape=("batch_size", "num_channels", "height", "width"))
    ((_, shape),) = inputs_of(free, tmp_path, hw=(64, 96))
    assert shape == (1, 3, 64, 96)
    mask = helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, ["batch_size", "height", "width"])
    ((_, shape),) = inputs_of(families.rtdetr_logits(extra_inputs=[mask]), tmp_path)
    assert shape == (1, 3, *HW)
    ((name, shape),) = inputs_of(families.postprocessed(), tmp_path, classes=80)
    assert (name, shape) == ("images", (1, 3, *HW))
