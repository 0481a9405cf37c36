"""`edgecsp models list` filters and sorts; `models recommend` says why, and never makes up a speed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
from typer.testing import CliRunner

from edgecsp import zoo
from edgecsp.backends import tuning
from edgecsp.bench import recommend
from edgecsp.cli import models
from edgecsp.errors import UnknownName


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(models.app, [*words])
    assert done.exit_code == 0, done.output
    return done.output


def rows(*words: str) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = json.loads(run("list", *words, "--json", "-"))
    return found


def test_filters_leave_what_they_name() -> None:
    everything = rows()
    assert [row["name"] for row in everything] == list(zoo.names())
    small = rows("--task", "detect", "--max-bflops", "1", "--has-weights")
    assert {"yolo-fastest-1.1", "yolo-fastest-1.1-xl", "mobilenetv2-yolov3-nano", "yoloface-50k"} <= {
        row["name"] for row in small
    }
    assert all(row["task"] == "detect" and row["bflops"] <= 1 and row["weights"] != "none" for row in small)
    assert small == [
        row for row in everything if row["task"] == "detect" and row["bflops"] <= 1 and row["weights"] != "none"
    ]
    assert rows("--max-bflops", "0") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", lambda row: row["name"]),
        ("bflops", lambda row: row["bflops"]),
        ("size", lambda row: row["weights_bytes"]),
        ("ap50", lambda row: -(row["paper"]["ap50"] or 0) if row["paper"]["data"] == "COCO" else 0),
    ],
)
def test_sorting(key: str, value: Any) -> None:
    found = rows("--sort", key)
    assert found == sorted(found, key=value) and len(found) == len(zoo.names())


def test_size_and_licence_are_in_the_table() -> None:
    said = run("list", "--max-bflops", "6")
    xl = next(line for line in said.splitlines() if line.startswith("yolo-fastest-1.1-xl "))
    assert re.search(r"320 +0\.87M +0\.72\d +3\.7 +34\.33 +published +public +darknet's: public domain$", xl)
    voc = next(line for line in said.splitlines() if line.startswith("mobilenetv2-yolov3-nano-voc "))
    assert "65.27 VOC 2007" in voc and re.search(r"public +none stated$", voc)
    (row,) = (row for row in rows() if row["name"] == "yolo-fastest-1.1-xl")
    assert row["weights_bytes"] == 3_693_964


def test_wrong_filters_are_named() -> None:
    with pytest.raises(UnknownName, match=r"no task is called 'detekt'\. Did you mean 'detect'"):
        CliRunner().invoke(models.app, ["list", "--task", "detekt"], catch_exceptions=False)
    with pytest.raises(UnknownName, match=r"no sort key is called 'speed'.*ap50, bflops, licence, name, size"):
        CliRunner().invoke(models.app, ["list", "--sort", "speed"], catch_exceptions=False)
    with pytest.raises(UnknownName, match=r"no device is called 'rpi'\. Did you mean 'rpi5'"):
        CliRunner().invoke(models.app, ["recommend", "--device", "rpi"], catch_exceptions=False)


@pytest.mark.parametrize("device", recommend.DEVICES)
def test_every_speed_is_a_published_one(device: str) -> None:
    found, key = recommend.rank(device), recommend.DEVICES[device].key
    assert [row.rank for row in found] == list(range(1, len(found) + 1)) and len(found) > 20
    for row in found:
        entry = zoo.get(row.model)
        published = {each.fps[key] for each in entry.rows if each.size == entry.size and key in each.fps}
        assert published == (set() if row.fps is None else {row.fps})
        assert row.why and row.certainty and row.ap50 in {each.ap[1] for each in entry.rows}
        assert row.is_fast_enough is (None if row.fps is None else row.fps >= 30)
        if row.fps is None:
            assert row.certainty in ("unknown", "by BFLOPs alone")


def test_the_tx2_gets_what_the_paper_measured_there_first() -> None:
    found = recommend.rank("jetson-tx2")
    assert found[0].model == "csppeleenet-ref-efm-sam" and found[0].why == "41 fps on a Jetson TX2"
    fast = [row for row in found if row.is_fast_enough]
    assert [row.ap50 for row in fast] == sorted((row.ap50 for row in fast), reverse=True)
    assert found[: len(fast)] == fast, "known speeds come first"
    by_cost = [row for row in found if row.certainty == "by BFLOPs alone"]
    assert by_cost and max(row.bflops for row in by_cost) <= max(row.bflops for row in fast)
    assert {row.why for row in by_cost} == {"costs no more than yolov3-tiny, which reaches 37 fps on a Jetson TX2"}
    assert found[len(fast) : len(fast) + len(by_cost)] == by_cost
    unknown = [row.bflops for row in found[len(fast) + len(by_cost) :]]
    assert unknown == sorted(unknown), "of what nothing is known the cheapest is first"
    grouped = {row.model: row for row in found}["yolo-fastest-1.1"]
    assert grouped.certainty == "unknown" and "grouped" in grouped.why
    faster = recommend.rank("jetson-tx2", fps=60)
    assert [row.model for row in faster if row.is_fast_enough] == ["cspdensenet-ref-prn", "cspdensenetb-ref-prn"]


def test_what_is_known_to_be_slow_and_what_costs_more_is_last() -> None:
    found = recommend.rank("rpi5")
    place = {row.model: row for row in found}
    assert place["yolov4-tiny"].why == "19 fps on an RK3588's four Cortex-A76, fewer than 30"
    reason = "costs no less than yolov4-tiny, which reaches 19 fps on an RK3588's four Cortex-A76"
    assert place["yolov4-csp"].why == reason and place["yolov4-csp"].certainty == "by BFLOPs alone"
    unknown = [row for row in found if row.certainty == "unknown"]
    assert max(row.rank for row in unknown) < place["yolov4-tiny"].rank < place["yolov4-csp"].rank
    none = recommend.rank("rpi5", fps=1000)
    assert not any(row.is_fast_enough for row in none)
    assert not any("no more than" in row.why for row in none), "nothing is fast enough to compare with"


def test_only_models_with_weights_when_asked() -> None:
    found = recommend.rank("rpi5", has_weights=True)
    assert found[0].model == "yolo-fastest-1.1" and {row.weights for row in found} == {"public"}
    assert len(found) < len(recommend.rank("rpi5"))


def test_what_was_tuned_here_goes_before_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def tuned(spec: str, hw: List[int], stale: Any = None) -> tuning.CachedTuning:
        report = {"choices": {"latency": {"chosen": {"p50_ms": 4.0}}}}
        return tuning.CachedTuning(Path(spec), {"spec": spec, "input_hw": hw, "report": report}, stale)

    cached = [
        tuned("yolov4-tiny", [416, 416]), tuned("yolov4", [416, 416]), tuned("mine.onnx", [64, 64]),
        tuned("yolov3-tiny", [416, 416], "another CPU"), tuning.CachedTuning(Path("damaged"), {}, "damaged"),
    ]  # fmt: skip
    monkeypatch.setattr(tuning, "list_tunings", lambda: cached)
    found = {row.model: row for row in recommend.rank("cpu")}
    tiny = found["yolov4-tiny"]
    assert (tiny.fps, tiny.why) == (250.0, "250 fps here") and "measured on this machine" in tiny.certainty
    assert found["yolov4"].fps is None, "it was tuned at another size"
    assert found["yolov3-tiny"].fps == 54
    assert {row.model: row.fps for row in recommend.rank("jetson-tx2")}["yolov4-tiny"] is None


def test_the_terminal_says_where_speeds_are_from() -> None:
    said = run("recommend", "--device", "rpi5", "--has-weights")
    assert re.search(
        r"^ 1 +yolo-fastest-1\.1 +24\.4 +0\.25\d +public +118 fps on an RK3588's four Cortex-A76", said, re.M
    )
    assert "Tencent/ncnn" in said and "never estimated" in said and "edgecsp tune MODEL" in said
    data = json.loads(run("recommend", "--device", "cpu", "--json", "-"))
    assert data[0]["rank"] == 1 and {"model", "fps", "why", "certainty", "ap50"} <= set(data[0])
