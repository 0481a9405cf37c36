"""The JSON of bench, val, tune and verify is what tests/data/report_schemas.json says: keys, their order, and types.

A shape is a type ("str", "int|null"), a dictionary of shapes ("*": any keys), a list of one shape, {"?": shape}, which
may be null, or "$name", another shape. `edgecsp build` writes no JSON: its line of comparison is compared as text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from edgecsp.bench import _rounds, peak
from edgecsp.bench.comparison import Comparison
from edgecsp.cli.render.comparison import find_fault, format_comparison
from edgecsp.graph import onnx_model
from edgecsp.system import cpu
from support import labelled
from support.commands import invoke
from support.repository import TESTS
from support.tiny import Tiny

pytestmark = pytest.mark.usefixtures("own_home")

SHAPES = json.loads((TESTS / "data/report_schemas.json").read_text())
TYPES = {"str": str, "int": int, "number": (int, float), "bool": bool, "null": type(None)}


def mismatches(value: Any, shape: Any, place: str = "") -> Iterator[str]:
    """Yield the places of a document that its shape does not allow."""
    if isinstance(shape, str) and shape.startswith("$"):
        yield from mismatches(value, SHAPES[shape[1:]], place)
    elif isinstance(shape, dict) and list(shape) == ["?"]:
        yield from [] if value is None else mismatches(value, shape["?"], place)
    elif isinstance(shape, dict):
        if not isinstance(value, dict) or ("*" not in shape and list(value) != list(shape)):
            yield f"{place}: {list(value) if isinstance(value, dict) else value!r}, expected {list(shape)}"
            return
        for key, each in value.items():
            yield from mismatches(each, shape.get(key, shape.get("*")), f"{place}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place}: {value!r}, expected a list"
            return
        for each in value:
            yield from mismatches(each, shape[0], f"{place}[]")
    elif shape != "any" and not any(
        isinstance(value, TYPES[name]) and isinstance(value, bool) == (name == "bool") for name in shape.split("|")
    ):
        yield f"{place}: {value!r}, expected {shape}"


def check(name: str, document: str) -> Any:
    """Require a document to have its shape; returns it as values."""
    values = json.loads(document)
    assert list(mismatches(values, SHAPES[name])) == []
    return values


@pytest.fixture
def model(tiny: Tiny, tmp_path: Path) -> str:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    return str(tmp_path / "tiny.onnx")


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Four images with labels of the model's classes."""
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    return str(labelled.coco(tmp_path / "data", names=[str(i) for i in range(3)]))


def test_shapes_find_what_does_not_match() -> None:
    shape = {"a": "int|null", "b": [{"c": "str"}], "d": {"?": {"*": "number"}}}
    assert list(mismatches({"a": None, "b": [], "d": None}, shape)) == []
    assert list(mismatches({"a": 1, "b": [{"c": "x"}], "d": {"e": 1.5}}, shape)) == []
    for wrong in (
        {"a": True, "b": [], "d": None},
        {"a": 1, "b": [{"c": 1}], "d": None},
        {"a": 1, "b": {}, "d": None},
        {"a": 1, "b": [], "d": {"e": "x"}},
        {"a": 1, "b": []},
        {"b": [], "a": 1, "d": None},
    ):
        assert len(list(mismatches(wrong, shape))) == 1, wrong


def test_bench(model: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "measure_peak", lambda *given, **more: {"fp32": 100.0, "int8": None})
    monkeypatch.setattr(_rounds, "WARM_S", 0.05)
    words = (
        "-e",
        "ort,opencv",
        "--precision",
        "fp32,int8",
        "--duration",
        "0.1",
        "--rounds",
        "2",
        "--threads",
        "1",
        "-q",
    )
    for name, more in (("bench", ()), ("bench-pipeline", ("--pipeline",))):
        report = str(tmp_path / f"{name}.json")
        assert invoke(capsys, "bench", model, *words, *more, "--json", report)[0] == 0
        document = check("bench", Path(report).read_text())
        assert document["schema"] == "edgecsp-bench/1"
        assert [row["ms"] == [] for row in document["rows"]] == [False, False, False, True]
    done = invoke(capsys, "bench", "compare", report, report, "--json", "-")
    assert check("bench-compared", done[1])["schema"] == "edgecsp-bench-compared/1"


def test_val(model: str, data: str, capsys: Any) -> None:
    words = ("-d", data, "-e", "ort", "--threads", "1", "-q", "--json", "-", "--duration")
    document = check("val", invoke(capsys, "val", model, *words, "0.1")[1])
    assert document["schema"] == "edgecsp-val/1" and document["rows"][0]["AP"] is not None
    assert document["rows"][0]["speed"]
    document = check("val", invoke(capsys, "val", model, *words, "0")[1])
    assert document["rows"][0]["speed"] is None


def test_tune(model: str, data: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cpu, "threads", lambda *given: 2)
    words = ("--seconds", "1", "-e", "ort", "--threads", "1", "-q")
    document = check("tune", invoke(capsys, "tune", model, *words, "--json", "-")[1])
    assert document["schema"] == "edgecsp-tune/1"
    document = check("tune-list", invoke(capsys, "tune", "list", "--json", "-")[1])
    assert document["schema"] == "edgecsp-tuned-list/1"
    more = ("--data", data, "--precision", "fp32,fp16")
    document = check("tune", invoke(capsys, "tune", model, *words, *more, "--json", "-")[1])
    assert document["verdicts"]


def test_verify(model: str, tmp_path: Path, capsys: Any) -> None:
    document = check("verify", invoke(capsys, "verify", model, "--threads", "1", "--json", "-")[1])
    assert not document["rows"][0]["why"]


def test_the_comparison_of_build() -> None:
    result = Comparison(images=2, largest=0.0123, boxes=3, loose=1)
    begin = "with onnxruntime on 2 synthetic images: heads differ by 0.012 of their largest value at most"
    assert format_comparison(result, is_synthetic=True) == f"{begin}; the plan detects 1 of its 3 objects"
    assert find_fault(result) == ""
    assert find_fault(Comparison(images=1, boxes=3)) == "it detects none of the 3 objects that onnxruntime detects"
    text = format_comparison(Comparison(images=1), is_synthetic=False)
    assert text.endswith("they contain no objects, better use others: --images IMAGES")
    assert find_fault(Comparison(images=1, largest=float("inf"))) == "its heads contain NaN or infinity"
