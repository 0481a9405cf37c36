"""Cases whose engine runs in a worker process: the heads are the same, and a crash is a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from edgecsp import backends
from edgecsp.bench import _accuracy_gate, accuracy, cases, verify
from edgecsp.bench._worker import array_bytes, describe_array, read_array
from edgecsp.bench.cases import Case
from edgecsp.bench.images import synthetic_images
from edgecsp.bench.process import BenchStopped, WorkerSession, open_isolated
from edgecsp.bench.results import Timing
from edgecsp.errors import EngineFailed
from edgecsp.system.progress import NoProgress
from support import labelled
from support.tiny import Tiny

IMAGE = synthetic_images(1)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_arrays_survive_the_pipe(dtype: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)[:, ::2]
    description = describe_array(array)
    assert array_bytes(description) == array.nbytes
    again = read_array(description, array.tobytes())
    assert (again == array).all() and again.dtype == array.dtype and again.flags.writeable


@pytest.mark.parametrize("engine", [name for name in ("ort", "openvino") if backends.unavailable_reason(name) is None])
def test_heads_of_a_worker_are_those_of_this_process(tiny: Tiny, engine: str) -> None:
    case = Case(tiny.model, engine, "cpu", "fp32", 1)
    with open_isolated(case) as isolated, case.open() as here:
        assert isolated.session.accepts_uint8 == here.session.accepts_uint8
        batch, _ = here.prepare(IMAGE)
        for ours, theirs in zip(isolated.infer(batch), here.infer(batch)):
            assert (ours == theirs).all() and ours.dtype == theirs.dtype
        assert isolated(IMAGE).xyxy.tolist() == here(IMAGE).xyxy.tolist()
        assert isinstance(isolated.session, WorkerSession) and len(isolated.session.ms) == 2


def test_a_failure_of_the_engine_passes_through(tiny: Tiny) -> None:
    case = Case(tiny.model, "ort", "cpu", "fp32", 1)
    with open_isolated(case) as detector, pytest.raises(EngineFailed, match=r"the engine failed on tiny"):
        detector.infer(np.zeros((1, 7, 64, 64), np.float32))


def test_what_a_worker_logs_is_logged_here(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "edgecsp")
    with open_isolated(Case(tiny.model, "ort", "cpu", "fp32", 1)) as detector:
        assert "opened tiny, input 64x64, on ort on cpu" in caplog.text
        assert len(detector(IMAGE)) > 0


@pytest.fixture
def deadly_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of each case on OpenCV is killed."""
    real = cases.Case.to_request

    def to_request(self: Case, path: Path, **options: Any) -> Dict[str, Any]:
        request = real(self, path, **options)
        return {**request, "make": "support.subjects:killed", "calls": 0} if self.engine == "opencv" else request

    monkeypatch.setattr(cases.Case, "to_request", to_request)


def test_an_engine_that_crashes_is_a_row_of_verify(tiny: Tiny, deadly_opencv: None) -> None:
    rows = list(verify.measure_rows(tiny.model, [IMAGE], engines=["ort", "opencv"], threads=1))
    by_place = {(row.case.engine, row.case.device, row.case.precision): verify.result_to_dict(row) for row in rows}
    assert by_place["ort", "cpu", "fp32"]["boxes"] > 0 and by_place["ort", "cpu", "fp32"]["ms"] > 0
    dead = by_place["opencv", "cpu", "fp32"]
    assert dead["why"].startswith("tiny on opencv in fp32 was killed (signal 9)") and dead["ms"] == 0


def test_an_engine_that_crashes_is_refused_by_tune(tiny: Tiny, deadly_opencv: None, tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    data = accuracy.read(labelled.coco(tmp_path, names=["0", "1", "2"]), labels=tiny.model.labels)
    place = ("opencv", "cpu")
    (verdict,) = _accuracy_gate.judge_precisions(
        tiny.model, None, {place: ["fp32"]}, data, 0.01, NoProgress(), lambda: None
    )
    assert verdict.ap is None and verdict.refused is not None and "was killed (signal 9)" in verdict.refused


def test_stopping_tune_while_accuracy_is_measured_is_no_verdict(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    data = accuracy.read(labelled.coco(tmp_path, names=["0", "1", "2"]), labels=tiny.model.labels)
    asked: List[bool] = []
    real = WorkerSession.run

    def run(self: WorkerSession, batch: Any) -> Any:
        asked.append(True)
        return real(self, batch)

    def tick() -> None:
        if asked:
            raise BenchStopped

    monkeypatch.setattr(WorkerSession, "run", run)
    with pytest.raises(BenchStopped):
        _accuracy_gate.judge_precisions(tiny.model, None, {("ort", "cpu"): ["fp32"]}, data, 0.01, NoProgress(), tick)


def test_the_rounds_behind_some() -> None:
    timing = Timing([[1.0], [2.0, 3.0]], [0.1, 0.2], [1.0, 2.0], per_sample=2)
    assert timing.after(1).rounds == [[2.0, 3.0]] and timing.after(1).cpu_ms == [0.2] and timing.per_sample == 2
    assert timing.after(1).per_sample == 2 and timing.ms == [1.0, 2.0, 3.0] and timing.counts == [1, 2]
