"""From samples to a report: figures, the paper beside them, gates, and two reports held against each other."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

from edgecsp import bench, zoo
from edgecsp.bench import BenchSettings, gate, paper, report, stats
from edgecsp.bench.cases import BenchmarkModel, Case
from edgecsp.bench.interference import SystemNoise
from edgecsp.bench.results import CaseResult, Timing
from edgecsp.errors import BadModel, SourceError, UnknownName, UsageError
from edgecsp.processing.heads.two_stage import Raw
from edgecsp.types import Input, Model

MACHINE = {
    "name": "a machine", "threads": 2, "governor": "performance", "versions": {"onnxruntime": "1.0"},
    "peak_gflops": {"fp32": 200.0, "int8": None}, "commit": None,
}  # fmt: skip


def measured(
    name: str, ms: float, *, engine: str = "ort", rounds: int = 5, each: int = 30, seed: int = 0
) -> CaseResult:
    size = zoo.get(name).size
    model = Model(name, Input((size, size)), (Raw("x", 1),), ("a",))
    subject = BenchmarkModel(name, zoo.get(name).title, model, "random", zoo.get(name).cost().bflops, 1000)
    case = Case(model, engine, "cpu", "fp32", about=subject)
    row = CaseResult(case, Timing(ready={"load_s": 0.5, "warm_s": 0.1}))
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        row.timing.add({
            "ms": list(ms * (1 + 0.02 * random.random(each))), "cpu_ms": 2 * ms, "wall_s": each * ms / 1e3,
            "stages": None, "peak_memory_bytes": 200_000_000, "per_sample": 1,
        })  # fmt: skip
        row.timing.noise.append(SystemNoise(0.0, 0.0, 0, 0))
    return row


def said(rows: List[CaseResult], settings: Optional[BenchSettings] = None) -> Dict[str, Any]:
    settings = settings or BenchSettings(threads=2)
    found = report.rows_to_dicts(rows, settings, MACHINE)
    return {
        "schema": report.SCHEMA, "machine": MACHINE, "settings": report.settings_to_dict(settings, rows), "rows": found,
        "rank": report.rank_correlations(found),
    }  # fmt: skip


def test_figures_of_a_row() -> None:
    (row,) = said([measured("yolov3-tiny", 20.0)])["rows"]
    assert row["median_ms"] == pytest.approx(20.2, rel=0.01) and row["fps"] == pytest.approx(1e3 / row["median_ms"])
    assert row["gflops"] == pytest.approx(5.57 * row["fps"], rel=0.01)
    assert row["of_peak"] == pytest.approx(row["gflops"] / 200)
    assert len(row["ms"]) == sum(row["rounds"]) == 150 and len(row["cpu_ms"]) == 5
    assert row["interval_ms"][0] < row["median_ms"] < row["interval_ms"][1]
    assert not row["unstable"] and row["causes"] == [] and row["reason"] is None and row["power"] is None
    assert row["paper"] == {"table": 5, "fps": 54.0, "on": "Intel Core i9-9900K, OpenCV DNN", "ap50": 33.1}


def test_speeds_over_yolov3_tiny_and_the_order() -> None:
    fast_to_slow = ["cspdensenetb-ref-prn", "cspdensenet-ref-prn", "csppeleenet-ref-prn", "yolov3-tiny"]
    rows = [measured(name, 10.0 + 5 * i) for i, name in enumerate(fast_to_slow)]
    rows += [measured("snet49-thundernet", 50.0), measured("cspdensenet-ref-efm-sam", 60.0)]
    found = said(rows)
    by_name = {row["model"]: row for row in found["rows"]}
    first = by_name["cspdensenetb-ref-prn"]
    assert first["relative"] == pytest.approx(2.5, rel=0.01) and first["paper_relative"] == pytest.approx(102 / 54)
    # The ThunderNets' figure is a Xeon's, the EFM's is not printed: neither can be held against YOLOv3-tiny's.
    for name, fps in (("snet49-thundernet", 47.0), ("cspdensenet-ref-efm-sam", None)):
        assert by_name[name]["relative"] and by_name[name]["paper_relative"] is None
        assert by_name[name]["paper"]["fps"] == fps
    assert by_name["snet49-thundernet"]["paper"]["on"] == "Intel Xeon E5-2682 v4, OpenCV DNN"
    assert found["rank"] == [{"engine": "ort", "precision": "fp32", "spearman": 1.0, "models": 4}]


def test_another_input_size_is_not_the_papers() -> None:
    row = measured("yolov3-tiny", 20.0)
    row.case = replace(row.case, model=replace(row.case.model, input=Input((320, 320))))
    (found,) = said([row])["rows"]
    assert found["paper"] is None and found["paper_relative"] is None


@pytest.mark.parametrize("kind", ["spread", "drift"])
def test_an_unstable_row_says_its_cause(kind: str) -> None:
    row = measured("yolov3-tiny", 20.0)
    random = np.random.default_rng(1)
    if kind == "spread":
        row.timing.rounds = [[value * (1 + random.random()) for value in each] for each in row.timing.rounds]
    else:  # every round is steady, and no two agree
        row.timing.rounds = [[value * (1 + 0.04 * i) for value in each] for i, each in enumerate(row.timing.rounds)]
    row.timing.noise[3] = SystemNoise(0.9, 0.0, 0, 0)
    (found,) = said([row])["rows"]
    assert found["unstable"] and found["causes"] == ["other programs used up to 0.90 CPUs"]
    row.timing.noise[3] = SystemNoise(0.0, 0.0, 0, 0)
    assert said([row])["rows"][0]["causes"] == ["no cause is visible in /proc and /sys"]


def test_what_slows_every_row_marks_every_row() -> None:
    """Four rows, each of them steady to 2 %, all of them 5 % slower in the third round: none is sure to 3 %."""
    rows = [measured("yolov3-tiny", 20.0 + i) for i in range(4)]
    assert not any(row["unstable"] for row in said(rows)["rows"])
    for row in rows:
        row.timing.rounds[2] = [1.05 * value for value in row.timing.rounds[2]]
    assert {tuple(row["causes"]) for row in said(rows)["rows"] if row["unstable"]} == {
        ("the machine's speed drifted by 5 % between rounds",)
    }
    assert all(row["unstable"] for row in said(rows)["rows"])
    assert stats.round_paces([row.timing.rounds for row in rows[:3]]) == [], "three rows are no machine"


def test_offline_counts_pictures_a_second_and_multistream_queries() -> None:
    row = measured("yolov3-tiny", 80.0)
    row.timing.per_sample = 8
    (found,) = said([row], BenchSettings(scenario="offline", threads=2))["rows"]
    assert found["fps"] == pytest.approx(100.0), "150 batches of 8 in 12 s of wall time"
    (found,) = said([row], BenchSettings(scenario="multi", threads=2))["rows"]
    assert found["fps"] == pytest.approx(8e3 / found["median_ms"])


def test_rows_without_samples_have_no_figures() -> None:
    way = measured("yolov3-tiny", 1.0).case
    rows = [
        CaseResult(replace(way, reason="engine 'trt' is not here")),
        CaseResult(way, failure="it was killed"),
        CaseResult(way),
    ]
    found = said(rows)["rows"]
    assert [row["reason"] for row in found] == [
        "engine 'trt' is not here", "it was killed", "stopped before the first round",
    ]  # fmt: skip
    assert all(row["fps"] is None and row["ms"] == [] and row["median_ms"] is None for row in found)
    assert [row["lost"] for row in found] == [False, True, False]
    assert set(found[0]) == set(said([measured("yolov3-tiny", 1.0)])["rows"][0])


def test_watts_and_joules() -> None:
    row = measured("yolov3-tiny", 20.0, rounds=2)  # 0.6 s and 30 frames a round
    row.timing.watts = [8.0, 10.0]
    assert said([row])["rows"][0]["power"] == pytest.approx({"watts": 9.0, "joules_a_frame": (8 + 10) * 0.6 / 60})
    row.timing.watts = [8.0]
    assert said([row])["rows"][0]["power"] is None, "a round without a reading"


def test_the_papers_columns() -> None:
    assert len(paper.table5()) == 10 and set(paper.table5()) <= set(zoo.names())
    assert paper.relative_speed("cspdensenetb-ref-prn", "jetson") == pytest.approx(73 / 37)
    assert paper.relative_speed("snet49-thundernet", "cuda") == pytest.approx(267 / 330), "one GTX 1080 Ti for all"
    assert paper.relative_speed("snet49-thundernet", "cpu") is None
    assert paper.relative_speed("snet49-thundernet", "jetson") is None
    assert paper.find_figures("yolov4", "cpu", (608, 608)) is None
    assert paper.find_figures("yolov3-tiny", "tensorrt", (416, 416)) == {
        "table": 5,
        "fps": None,
        "on": None,
        "ap50": 33.1,
    }


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("p99>30ms", None),
        ("p99>0.02s", "p99 is 20.4 ms"),
        ("p90 >= 10", "p90 is 20.3"),
        ("fps<25", None),
        ("fps<60", "fps is 49.45"),
        ("iqr>10%", None),
        ("memory>100MB", "memory is 200 MB"),
        ("memory>1GB", None),
        ("cpu>39ms", "cpu is 40 ms"),
        ("load>400ms", "load is 0.5 s"),
        ("watts>5W", "watts was not measured"),
        ("ap50<30", "ap50 was not measured"),
    ],
)
def test_gates(text: str, failed: Optional[str]) -> None:
    (row,) = said([measured("yolov3-tiny", 20.0)])["rows"]
    found = gate.parse(text).find_violation(row)
    assert found is None if failed is None else found is not None and found.startswith(failed), found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("p99", "a metric, > or <, and a number"),
        ("p99>fast", "a metric, > or <, and a number"),
        ("p98>3ms", "no metric is called 'p98'"),
        ("p99>30fps", "p99 is in ms, s, us, not 'fps'"),
        ("fps<25ms", "fps is in no unit, not 'ms'"),
    ],
)
def test_gates_that_cannot_be_meant(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        gate.parse(text)


def test_comparing_tells_noise_from_a_difference() -> None:
    before = said([measured("yolov3-tiny", 20.0), measured("yolov3-tiny-prn", 15.0), measured("codes", 9.0)])
    after = said([measured("yolov3-tiny", 20.0, seed=9), measured("yolov3-tiny-prn", 17.0), measured("codes", 8.0)])
    found, doubts = bench.compare_reports(before, after)
    assert [each.verdict for each in found] == ["within the noise", "slower", "faster"]
    assert found[1].ratio == pytest.approx(17 / 15) and found[1].low < found[1].ratio < found[1].high
    assert doubts == []
    assert found[0].to_dict()["verdict"] == "within the noise"


def test_a_drift_is_no_difference() -> None:
    """Two runs of one thing on a machine whose clock wanders: each round steady, rounds 8 % apart."""
    wandering = []
    for seed in (1, 2):
        row = measured("yolov3-tiny", 20.0, seed=seed)
        levels = np.random.default_rng(seed).uniform(0.92, 1.08, 5)
        row.timing.rounds = [[value * level for value in each] for level, each in zip(levels, row.timing.rounds)]
        wandering.append(said([row]))
    (found,), _ = bench.compare_reports(*wandering)
    assert found.verdict == "within the noise" and found.high - found.low > 0.05


def test_what_all_rows_share_is_told() -> None:
    names = ("codes", "yolov3-tiny", "yolov3-tiny-prn", "yolov4-tiny")
    before, after = (said([measured(name, ms) for name in names]) for ms in (20.0, 22.0))
    _, doubts = bench.compare_reports(before, after)
    assert len(doubts) == 1 and "all 4 rows are slower, 1.10 times in the median" in doubts[0]
    assert bench.compare_reports(before, before)[1] == []


def test_what_makes_two_reports_hard_to_compare() -> None:
    before = said([measured("yolov3-tiny", 20.0), measured("codes", 9.0)])
    after = copy.deepcopy(said([measured("yolov3-tiny", 20.0, rounds=1)]))
    after["machine"]["versions"] = {"onnxruntime": "2.0", "openvino": "1.0"}
    after["machine"]["governor"] = None
    _, doubts = bench.compare_reports(before, after)
    assert "onnxruntime: 1.0 in the first, 2.0 in the second" in doubts
    assert "openvino: None in the first, 1.0 in the second" in doubts
    assert "governor: performance in the first, None in the second" in doubts
    assert "1 row is in only one of the two reports" in doubts
    assert any(doubt.startswith("1 round a row: too few") for doubt in doubts)
    with pytest.raises(UsageError, match="no row is in both reports"):
        bench.compare_reports(before, said([measured("yolov4-tiny", 20.0)]))
    with pytest.raises(UsageError, match="batch 1 and the second 8"):
        bench.compare_reports(before, said([measured("yolov3-tiny", 20.0)], BenchSettings(batch=8)))


def test_reports_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(SourceError, match="cannot read"):
        bench.load(path)
    path.write_text("{")
    with pytest.raises(BadModel, match="not JSON"):
        bench.load(path)
    path.write_text('{"schema": "edgecsp-val/1"}')
    with pytest.raises(BadModel, match="its schema: 'edgecsp-val/1'"):
        bench.load(path)
    path.write_text(json.dumps(said([measured("codes", 9.0)])))
    assert bench.load(path)["rows"][0]["model"] == "codes"


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"device": "tpu"}, UnknownName, "no device is called 'tpu'"),
        ({"scenario": "server"}, UnknownName, "no scenario is called 'server'"),
        ({"precisions": ("fp8",)}, UnknownName, "no precision is called 'fp8'"),
        ({"engines": ("onnx",)}, UnknownName, "no engine is called 'onnx'"),
        ({"batch": 0}, UsageError, "--batch 0: at least 1"),
        ({"threads": 0}, UsageError, "--threads 0"),
        ({"rounds": 0}, UsageError, "--rounds 0"),
        ({"duration_s": 0.0}, UsageError, "--duration 0"),
        ({"duration_s": float("nan")}, UsageError, "--duration nan"),
        ({"mode": "pipeline", "batch": 2}, UsageError, "images one by one"),
        ({"mode": "pipeline", "scenario": "offline"}, UsageError, "images one by one"),
        ({"scenario": "multi", "batch": 3}, UsageError, "8 images a query"),
        ({"sources": ("a.jpg",)}, UsageError, "--pipeline"),
    ],
)
def test_settings_that_cannot_be_meant(given: Dict[str, Any], error: type, why: str) -> None:
    with pytest.raises(error, match=why):
        BenchSettings(**given)


def test_settings_of_the_scenarios() -> None:
    assert [(each.batch_size, each.calls_per_sample) for each in (
        BenchSettings(), BenchSettings(scenario="offline"), BenchSettings(scenario="multi"),
        BenchSettings(scenario="multi", batch=2),
    )] == [(1, 1), (8, 1), (8, 1), (2, 4)]  # fmt: skip
    assert BenchSettings(device="jetson").engine_device == "cuda"
