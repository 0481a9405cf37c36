"""The ONNX file as a file: written whole, read back, refused in words. (What it says: properties/test_metadata.)"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edgecsp import importers
from edgecsp.errors import BadModel, OutputError, SourceError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.layers import Net
from edgecsp.importers import darknet
from support.tiny import Tiny


def test_saved_and_loaded(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "models" / "tiny.onnx"
    onnx_model.save(tiny.model, path)
    again = importers.load(path)
    assert again == tiny.model and again.onnx == tiny.model.onnx
    assert os.listdir(path.parent) == ["tiny.onnx"]


def test_for_old_engines_and_sound(tiny: Tiny) -> None:
    proto = onnx.load_model_from_string(tiny.model.onnx)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 13)] and proto.ir_version <= 7
    assert [value.name for value in proto.graph.input] == ["images"]
    assert [value.name for value in proto.graph.output] == ["head0", "head1"]
    (prop,) = proto.metadata_props
    assert prop.key == "edgecsp" and json.loads(prop.value)["version"] == 1


def test_the_same_files_make_the_same_bytes(tiny: Tiny) -> None:
    assert darknet.load(tiny.cfg, tiny.weights).model.onnx == tiny.model.onnx


def test_files_that_are_no_model(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    with pytest.raises(SourceError, match=r"no model file at .*tiny\.onnx"):
        importers.load(path)
    onnx_model.save(tiny.model, path)
    with pytest.raises(SourceError, match=r"tinny\.onnx; did you mean .*tiny\.onnx\?"):
        importers.load(tmp_path / "tinny.onnx")
    for data in (b"", b"not a model", tiny.model.onnx[:1000], tiny.cfg.read_bytes(), tiny.weights.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(BadModel, match=r"tiny\.onnx"):
            importers.load(path)


def test_an_error_while_writing_leaves_the_old_file(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    onnx_model.save(tiny.model, path)
    with pytest.raises(TypeError):
        onnx_model.save(replace(tiny.model, onnx="text"), path)
    assert importers.load(path) == tiny.model and os.listdir(tmp_path) == ["tiny.onnx"]


def test_places_that_cannot_be_written(tiny: Tiny, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "file" / "tiny.onnx", Path("/proc/edgecsp/tiny.onnx")):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=f"cannot write {path}"):
            onnx_model.save(tiny.model, path)


def test_a_net_without_a_head() -> None:
    net = Net(3, 8, 8)
    net.conv(net.input, 2, 1)
    with pytest.raises(BadModel, match="nothing has no head"):
        onnx_model.build(net, RandomWeights(), name="nothing", labels=())
