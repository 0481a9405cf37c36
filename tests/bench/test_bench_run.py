"""Real runs: workers on real engines, small models and short rounds; what a worker's end does; the command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import cv2
import numpy as np
import pytest

from edgecsp import backends, bench, zoo
from edgecsp.bench import BenchSettings, _graph_cost, _rounds, peak
from edgecsp.bench.process import BenchStopped, Process
from edgecsp.bench.results import CaseResult
from edgecsp.errors import BuildFailed, EngineUnavailable, OutputError, SourceError, UsageError
from edgecsp.graph import onnx_model
from edgecsp.zoo import store
from support.commands import invoke
from support.progress import RecordedProgress
from support.repository import REPO, TESTS
from support.tiny import Tiny

ENGINES = [name for name in backends.names(with_dummies=False) if backends.unavailable_reason(name, "cpu") is None]
SHORT = {"duration_s": 0.2, "rounds": 2, "threads": 1}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peak and hardly any warm-up: what they cost is seconds, and they have tests of their own."""
    monkeypatch.setattr(peak, "measure_peak", lambda *given, **more: {"fp32": 100.0, "bf16": 100.0, "int8": None})
    monkeypatch.setattr(_rounds, "WARM_S", 0.05)


@pytest.fixture
def tiny_file(tiny: Tiny, tmp_path: Path) -> str:
    path = tmp_path / "tiny.onnx"
    onnx_model.save(tiny.model, path)
    return str(path)


def test_every_engine_here(quick: None, tiny_file: str) -> None:
    bar = RecordedProgress()
    said = bench.run([tiny_file], BenchSettings(**SHORT), progress=bar, command=["edgecsp", "bench"])
    rows = {row["engine"]: row for row in said["rows"] if row["ms"]}
    assert sorted(rows) == sorted(ENGINES)
    for row in rows.values():
        assert len(row["rounds"]) == len(row["cpu_ms"]) == len(row["around"]) == 2
        assert sum(row["rounds"]) == len(row["ms"]) >= 6
        assert row["fps"] == pytest.approx(1e3 / row["median_ms"]) and row["of_peak"] == row["gflops"] / 100
        assert row["weights"] == "file" and row["load_s"] > 0 and row["peak_memory_bytes"] > 10 << 20
        assert row["cpu_ms"][0] > 0 and row["stages"] is None and not row["lost"]
    assert {"schema", "command", "started", "seconds", "stopped", "machine", "settings", "rows", "rank"} == set(said)
    assert said["schema"] == "edgecsp-bench/1" and not said["stopped"]
    assert said["machine"]["versions"]["onnxruntime"] and said["machine"]["peak_gflops"]["fp32"] == 100
    done = [step for step in bar.steps if step[1] > 1]
    assert [step[0] for step in done] == list(range(3 * len(ENGINES))) and done[0][1] == 3 * len(ENGINES)
    json.dumps(said, allow_nan=False)


def test_rounds_take_turns_there_and_back(quick: None, tiny_file: str) -> None:
    bar = RecordedProgress()
    bench.run([tiny_file], BenchSettings(engines=("ort", "opencv"), **SHORT), progress=bar)
    asked = [text.partition(" on ")[2] for _, _, text in bar.steps if ", round " in text]
    assert asked == [
        "ort in fp32, round 1",
        "opencv in fp32, round 1",
        "opencv in fp32, round 2",
        "ort in fp32, round 2",
    ]


@pytest.mark.parametrize(("scenario", "batch", "pictures"), [("offline", 4, 4), ("multi", 2, 8), ("multi", 8, 8)])
def test_scenarios(quick: None, tiny_file: str, scenario: str, batch: int, pictures: int) -> None:
    settings = BenchSettings(engines=("ort",), scenario=scenario, batch=batch, **SHORT)
    (row,) = bench.run([tiny_file], settings)["rows"]
    each = sum(row["ms"]) / len(row["ms"]) if scenario == "offline" else row["median_ms"]
    assert row["fps"] == pytest.approx(pictures * 1e3 / each, rel=0.05)


def test_the_stages_add_up_to_the_wall(quick: None, tiny_file: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), random.integers(0, 256, (480, 640, 3), np.uint8))
    settings = BenchSettings(mode="pipeline", sources=(str(tmp_path / "*.jpg"),), **SHORT)
    for row in bench.run([tiny_file], settings)["rows"]:
        if row["ms"]:
            stages = row["stages"]
            assert list(stages) == ["decode", "preprocess", "inference", "post"]
            assert all(len(samples) == len(row["ms"]) for samples in stages.values())
            assert row["wall_ms"] == row["ms"]
            # The median, for on a busy machine another program may run between two readings of the clock.
            shares = np.sum(list(stages.values()), axis=0) / row["wall_ms"]
            assert np.median(shares) > 0.95 and shares.max() <= 1
            assert np.median(stages["decode"]) > np.median(stages["inference"]) / 10, "a JPEG takes time to decode"


def test_pipeline_draws_its_own_pictures(quick: None, tiny_file: str) -> None:
    said = bench.run([tiny_file], BenchSettings(engines=("ort",), mode="pipeline", **SHORT))
    assert said["rows"][0]["stages"]["decode"]


def test_int8_and_what_an_engine_does_not_offer(quick: None, tiny_file: str) -> None:
    rows = bench.run([tiny_file], BenchSettings(engines=("ort", "opencv"), precisions=("fp32", "int8"), **SHORT))[
        "rows"
    ]
    found = {(row["engine"], row["precision"]): row for row in rows}
    assert found["ort", "int8"]["ms"] and found["ort", "fp32"]["ms"]
    assert found["ort", "int8"]["ranges"] == "drawn pictures" and found["ort", "fp32"]["ranges"] is None
    assert found["opencv", "int8"]["reason"] == "engine 'opencv' computes in fp32"


def test_a_graph_in_int8_has_no_fp32(quick: None, tiny: Tiny, tmp_path: Path) -> None:
    from edgecsp.graph import precision

    path = tmp_path / "small.onnx"
    ranges = precision.measure_ranges(tiny.model, [tiny.batch], "minmax", threads=1, least=1)
    onnx_model.save(precision.with_ranges(tiny.model, ranges), path)
    fp32, int8 = bench.run([str(path)], BenchSettings(engines=("ort",), precisions=("fp32", "int8"), **SHORT))["rows"]
    assert "it is a graph in int8" in fp32["reason"] and int8["ms"]
    (own,) = bench.run([str(path)], BenchSettings(engines=("ort",), **SHORT))["rows"]
    assert own["precision"] == "int8", "without --precision it is the graph's own"


@pytest.mark.slow
def test_two_stages_run_as_run_runs_them(quick: None) -> None:
    (row,) = bench.run(["snet49-thundernet"], BenchSettings(engines=("ort",), **SHORT))["rows"]
    assert row["ms"] and row["weights"] == "random" and row["bflops"] == pytest.approx(0.52, rel=0.01)


def test_memory_decides_how_many_are_open_at_once(monkeypatch: pytest.MonkeyPatch, tiny: Tiny, tiny_file: str) -> None:
    from edgecsp.bench import cases
    from edgecsp.system import memory

    settings = BenchSettings(**SHORT)
    subjects = [cases.resolve_model(tiny_file, settings), cases.resolve_model("codes", settings)]
    rows = [CaseResult(way) for way in cases.list_cases(subjects, {"ort": None, "opencv": None}, settings)]
    lab = _rounds.Bench(settings, None, lambda *step: None, lambda: None)  # type: ignore[arg-type]

    def sizes(free: Optional[int]) -> List[int]:
        monkeypatch.setattr(memory, "free", lambda: None if free is None else memory.Memory(free, 0))
        return [len(group) for group in lab._groups(rows)]

    assert sizes(8 << 30) == [4]
    assert sizes(3 << 29) == [2, 2]
    assert sizes(600 << 20) == [1, 1, 1, 1]
    assert sizes(None) == [1, 1, 1, 1]


def test_costs_of_a_file_are_those_of_the_zoo() -> None:
    for name in ("codes", "yolov3-tiny-prn"):
        bflops, parameters = _graph_cost.count_cost(store.random(name))
        cost = zoo.get(name).cost()
        assert parameters == cost.weights
        assert bflops == pytest.approx(cost.bflops, rel=0.01), "the zoo counts pools as well, as darknet does"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_peak_is_a_product_of_matrices(precision: str) -> None:
    """What is timed is the product: in fp32 exactly, in int8 within the rounding of one."""
    side = 64
    session = backends.open(peak.product_model(side, precision == "int8"), "ort", threads=1)
    a = np.random.default_rng(0).uniform(-1, 1, (1, 1, side, side)).astype(np.float32)
    (found,) = session.run(a)
    random = np.random.default_rng(0)
    if precision == "fp32":
        expected = a @ random.uniform(-1, 1, (side, side)).astype(np.float32)
        assert np.allclose(found, expected, atol=1e-4)
    else:
        expected = a @ (random.integers(-127, 128, (side, side)) / 64)
        off = np.abs(found - np.clip(expected, -127, 127))
        assert off.mean() < 1, "one step of the result is 1"


@pytest.mark.slow
def test_the_peak_of_this_machine() -> None:
    found = peak.measure_peak(["ort"], "cpu", 1)
    assert found["fp32"] is not None and 0.5 < found["fp32"] < 10_000
    assert found["int8"] is not None and found["int8"] > 0.5
    assert peak.measure_peak(["opencv"], "cpu", 1)["int8"] is None


# -- workers ---------------------------------------------------------------------------------------------------


def worker(name: str, **more: Any) -> Process:
    return Process({"make": f"support.subjects:{name}", "warm_s": 0.3, **more}, f"{name} on nothing")


def test_a_round_is_as_long_as_it_was_asked_to_be() -> None:
    process = worker("slept", sleep_s=0.005)
    try:
        said = process.round(0.3, 30)
    finally:
        process.close()
    assert 0.3 <= said["wall_s"] < 3 and all(ms >= 5 for ms in said["ms"])
    assert sum(said["ms"]) / 1e3 == pytest.approx(said["wall_s"], rel=0.05), "the clock is on nothing but the calls"
    assert said["cpu_ms"] < min(said["ms"]), "who sleeps does not compute"
    process.close()


def test_warm_up_ends_when_it_is_steady() -> None:
    process = worker("uneven", warm_s=20.0)
    process.close()
    assert process.ready["blocks"] >= 3, "the first two blocks are not alike"
    process = worker("slept", sleep_s=0.02, warm_s=0.01)
    process.close()
    assert process.ready["blocks"] == 1 and not process.ready["steady"], "a bound holds"


def test_what_a_library_prints_is_not_an_answer() -> None:
    process = worker("talking")
    try:
        assert process.round(0.01, 30)["ms"]
    finally:
        process.close()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("refused", "^the engine said no$"),
        ("broken", r"^broken on nothing ended with code 1: ValueError: an engine's own bug$"),
        ("killed", r"^killed on nothing was killed \(signal 9\)"),
    ],
)
def test_a_worker_that_ends_says_how(name: str, why: str) -> None:
    with pytest.raises(BuildFailed, match=why):
        worker(name, calls=0)


def test_a_worker_that_is_silent() -> None:
    process = worker("slept", sleep_s=0.2)
    try:
        with pytest.raises(BuildFailed, match="no answer within 1 s"):
            process.round(30, 1)
    finally:
        process.close()


def test_a_worker_outlives_nobody(tmp_path: Path) -> None:
    """When its parent is killed it ends by itself: nothing reads its answers any more."""
    code = f"""
import sys, os, time
sys.path.insert(0, {str(TESTS)!r})
from edgecsp.bench.process import Process
process = Process({{"make": "support.subjects:slept", "warm_s": 0.01, "sleep_s": 0.001}}, "x")
print(process._child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPO)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 30
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < end:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}/stat").exists()


def test_a_row_that_dies_leaves_the_others(quick: None, tiny_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _rounds.Bench._request

    def request(self: _rounds.Bench, way: Any) -> Dict[str, Any]:
        said = real(self, way)
        if way.engine == "opencv":
            said.update(make="support.subjects:killed", calls=250)
        return said

    monkeypatch.setattr(_rounds.Bench, "_request", request)
    said = bench.run([tiny_file], BenchSettings(engines=("opencv", "ort"), duration_s=1.0, rounds=5, threads=1))
    dead, alive = said["rows"]
    assert dead["lost"] and "was killed (signal 9)" in dead["reason"] and len(dead["rounds"]) < 5
    assert alive["reason"] is None and len(alive["rounds"]) == 5


def test_stopped_keeps_what_was_measured(quick: None, tiny_file: str) -> None:
    bar = RecordedProgress()

    def tick() -> None:
        if sum("round 2" in text for _, _, text in bar.steps):
            raise BenchStopped

    said = bench.run([tiny_file], BenchSettings(engines=("ort", "opencv"), **SHORT), progress=bar, tick=tick)
    assert said["stopped"] and [len(row["rounds"]) for row in said["rows"]] == [1, 1]
    assert all(row["fps"] and row["reason"] is None for row in said["rows"])

    def at_once() -> None:
        raise BenchStopped

    said = bench.run([tiny_file], BenchSettings(engines=("ort",), **SHORT), tick=at_once)
    assert said["stopped"] and said["rows"][0]["reason"] == "stopped before the first round"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_the_same_picture_is_no_faster(engine: str, tmp_path: Path) -> None:
    """MLPerf's TEST04 finds out who keeps answers. By CPU time, which neighbours hardly move."""
    path = tmp_path / "codes.onnx"
    onnx_model.save(store.load("codes"), path)
    request = {
        "path": str(path), "engine": engine, "device": "cpu", "threads": 1, "precision": "fp32", "at_once": 1,
        "options": {"accepts_uint8": False}, "mode": "model",
        "batch": 1, "calls": 1, "sources": [], "warm_s": 1.0,
    }  # fmt: skip
    both = [Process({**request, "same_picture": same}, f"same {same}") for same in (False, True)]
    try:
        spent: List[List[float]] = [[], []]
        for turn in range(16):  # the least of each: a neighbour who takes the caches costs CPU time, too
            for process, found in zip(both, spent):
                found.append(process.round(0.4, 120)["cpu_ms"])
            if turn >= 3 and min(spent[0]) / min(spent[1]) < 1.10:
                break
    finally:
        for process in both:
            process.close()
    assert min(spent[0]) / min(spent[1]) < 1.10


# -- the errors before anything is measured ------------------------------------------------------------------------


def test_what_cannot_run_is_said_before(quick: None, tiny_file: str) -> None:
    for words, settings, error, why in (
        (["yolov3-tyni"], {}, SourceError, "did you mean yolov3-tiny"),
        ([tiny_file], {"engines": ("trt",)}, EngineUnavailable, "engine 'trt' "),
        ([tiny_file], {"device": "jetson"}, EngineUnavailable, "this machine is not a Jetson"),
        ([tiny_file], {"weights": "random"}, UsageError, "random ones are for the zoo's"),
        ([tiny_file], {"hw": (65, 64)}, UsageError, "65"),
        (
            ["codes"],
            {"mode": "pipeline", "sources": ("nowhere.jpg",)},
            SourceError,
            "no such file or folder: nowhere.jpg",
        ),
    ):
        with pytest.raises(error, match=why):
            bench.run(words, BenchSettings(**{**SHORT, **settings}))
    with pytest.raises(UsageError, match="none of the models has trained weights"):
        bench.run(["yolov3-tiny-prn"], BenchSettings(weights="random", **SHORT), data=Path("nowhere"))


def test_no_gpu_here(quick: None, tiny_file: str) -> None:
    if any(backends.unavailable_reason(name, "cuda") is None for name in ("ort", "trt")):
        pytest.skip("there is a GPU here")
    with pytest.raises(EngineUnavailable, match="no engine runs on device 'cuda' here; see: edgecsp doctor\n  "):
        bench.run([tiny_file], BenchSettings(device="cuda", **SHORT))


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(quick: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Tuple[int, str, str]]:
    """`edgecsp bench WORDS` in this process: exit code, stdout, stderr."""
    return lambda *words: invoke(capsys, "bench", *words)


BRIEF = ("--duration", "0.2", "--rounds", "2", "--threads", "1")


def test_a_table_a_report_and_a_page(
    typed: Any, tiny_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    code, out, err = typed(tiny_file, "codes", "-e", "ort", *BRIEF, "--json", str(report), "--html", str(page))
    assert code == 0 and err.splitlines() == [f"wrote {report}", f"wrote {page}"]
    for words in ("inference only", "1 thread on", "governor", "GFLOP/s", "codes", "p99.9", "MB"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 240
    said = bench.load(report)
    assert [row["model"] for row in said["rows"]] == [tiny_file, "codes"] and said["command"]
    assert said["rows"][1]["weights"] == "shipped"
    assert page.read_text().lower().startswith("<!doctype html")
    # Two files: nothing is measured.
    code, out, _ = typed("compare", str(report), str(report))
    assert code == 0 and out.count("within the noise") == 2
    code, out, _ = typed("compare", str(report), str(report), "--json", "-", "--fail-if", "p99>1us")
    assert code == 8 and [each["ratio"] for each in json.loads(out)["differences"]] == [1.0, 1.0]
    with pytest.raises(UsageError, match="a page shows one report"):
        typed("--compare", str(report), str(report), "--html", str(page))
    capsys.readouterr()
    code, out, err = typed("--compare", str(report), str(report))  # the old spelling
    assert code == 0 and out.count("within the noise") == 2 and "type: edgecsp bench compare" in err
    # A new measurement against an old one.
    code, out, _ = typed(tiny_file, "-e", "ort", *BRIEF, "--compare", str(report))
    assert code == 0 and "the second is" in out and "1 row is in only one of the two" in out


def test_json_on_stdout_is_alone_there(typed: Any, tiny_file: str) -> None:
    code, out, err = typed(tiny_file, "-e", "ort", *BRIEF, "--json", "-", "--pipeline")
    assert code == 0 and json.loads(out)["settings"]["mode"] == "pipeline"
    assert "sum of wall" in err


@pytest.mark.parametrize(("gate", "code"), [("fps<0.001", 0), ("p99>0.001ms", 8), ("watts>1000", 8)])
def test_gates_have_an_exit_code_of_their_own(typed: Any, tiny_file: str, gate: str, code: int) -> None:
    found, out, err = typed(tiny_file, "-e", "ort", "-q", *BRIEF, "--fail-if", gate)
    assert found == code and out == ""
    assert (f"--fail-if {gate!r}: {Path(tiny_file).name} on ort in fp32: " in err) == (code == 8)


def test_a_gate_is_not_passed_by_rows_that_were_not_measured(typed: Any, tiny_file: str) -> None:
    code, _, err = typed(tiny_file, "-e", "opencv", "--precision", "int8", *BRIEF, "--fail-if", "fps<1")
    assert code == 8 and "no row was measured" in err


def test_a_lost_row_is_partly_done(typed: Any, tiny_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = {"make": "support.subjects:killed", "calls": 0, "warm_s": 0.1}
    monkeypatch.setattr(_rounds.Bench, "_request", lambda self, way: request)
    code, out, _ = typed(tiny_file, "-e", "ort", *BRIEF)
    assert code == 4 and "not measured" in out and "was killed (signal 9)" in out


def test_a_narrow_terminal_gets_two_tables(typed: Any, tiny_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecsp.cli.render import bench as _bench_shown

    monkeypatch.setattr(_bench_shown, "WIDE", 80)
    code, out, _ = typed(tiny_file, "-e", "ort", *BRIEF)
    heads = [line.split() for line in out.splitlines() if line.split()[:2] == ["model", "engine"]]
    assert code == 0 and len(heads) >= 2 and "p99" in heads[-1] and "p99" not in heads[0]
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out


def test_places_that_cannot_be_written_show_before(typed: Any, tiny_file: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(OutputError, match="it is a folder"):
        typed(tiny_file, "--duration", "600", "--json", str(tmp_path))
    with pytest.raises(OutputError, match="cannot write"):
        typed(tiny_file, "--duration", "600", "--html", "/proc/nowhere/page.html")
    with pytest.raises(UsageError, match="stdout is for --json"):
        typed(tiny_file, "--html", "-")
    with pytest.raises(UsageError, match="give either all or names"):
        typed(tiny_file, "--engine", "all,ort")
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(tiny_file: str, tmp_path: Path) -> None:
    """In a terminal, where the signal goes to the workers as well."""
    report = tmp_path / "report.json"
    controller, terminal = pty.openpty()
    words = [tiny_file, "-e", "ort", "--duration", "300", "--rounds", "600", "--threads", "1", "--json", str(report)]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecsp", "bench", *words], cwd=REPO, stdout=subprocess.PIPE, stderr=terminal,
        text=True, start_new_session=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "150"},
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    while b"round 3" not in seen:
        seen += os.read(controller, 4096)
    os.killpg(process.pid, signal.SIGINT)
    while True:  # a terminal that nobody reads would hold it up
        try:
            if not os.read(controller, 4096):
                break
        except OSError:  # it has closed its side
            break
    out, _ = process.communicate(timeout=120)
    os.close(controller)
    assert process.returncode == 130, out
    assert "stopped early" in out
    said = bench.load(report)
    assert said["stopped"] and said["rows"][0]["fps"] and len(said["rows"][0]["rounds"]) >= 2


@pytest.mark.slow
def test_ap50_beside_the_speed(quick: None, test_data: Path, tmp_path: Path) -> None:
    """In percent, as the paper's, and the same as `edgecsp val` says; not for an int8 graph made for timing."""
    from edgecsp import pipeline
    from edgecsp.bench import accuracy
    from edgecsp.importers import darknet

    weights, data = test_data / "weights" / "yolo-fastest-1.1-xl.weights", test_data / "data" / "coco64"
    made, path = darknet.load(weights.with_suffix(".cfg"), weights).model, tmp_path / "fastest.onnx"
    onnx_model.save(made, path)
    settings = BenchSettings(engines=("ort",), precisions=("fp32", "int8"), **SHORT)
    fp32, int8 = bench.run([str(path)], settings, data=data)["rows"]
    with pipeline.load(made, "ort", device="cpu", threads=1) as detector:
        expected = accuracy.ap50(detector, data)
    assert expected is not None and fp32["ap50"] == pytest.approx(100 * expected)
    assert 50 < fp32["ap50"] < 60 and int8["ms"] and int8["ap50"] is None
