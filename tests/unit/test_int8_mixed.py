"""int8 with layers in float, and the fewest of them that a budget of AP wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgecsp import backends, importers
from edgecsp.bench import ap_budget
from edgecsp.cli import app
from edgecsp.errors import EdgecspError
from edgecsp.graph import onnx_model, precision
from edgecsp.types import Array
from support import media
from support.int8 import off, plainly
from support.tiny import Tiny


def batches() -> Iterator[Array]:
    rng = np.random.default_rng(1)
    for _ in range(precision.MIN_IMAGES):
        yield rng.random((1, 3, 64, 64), np.float32)


@pytest.fixture(scope="module")
def ranges(tiny: Tiny) -> precision.Ranges:
    return precision.measure_ranges(tiny.model, batches(), threads=1)


def test_layers_in_float_read_and_give_floats(tiny: Tiny, ranges: precision.Ranges) -> None:
    layers = [layer.name for layer in precision.list_layers(tiny.model)]
    assert len(layers) == 6  # of eight convolutions; two are heads
    for chosen in (layers[2:3], layers):
        small = precision.with_float_layers(tiny.model, ranges, chosen)
        assert small.origin["float_layers"] == ", ".join(sorted(chosen))
        nodes = onnx_model.parse_graph(small).graph.node
        back = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
        in_float = {node.output[0] for node in nodes if node.op_type == "Conv" and node.input[1] not in back}
        assert in_float == {*chosen, *(head.name for head in tiny.model.heads)}
        assert importers.parse(small.onnx) == small
    # What is left are the joins, pools and sums.
    whole = precision.with_ranges(tiny.model, ranges)
    assert off(plainly(small, tiny.batch), list(tiny.heads)) < 0.8 * off(plainly(whole, tiny.batch), list(tiny.heads))


def test_no_layer_in_float_is_plain_int8(tiny: Tiny, ranges: precision.Ranges) -> None:
    assert precision.with_float_layers(tiny.model, ranges, ()).onnx == precision.with_ranges(tiny.model, ranges).onnx


def test_the_layer_that_loses_most_comes_first(tiny: Tiny, ranges: precision.Ranges) -> None:
    worst = [layer.name for layer in precision.list_layers(tiny.model)][3]
    low, high = ranges.tensors[worst]
    broken = {**ranges.tensors, worst: (low / 50, high / 50)}  # all but clipped away
    spoilt = precision.Ranges(ranges.model, ranges.method, ranges.images, ranges.inputs, broken)
    ticks: List[int] = []
    found = precision.measure_gains(tiny.model, spoilt, [tiny.batch], threads=1, tick=lambda: ticks.append(1))
    assert found[0].name == worst and found[0].gain > 0.5 and len(ticks) == len(found) == 6
    assert sum(layer.share for layer in found) < 1  # the heads have the rest


@pytest.mark.parametrize("enough", range(9))
def test_the_fewest_layers_are_found(enough: int) -> None:
    asked: List[int] = []

    def holds(count: int) -> bool:
        asked.append(count)
        return count >= enough

    ap_budget._bisect(holds, 7)
    assert len(asked) == len(set(asked)) and max(asked) <= 7
    assert (min(count for count in asked if count >= enough) == enough) if enough <= 7 else (max(asked) == 7)


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    folder = tmp_path_factory.mktemp("budget")
    (folder / "calib").mkdir()
    onnx_model.save(tiny.model, folder / "tiny.onnx")
    media.write_coarse([folder / "calib" / f"{index:03}.png" for index in range(precision.MIN_IMAGES)])
    return folder


def quantize(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.chdir(home)
    monkeypatch.setattr(ap_budget._accuracy_gate, "SCORED", 12)
    monkeypatch.setattr(ap_budget, "find_engines", lambda: ["ort"])
    shared = ["quantize", "tiny.onnx", "--calib", "calib", "--method", "minmax", "--threads", "1"]
    return CliRunner().invoke(app, [*shared, *words], catch_exceptions=False)


def test_a_budget_that_plain_int8_keeps(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = quantize(home, monkeypatch, "--max-ap-drop", "1", "--json", "all.json")
    assert done.exit_code == 0 and "layers in float" in done.stdout and "0 of 6" in done.stdout
    assert "taken" in done.stdout and "the fp32 model's boxes, 12 images" in done.stdout
    content: Dict[str, Any] = json.loads((home / "all.json").read_text())
    assert content["schema"] == "edgecsp-quantize/1" and content["written"] == "tiny-int8.onnx"
    assert [point["layers_in_float"] for point in content["curve"]] == [0] and content["float_layers"] == []
    assert content["fp32"]["ap50"]["ort"] > 0.99  # its own boxes


def test_a_budget_that_takes_layers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a budget takes is what keeps it, and the file is that graph."""
    quantize(home, monkeypatch, "--max-ap-drop", "1", "--json", "plain.json")
    plain = json.loads((home / "plain.json").read_text())["curve"][0]["drop"]
    monkeypatch.setattr(ap_budget, "MOST", 1.0)
    budget = f"{plain * 0.75:.4f}"
    done = quantize(home, monkeypatch, "--max-ap-drop", budget, "-o", "mixed.onnx", "--json", "mixed.json")
    content: Dict[str, Any] = json.loads((home / "mixed.json").read_text())
    drops = {point["layers_in_float"]: point["drop"] for point in content["curve"]}
    taken = len(content["float_layers"])
    assert done.exit_code == 0 and taken > 0 and drops[taken] <= float(budget) < drops[0]
    model = importers.load(home / "mixed.onnx")
    assert model.origin["float_layers"].split(", ") == sorted(content["float_layers"])
    assert precision.detect_precision(model) == "int8"
    assert backends.open(model, "ort", precision="int8").run(np.zeros((1, 3, 64, 64), np.float32))


def test_a_budget_that_cannot_be_kept_exits_with_8_and_writes_no_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ap_budget, "MOST", 0.2)  # one layer
    done = quantize(home, monkeypatch, "--max-ap-drop", "0", "-o", "none.onnx", "--json", "none.json")
    assert done.exit_code == 8 and not list(home.glob("none.onnx*"))
    assert "keeps no AP within --max-ap-drop 0" in done.output
    content: Dict[str, Any] = json.loads((home / "none.json").read_text())
    assert content["written"] is None and content["float_layers"] is None and len(content["curve"]) == 2


def test_options_that_cannot_be_meant(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str) -> str:
        with pytest.raises(EdgecspError) as caught:
            quantize(home, monkeypatch, *words)
        assert caught.value.exit_code == 2
        return str(caught.value)

    assert "add --max-ap-drop 0.01" in refused("--data", "calib")
    assert "AP is in 0..1" in refused("--max-ap-drop", "2")
    (home / "ranges.json").write_text("{}")
    assert "needs image files there; or add --data" in refused("--max-ap-drop", "0.1", "--calib", "ranges.json")
