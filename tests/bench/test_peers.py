"""The peers' scripts and what is said of them: two real ones on real pictures, and the arithmetic between them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from benchmarks.peers import __main__ as table
from benchmarks.peers import processes, subjects, yolov8n
from benchmarks.peers.processes import Peer
from benchmarks.peers.subjects import Subject
from edgecsp import backends, zoo
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from support.repository import REPO, child_environment
from support.waiting import eventually


@pytest.mark.slow
def test_a_hand_written_peer_finds_what_edgecsp_finds(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subjects, "DATA", test_data)
    more = (("engine", "ort"), ("threads", 1), ("file", "onnx"), ("precision", "fp32"))
    able = [
        Peer("edgecsp ort", sys.executable, "with_edgecsp.py", ("darknet",), more),
        Peer("plain onnxruntime", sys.executable, "with_onnxruntime.py", ("darknet",), more),
        Peer("OpenCV 5 dnn", sys.executable, "with_opencv5.py", ("darknet",), more),
        Peer("dies", sys.executable, "with_nothing.py", ("darknet",), more),
        Peer("not here", sys.executable, "", ("darknet",), lacks="no such thing"),
    ]
    (subject,) = subjects.subjects(["yolov3-tiny"], tmp_path, able, alone=True)
    rows = table.measure(subject, able, rounds=2, seconds=0.01)
    table.figures(rows)
    ours, plain, opencv5, dead, absent = rows
    assert ours["found"] >= 10 and ours["same"] == 1.0 and ours["times"] == ours["cpu_times"] == 1.0
    assert plain["same"] >= 0.9, "the same network, the same pictures, another's decoder"
    assert opencv5["same"] == plain["same"], "the same decoder"
    assert len(plain["ms"]) == sum(plain["rounds"]) >= 6 and len(plain["cpu_ms"]) == 2 and plain["cpu_ms"][0] > 0
    assert "with_nothing.py" in dead["reason"] and not dead["ms"] and absent["reason"] == "no such thing"
    table.show(rows, subject.about)
    said = capsys.readouterr().out
    assert "plain onnxruntime" in said and "not here: no such thing" in said


@pytest.mark.slow
@pytest.mark.skipif(bool(backends.unavailable_reason("openvino")), reason="openvino is not installed")
def test_the_model_in_the_box_is_a_subject_in_fp32_and_in_int8(tmp_path: Path) -> None:
    able = [peer for peer in processes.peers(str(tmp_path / "venv-"), 1) if peer.name.startswith("edgecsp o")]
    (subject,) = subjects.subjects(["codes"], tmp_path, able)
    assert set(subject.request["files"]) == {"onnx", "int8", "cfg", "weights", "param", "bin"} and not subject.others
    rows = table.measure(subject, able, rounds=1, seconds=0.01)
    table.figures(rows)
    found = {row["peer"]: row for row in rows if row["ms"]}
    assert found["edgecsp openvino"]["found"] >= 20, "the film's codes are found"
    assert found["edgecsp openvino"]["same"] == 1.0
    assert 0.1 < found["edgecsp openvino int8"]["same"] < 1.0, "the same boxes by and large, and not the same numbers"
    assert abs(found["edgecsp openvino int8"]["found"] - found["edgecsp openvino"]["found"]) <= 4


@pytest.mark.slow
@pytest.mark.skipif(bool(backends.unavailable_reason("ncnn")), reason="ncnn is not installed")
def test_a_model_without_weights_gets_some_boxes_and_each_peer_finds_them_with_its_own_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "DATA", tmp_path)
    able = [peer for peer in processes.peers(str(tmp_path / "venv-"), None) if peer.name.startswith("edgecsp")]
    more = (("threads", None), ("file", "param"))
    able.append(Peer("ncnn", sys.executable, "with_ncnn.py", ("darknet",), more))
    names = ["cspdensenetb-ref-prn", "codes"]
    untrained, codes = subjects.subjects(names, tmp_path, able, alone=True)
    assert "random weights" in untrained.about
    rows = [row for subject in (untrained, codes) for row in table.measure(subject, able, rounds=1, seconds=0.01)]
    table.figures(rows[:3])
    table.figures(rows[3:])
    chosen, exact, _ = rows[:3]
    assert (chosen["who"], exact["who"]) == ("edgecsp", "edgecsp fp32") and chosen["times"] == 1.0
    assert exact["same"] == 1.0 and abs(exact["found"] - subjects.SOME) <= 2
    assert abs(rows[5]["found"] - rows[4]["found"]) <= 4, "ncnn's own resize, decoder and NMS"
    assert rows[5]["same"] >= 0.6, "its scores are higher where the class is unsure"
    means = table.geometric_means([{**rows[2], "times": 2.0}, {**rows[5], "times": 8.0}])
    assert means == {"ncnn": {"times": pytest.approx(4.0), "models": names}}


def test_who_cannot_read_a_network_gets_one_that_costs_as_much() -> None:
    assert [yolov8n.nearest(each) for each in (5.57, 1.56, 8.7)] == [(512, 512), (256, 288), (640, 640)]
    other = Subject("yolov8n", "yolov8", "", {"files": {}, "hw": [256, 288], "bflops": 5.6})
    net = Subject("tiny", "darknet", "", {"files": {}}, (other,))
    assert net.read_by(("darknet", "yolov8")) is net and net.read_by(("yolov8",)) is other
    assert net.read_by(("a third",)) is None
    process = processes.Process(Peer("theirs", "python", "x.py", ("yolov8",), lacks="not here"), other)
    assert table.named(process, net) == "theirs, yolov8n at 288x256 (5.60 BFLOPs)"
    assert table.named(process, other) == "theirs"
    process.close()


def test_a_file_that_a_model_has_not_is_said() -> None:
    subject = Subject("tiny", "darknet", "", {"files": {"onnx": "x.onnx"}})
    process = processes.Process(Peer("small", sys.executable, "x.py", ("darknet",), (("file", "int8"),)), subject)
    assert process.reason == "there is no int8 file of tiny"
    process.close()


def test_an_onnx_files_bflops_are_the_tapes(tmp_path: Path) -> None:
    onnx_model.save(zoo.model("yolov3-tiny", RandomWeights(0), (96, 96)), tmp_path / "x.onnx")
    assert yolov8n.bflops_of(tmp_path / "x.onnx") == pytest.approx(zoo.get("yolov3-tiny").net((96, 96)).bflops)


def test_ratios_are_of_the_same_round() -> None:
    """The machine halves its speed in the second round; who takes twice as long does so in both."""

    def row(peer: str, ms: List[float]) -> Dict[str, Any]:
        return {
            "peer": peer,
            "reads": "net",
            "ms": ms,
            "rounds": [2, 3, 2],
            "cpu_ms": [1.0, 2.0, 3.0],
            "boxes": [],
            "calls": 1.0,
        }

    ms = [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    rows = [row(table.BASES[1], ms), row(table.JUDGES[1], [2 * each for each in ms])]
    table.figures(rows)
    assert [each["times"] for each in rows] == [1.0, 2.0] and rows[1]["cpu_times"] == 1.0
    assert "boxes" not in rows[0] and rows[0]["same"] == 1.0
    rows = [row(table.JUDGES[1], [1.0] * 7), {**row("theirs", [2.0] * 7), "reads": "another"}]
    table.figures(rows)
    assert rows[1]["times"] == 2.0 and rows[1]["same"] is None, "boxes of another network are held against nothing"


def test_agreement_counts_both_sides() -> None:
    box, moved, other = [0, 0.9, 0, 0, 10, 10], [0, 0.9, 0, 3, 10, 13], [1, 0.9, 0, 0, 10, 10]
    assert table.agreement([[box]], [[box]]) == 1.0
    assert table.agreement([[box]], [[moved]]) == table.agreement([[box]], [[other]]) == 0.0
    assert table.agreement([[box, other]], [[box]]) == pytest.approx(2 / 3)
    assert table.agreement([[box, box]], [[box]]) == pytest.approx(2 / 3), "a box is found again once"
    assert table.agreement([[]], [[]]) == 1.0


def test_what_is_not_here_says_what_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGECSP_OPENCV4_PYTHON", raising=False)
    found = {peer.name: peer for peer in processes.peers(str(tmp_path / "venv-"), 2)}
    for name in ("ultralytics", "OpenVINO Model API", "plain onnxruntime"):
        assert "make bench-peers" in found[name].lacks
    assert not found["edgecsp ort"].lacks


def test_the_package_imports_no_peer() -> None:
    """ultralytics is AGPL-3.0, and none of the others is a dependency either."""
    import edgecsp

    for path in Path(edgecsp.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not any(f"import {name}" in text for name in ("ultralytics", "model_api", "benchmarks")), path


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the child")
def test_a_measured_process_ends_with_a_killed_benchmark(tmp_path: Path) -> None:
    number = tmp_path / "pid"
    code = f"""
import subprocess, sys
from pathlib import Path
from benchmarks.peers.processes import start
child = start([sys.executable, "-c", "import time; time.sleep(600)"], subprocess.DEVNULL)
Path({str(number)!r}).write_text(str(child.pid))
child.wait()
"""
    benchmark = subprocess.Popen([sys.executable, "-c", code], cwd=REPO, env=child_environment())
    try:
        pid = int(eventually(lambda: number.is_file() and number.read_text()))
    finally:
        benchmark.kill()
        benchmark.wait()
    state = Path(f"/proc/{pid}/stat")
    eventually(lambda: not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z")
