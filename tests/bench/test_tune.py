"""Tuning: who leaves and who wins where speeds are known; real engines on a tiny model; int8 by its AP; the command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

from edgecsp import backends, pipeline
from edgecsp.backends import tuning as tuned
from edgecsp.backends.tuning import Candidate
from edgecsp.bench import _accuracy_gate, _candidates, _successive_halving, tune
from edgecsp.bench._successive_halving import Contest, ContestRow
from edgecsp.errors import BuildFailed, CalibrationError, EngineUnavailable, UnknownName, UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.graph.precision import calibration
from edgecsp.importers import darknet
from edgecsp.system import cpu
from support.commands import invoke
from support.progress import RecordedProgress
from support.tiny import Tiny

pytestmark = pytest.mark.usefixtures("own_home")

SHARED = [name for name in ("ort", "openvino") if backends.unavailable_reason(name) is None]


# -- contests of known speed -----------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Made:
    """A worker that takes as long as its request says, 3 % more or less; now and then another program disturbs it."""

    clock: Clock
    random: np.random.Generator
    closed: int

    def __init__(self, request: Dict[str, Any], doing: str, tick: Callable[[], None]) -> None:
        self.request = request
        self.clock.sleep(1.0)

    def round(self, seconds: float, most_s: float) -> Dict[str, Any]:
        each = self.request["ms"] * (3 if self.random.random() < 0.1 else 1)
        ms = self.random.normal(each, 0.03 * each, max(3, int(seconds * 1e3 / each))).tolist()
        self.clock.sleep(sum(ms) / 1e3)
        costs = {"cpu_ms": each, "wall_s": sum(ms) / 1e3, "own_s": 0.0, "peak_memory_bytes": 1}
        return {"ms": ms, "stages": None, "per_sample": 1, **costs}

    def close(self) -> None:
        Made.closed += 1


def row(name: str, default: bool = False, asked: bool = True, kind: str = "latency") -> ContestRow:
    return ContestRow(Candidate(name, "cpu", "fp32", 1), kind, default, asked)


def contested(rows: List[ContestRow], requests: Dict[str, Dict[str, Any]], seconds: float) -> List[str]:
    """Run it and give the order in which rows were asked."""
    heard: List[str] = []
    contest = Contest(
        lambda row: {"calls": 10**9, "warm_s": 0.0, **requests[row.candidate.engine]}, 0,
        _successive_halving.time.monotonic() + seconds, lambda text: heard.append(text.split()[1]), lambda: None,
    )  # fmt: skip
    try:
        contest.run(rows)
    finally:
        contest.close()
    return heard


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", tuned.KINDS)
def test_the_slow_leave_early_and_the_default_stays(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    Made.clock, Made.random, Made.closed = clock, np.random.default_rng(seed), 0
    monkeypatch.setattr(_successive_halving, "time", clock)
    monkeypatch.setattr(_successive_halving, "Process", Made)
    speeds = {"far": 60.0, "slow": 12.0, "best": 4.0, "middle": 7.5, "other": 6.0, "near": 4.1}
    rows = [row(name, default=name == "slow", kind=kind) for name in speeds]
    heard = contested(rows, {name: {"ms": ms} for name, ms in speeds.items()}, 30.0)
    assert heard[:6] == ["slow", "far", "best", "middle", "other", "near"], "the default is measured first"
    assert 25 < clock.now < 33 and Made.closed == 6
    by_name = {each.candidate.engine: each for each in rows}
    assert "times as slow as the best" in by_name["far"].dropped and len(by_name["far"].rounds) == 2
    assert by_name["middle"].dropped and not by_name["best"].dropped and not by_name["slow"].dropped
    assert len(by_name["best"].rounds) == len(by_name["slow"].rounds) > len(by_name["middle"].rounds)
    best, sure = _successive_halving.winner(rows)
    assert best is not None and best.candidate.engine in ("best", "near")
    assert sure is not None and 1 < sure[0] < sure[1] < 8
    last = heard[-2 * sum(not each.dropped for each in rows) :]
    assert last == last[::-1], "there and back"


def test_what_is_as_fast_as_the_default_does_not_win() -> None:
    rows = [row("one", default=True), row("two")]
    rows[0].timing.rounds = np.random.default_rng(0).normal(5, 0.2, (8, 40)).tolist()
    rows[1].timing.rounds = [[ms * 0.999 for ms in each] for each in rows[0].timing.rounds]
    assert _successive_halving.winner(rows) == (rows[0], None)
    rows[1].timing.rounds = [[ms * 0.8 for ms in each] for each in rows[0].timing.rounds]
    best, sure = _successive_halving.winner(rows)
    assert best is rows[1] and sure is not None and sure[0] > 1.2
    rows[0].is_requested = False
    rows[1].timing.rounds = [[ms * 1.5 for ms in each] for each in rows[0].timing.rounds]
    best, sure = _successive_halving.winner(rows)
    assert best is rows[1] and sure is not None and sure[1] < 0.7, "only what was asked for wins"


def sleeps(ms: float) -> Dict[str, Any]:
    return {"make": "support.subjects:slept", "sleep_s": ms / 1e3}


def test_a_candidate_that_dies_leaves_with_its_reason() -> None:
    rows = [row("dies"), row("refuses"), row("lives", default=True)]
    requests = {
        "dies": {"make": "support.subjects:killed", "calls": 12},
        "refuses": {"make": "support.subjects:refused"},
        "lives": sleeps(3),
    }
    contested(rows, requests, 60.0)
    assert "was killed (signal 9)" in rows[0].dropped and rows[1].dropped == "the engine said no"
    assert _successive_halving.winner(rows) == (rows[2], None)
    assert all(json.dumps(each.to_dict(), allow_nan=False) for each in rows)
    assert rows[1].to_dict()["p50_ms"] is None


def test_a_budget_that_is_over_is_told() -> None:
    rows = [row("one", default=True), *(row(str(number)) for number in range(3))]
    begun = time.monotonic()
    contested(rows, {each.candidate.engine: sleeps(3) for each in rows}, 0.01)
    assert time.monotonic() - begun < 20
    assert not rows[0].dropped and all("out of time; give more with --seconds" in each.dropped for each in rows[1:])
    assert _successive_halving.winner(rows) == (rows[0], None)


# -- real engines ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as there are two of, on any machine: the candidates are then the same everywhere."""
    monkeypatch.setattr(cpu, "threads", lambda *given: 2)


def test_real_engines_and_auto_takes_the_winner(two_cores: None, tiny: Tiny) -> None:
    engines = tuple(dict.fromkeys(("ort", *SHARED)))
    bar = RecordedProgress()
    found = tune.run(tiny.model, "tiny", tune.Tuning(seconds=8, engines=engines), progress=bar)
    said = found.report
    json.dumps(said, allow_nan=False)
    assert not (tuned.folder().parent / "plans").exists(), "candidates leave nothing behind"
    assert {(each["kind"], each["engine"], each["threads"], each["at_once"]) for each in said["rows"]} == {
        (kind, name, threads, at_once)
        for name in engines
        for kind, threads, at_once in (
            ("latency", 2, 1), ("latency", 1, 1), ("throughput", 2, 1), ("throughput", 2, 2),
        )
    }  # fmt: skip
    for kind, choice in said["choices"].items():
        assert choice["default"]["default"] and choice["default"]["engine"] == backends.choose().engine
        assert choice["times_as_fast"] == pytest.approx(
            choice["default"]["p50_ms"] / choice["chosen"]["p50_ms"]
            if kind == "latency"
            else choice["chosen"]["fps"] / choice["default"]["fps"]
        )
        assert choice["chosen"]["default"] or choice["interval"][0] > 1
        assert choice["chosen"]["cpu_ms"] > 0
    assert {total for _, total, _ in bar.steps} == {1, 8}
    place = found.save()
    assert place.parent == tuned.folder() and tuned.list_tunings()[0].stale_reason is None
    for at_once, kind in ((1, "latency"), (4, "throughput")):
        with pipeline.load(tiny.model, concurrency=at_once) as detector:
            assert detector.chosen is not None and detector.chosen.summary == str(found.choices[kind])
            assert type(detector.session).__module__ == f"edgecsp.backends.{found.choices[kind].engine}"


def test_the_default_is_there_for_comparison_when_others_are_asked_for(two_cores: None, tiny: Tiny) -> None:
    tuning = tune.Tuning(engines=("opencv",), threads=(1,))
    rows = list(_candidates.build_rows("latency", [_candidates.Contender("opencv", "cpu", "fp32")], tiny.model, tuning))
    fixed = backends.choose(precision="fp32").engine
    assert [(each.candidate.engine, each.default, each.is_requested) for each in rows] == [
        (fixed, True, False), ("opencv", False, True),
    ]  # fmt: skip


def test_what_was_far_behind_is_not_asked_again(two_cores: None, tiny: Tiny) -> None:
    offers = [_candidates.Contender(name, "cpu", "fp32") for name in ("ort", "opencv")]
    before = list(_candidates.build_rows("latency", offers, tiny.model, tune.Tuning()))
    for each in before:
        each.timing.rounds = [[30.0 if each.candidate.engine == "opencv" else 10.0]]
    rows = list(_candidates.build_rows("throughput", offers, tiny.model, tune.Tuning()))
    _candidates.drop_slow_candidates(rows, before)
    told = {each.candidate.engine: each.dropped for each in rows if not each.default}
    assert told["opencv"] == "not measured: 3.0 times as slow as the best for latency" and told["ort"] == ""


def test_one_thread_has_one_contest(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "threads", lambda *given: 1)
    found = tune.run(tiny.model, "tiny", tune.Tuning(seconds=1, engines=("ort",)))
    assert {each["kind"] for each in found.report["rows"]} == {"latency"}
    assert found.choices["throughput"] == found.choices["latency"]


def test_stopping_ends_the_workers(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: List[Any] = []

    class Seen(_successive_halving.Process):
        def __init__(self, *given: Any) -> None:
            opened.append(self)
            super().__init__(*given)

    def tick() -> None:
        if len(opened) == 2:
            raise tune.BenchStopped

    monkeypatch.setattr(_successive_halving, "Process", Seen)
    with pytest.raises(tune.BenchStopped):
        tune.run(tiny.model, "tiny", tune.Tuning(seconds=60, engines=("ort",), threads=(1, 2)), tick=tick)
    assert [each._child.poll() for each in opened] == [-9, -9] and tuned.list_tunings() == []


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"engines": ("ortt",)}, UnknownName, "Did you mean 'ort'"),
        ({"engines": ("null",)}, UsageError, "computes nothing"),
        ({"precisions": ("int4",)}, UnknownName, "Did you mean 'int8'"),
        ({"device": "abacus"}, UnknownName, "no device is called 'abacus'"),
        ({"threads": (0,)}, UsageError, "at least 1"),
        ({"seconds": 0.0}, UsageError, "--seconds 0"),
        ({"max_ap_drop": 2.0}, UsageError, "AP is in 0..1"),
        ({"precisions": ("fp32", "int8")}, UsageError, "--data FOLDER"),
        ({"engines": ("trt",)}, EngineUnavailable, "engine 'trt'"),
    ],
)
def test_what_cannot_be_meant(tiny: Tiny, given: Dict[str, Any], error: Any, told: str) -> None:
    if given.get("engines") == ("trt",) and backends.unavailable_reason("trt") is None:
        pytest.skip("TensorRT runs here")
    with pytest.raises(error, match=told):
        tune.run(tiny.model, "tiny", tune.Tuning(**given))


# -- int8, by what it does to boxes ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_int8_is_taken_where_ap_allows_it(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """yolo-fastest loses less than 0.02 of AP in int8 on onnxruntime; a model that loses more is refused."""
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    weights = test_data / "weights" / "yolo-fastest-1.1-xl.weights"
    model = darknet.load(weights.with_suffix(".cfg"), weights).model
    data = test_data / "data" / "coco64"
    scored, rest = _accuracy_gate.split(_accuracy_gate.read_data(data, model))
    assert len(scored.images) == len(rest) == 64
    monkeypatch.setattr(cpu, "threads", lambda *given: 1)
    for module in (precision, calibration):
        monkeypatch.setattr(module, "MIN_IMAGES", 24)
    ranges = _accuracy_gate.measure_ranges(model, rest[:12], 2, lambda: None)
    assert ranges.images == 24, "few pictures: their mirror images, too"
    given: Dict[str, Any] = {"seconds": 2, "engines": ("ort",), "precisions": ("int8",), "threads": (1,)}
    found = tune.run(model, "fastest", tune.Tuning(max_ap_drop=0.2, **given), data=data, ranges=ranges)
    (verdict,) = found.report["verdicts"]
    assert verdict["refused"] is None and abs(verdict["own"] - verdict["ap"]) < 0.02
    assert "AP is of 64 of the data's 64 images" in found.report["notes"]
    assert {each.precision for each in found.choices.values()} == {"int8"}
    found.save()
    with pipeline.load(model, conf=0.4) as detector:
        assert precision.detect_precision(detector.model) == "int8" and detector.settings.conf == 0.4
    # Had it lost 0.03: int8 is no candidate, and there is no other here.
    lossy = _accuracy_gate.Verdict(**{**verdict, "ap": verdict["own"] - 0.03, "refused": None})
    refused = _accuracy_gate.apply_limit(lossy, 0.01)
    monkeypatch.setattr(_accuracy_gate, "judge_precisions", lambda *given: [refused])
    with pytest.raises(BuildFailed, match=r"AP falls by 0.03[0-9]*, from 0.2.* to 0.2.*: more than --max-ap-drop 0.01"):
        tune.run(model, "fastest", tune.Tuning(**given), data=data, ranges=ranges)


def test_too_few_pictures_for_ranges(tiny: Tiny, test_data: Path) -> None:
    pictures = _accuracy_gate.split(_accuracy_gate.read_data(test_data / "data" / "coco64", _coco(test_data)))[1][:49]
    with pytest.raises(CalibrationError, match=r"49 images are too few .* --calib"):
        _accuracy_gate.measure_ranges(tiny.model, pictures, 1, lambda: None)


def _coco(test_data: Path) -> Any:
    weights = test_data / "weights" / "yolo-fastest-1.1-xl.weights"
    return darknet.load(weights.with_suffix(".cfg"), weights).model


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(two_cores: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Tuple[int, str, str]]:
    """`edgecsp WORDS` in this process: exit code, stdout, stderr."""
    return lambda *words: invoke(capsys, *words)


def test_tune_run_list_forget(typed: Any, tiny: Tiny, tmp_path: Path, picture: Any) -> None:
    import cv2

    model, image = str(tmp_path / "tiny.onnx"), str(tmp_path / "a.png")
    onnx_model.save(tiny.model, model)
    cv2.imwrite(image, picture)
    with pytest.raises(UsageError, match="see: edgecsp tune list"):
        typed("tune", "forget", model)
    code, out, err = typed("tune", model, "--seconds", "1", "-e", "ort", "--threads", "1", "--json", "-")
    assert code == 0 and json.loads(out)["choices"]["latency"]["chosen"]["threads"] == 1
    assert "latency: one image at a time" in err and "throughput: concurrent images" in err
    assert "default auto" in err or "that is the default" in err
    assert f"int8 was not tried, because it changes boxes; to check it on labelled images: edgecsp tune {model}" in err
    place = tuned.path(tiny.model)
    assert err.splitlines()[-1] == (
        f"cached in {place}, used by --engine auto; to remove it: edgecsp tune forget {model}"
    )
    day = json.loads(place.read_text())["date"][:10]
    words = ["run", image, "-m", model, "--json", str(tmp_path / "found.jsonl")]
    line = typed(*words)[2].splitlines()[0]
    assert line == f"edgecsp: engine ort on cpu in fp32, 1 thread: tuned here on {day} (edgecsp tune {model})"
    assert "tuned" not in typed(*words, "--engine", "ort")[2]
    assert f"{model} (tiny, 64x64), tuned on {day}" in typed("tune", "list")[1]
    for word in ("engines", "doctor"):
        assert f"{'tuned':10} {model}: in use" in typed(word)[1].splitlines()
    (said,) = json.loads(typed("tune", "list", "--json", "-")[1])["kept"]
    assert said["unfit"] is None and said["report"]["schema"] == tune.SCHEMA
    typed("tune", "forget", model)
    assert not place.exists() and "nothing is cached" in typed("tune", "list")[2]
    assert "tuned" not in typed(*words)[2]


def test_flags_that_do_not_go_together(typed: Any) -> None:
    with pytest.raises(UsageError, match=r"--max-ap-drop and --calib .* --data"):
        typed("tune", "--max-ap-drop", "0.1")
    with pytest.raises(UsageError, match="must be integers"):
        typed("tune", "--threads", "two")
    with pytest.raises(UsageError, match="tune forget needs a model"):
        typed("tune", "forget")
