"""What is kept of a tuning: used where it fits, and nothing but a sentence where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

from edgecsp import backends, pipeline
from edgecsp.backends import tuning
from edgecsp.backends.tuning import Candidate, records
from edgecsp.graph import onnx_model, precision
from edgecsp.system import cpu
from support.tiny import Tiny

pytestmark = pytest.mark.usefixtures("own_home")

LATENCY = Candidate("opencv", "cpu", "fp32", 1)
THROUGHPUT = Candidate("ort", "cpu", "fp32", 2, 2)
FIXED = backends.choose().engine


@pytest.fixture
def kept(tiny: Tiny) -> Path:
    return tuning.save(tiny.model, "tiny.onnx", {"latency": LATENCY, "throughput": THROUGHPUT}, {"rows": []})


def changed(place: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    said = json.loads(place.read_text())
    change(said)
    place.write_text(json.dumps(said))


def test_each_kind_has_its_choice(kept: Path, tiny: Tiny) -> None:
    one, many = tuning.choose(tiny.model), tuning.choose(tiny.model, at_once=8)
    assert (one.engine, one.threads, one.precision, one.at_once) == ("opencv", 1, "fp32", 1)
    assert (many.engine, many.threads, many.precision, many.at_once) == ("ort", 2, "fp32", 2)
    day = json.loads(kept.read_text())["date"][:10]
    assert many.summary == "ort on cpu in fp32, 1 thread a frame, 2 at once"
    assert many.why == f"tuned here on {day} (edgecsp tune tiny.onnx)"
    assert tuning.choose(tiny.model, at_once=1) == one
    (listed,) = tuning.list_tunings()
    assert listed.path == kept and listed.stale_reason is None and listed.content["input_hw"] == [64, 64]


def test_load_opens_what_was_tuned(kept: Path, tiny: Tiny) -> None:
    with pipeline.load(tiny.model, concurrency=4) as detector:
        assert type(detector.session).__module__ == "edgecsp.backends.ort"
        assert detector.session.concurrency == 2
        assert detector.chosen is not None and "tuned here on" in detector.chosen.why
    with pipeline.load(tiny.model) as detector:
        assert type(detector.session).__module__ == "edgecsp.backends.opencv"
    with pipeline.load(tiny.model, "ort") as detector:
        assert type(detector.session).__module__ == "edgecsp.backends.ort"
        assert detector.chosen is not None and detector.chosen.why == "requested"


def test_another_model_or_size_has_none(kept: Path, tiny: Tiny) -> None:
    assert tuning.choose(onnx_model.reshape(tiny.model, hw=(96, 96))) == replaced(tiny, (96, 96))


def replaced(tiny: Tiny, hw: Any) -> tuning.EngineSelection:
    model = onnx_model.reshape(tiny.model, hw=hw)
    fixed = backends.choose_for(model)
    summary = f"{fixed.engine} on {fixed.device} in {fixed.precision}"
    return tuning.EngineSelection(model, *fixed[:2], None, fixed.precision, 1, summary, fixed.why, fixed.is_rounded)


def test_who_never_tuned_pays_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "path", lambda model: pytest.fail("a digest of the file was made"))
    assert tuning.choose(tiny.model).engine == FIXED


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"threads": 2}, "with threads 1: 2 was requested"),
        ({"precision": "int8"}, "with precision fp32: int8 was requested"),
    ],
)
def test_what_is_asked_for_wins(kept: Path, tiny: Tiny, asked: Dict[str, Any], told: str) -> None:
    model = tiny.model
    chosen = tuning.choose(model, **asked)
    assert chosen.engine == backends.choose(precision=asked.get("precision")).engine
    assert told in chosen.why and {key: getattr(chosen, key) for key in asked} == asked
    assert tuning.choose(model, "ort").why == "requested"
    # What is asked for and is as tuned is no contradiction.
    assert tuning.choose(model, threads=1, precision="fp32", device="cpu").engine == "opencv"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda said: said["machine"].update(name="Abacus 3000"), "the CPU was Abacus 3000 then and is "),
        (lambda said: said["machine"].update(threads=99), "threads was 99 then and is "),
        (lambda said: said["machine"].update(isa=["MMX"]), "what it can was MMX then and is "),
        (lambda said: said.update(machine=None), "is damaged"),
        (lambda said: said.update(machine={}), "the CPU was None then and is "),
        (lambda said: said["versions"].update(opencv="2.4"), "opencv was 2.4 then and is "),
        (lambda said: said.update(versions={}), "opencv was None then and is "),
        (lambda said: said.update(edgecsp="0.0.0"), "edgecsp was 0.0.0 then and is "),
        (lambda said: said["choices"]["latency"].update(engine="opencvv"), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(engine=3), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(engine="_trt_build"), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(device="abacus"), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(precision="int3"), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(threads=0), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(threads=1.5), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(at_once=2), "is not supported by this version"),
        (lambda said: said["choices"]["latency"].update(speed=2), "is not supported by this version"),
        (lambda said: said["choices"].update(latency=None), "is not supported by this version"),
        (lambda said: said["choices"].pop("latency"), "is damaged"),
        (lambda said: said.pop("choices"), "is damaged"),
        (lambda said: said.pop("date"), "is damaged"),
        (lambda said: said.update(schema="edgecsp-tuned/99"), "is damaged"),
    ],
)
def test_what_does_not_fit_is_a_sentence(kept: Path, tiny: Tiny, change: Any, told: str) -> None:
    changed(kept, change)
    chosen = tuning.choose(tiny.model)
    assert chosen.engine == FIXED and chosen.threads is None
    assert told in chosen.why and "edgecsp tune" in chosen.why and "\n" not in chosen.why
    assert told in str(tuning.list_tunings()[0].stale_reason)
    with pipeline.load(tiny.model) as detector:
        assert len(detector.infer(tiny.batch)) == 2


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}', b"[" * 100_000])
def test_a_damaged_file_is_a_sentence(kept: Path, tiny: Tiny, data: bytes) -> None:
    kept.write_bytes(data)
    chosen = tuning.choose(tiny.model)
    assert chosen.engine == FIXED and f"the stored tuning is damaged and not used: {kept}" in chosen.why
    assert (
        tuning.list_tunings()[0].stale_reason and tuning.forget("whatever", tiny.model) == [kept] and not kept.exists()
    )


def test_an_engine_that_is_gone(kept: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    real = backends.unavailable_reason
    monkeypatch.setattr(
        backends,
        "unavailable_reason",
        lambda name, device="auto": "is gone" if name == "opencv" else real(name, device),
    )
    chosen = tuning.choose(tiny.model)
    assert chosen.engine == FIXED and "engine opencv is gone" in chosen.why


@pytest.fixture
def int8(tiny: Tiny) -> Any:
    return precision.quantize(tiny.model, [tiny.batch] * precision.MIN_IMAGES, threads=1)


def test_the_int8_graph_is_kept_beside(tiny: Tiny, int8: Any) -> None:
    small = Candidate("ort", "cpu", "int8", 1)
    place = tuning.save(tiny.model, "tiny", {"latency": small, "throughput": THROUGHPUT}, {}, int8)
    graph = place.with_name(f"{place.stem}-int8.onnx")
    assert graph.read_bytes() == int8.onnx
    chosen = tuning.choose(replace(tiny.model, conf=0.9))
    assert chosen.model == replace(tiny.model, conf=0.9), "what was set stays"
    assert precision.detect_precision(chosen.model) == chosen.precision == "int8"
    with pipeline.load(tiny.model) as detector, pipeline.load(tiny.model, "ort") as reference:
        off = np.abs(detector.infer(tiny.batch)[0] - reference.infer(tiny.batch)[0]).max()
        assert 0 < off < 0.1 * np.abs(reference.infer(tiny.batch)[0]).max()
    with pipeline.load(tiny.model, concurrency=2) as detector:
        assert precision.detect_precision(detector.model) == "fp32"
    graph.write_bytes(graph.read_bytes()[:-1])
    chosen = tuning.choose(tiny.model)
    assert chosen.engine == FIXED and chosen.model is tiny.model and "int8 graph is missing or damaged" in chosen.why
    # Tuned again, without int8: the graph goes.
    tuning.save(tiny.model, "tiny", {"latency": LATENCY, "throughput": THROUGHPUT}, {}, int8)
    assert not graph.exists() and tuning.choose(tiny.model).engine == "opencv"


def test_forgetting(kept: Path, tiny: Tiny) -> None:
    other = tuning.save(
        onnx_model.reshape(tiny.model, hw=(96, 96)), "tiny.onnx", dict.fromkeys(tuning.KINDS, LATENCY), {}
    )
    assert tuning.forget("another") == []
    assert sorted(tuning.forget("tiny.onnx")) == sorted([kept, other])
    assert tuning.list_tunings() == [] and list(tuning.folder().iterdir()) == []
    assert tuning.choose(tiny.model).engine == FIXED


def test_gpus_are_part_of_the_machine(tmp_path: Path) -> None:
    for number, name in enumerate(("NVIDIA H200", "NVIDIA T4")):
        place = tmp_path / "proc" / "driver" / "nvidia" / "gpus" / f"0000:0{number}:00.0" / "information"
        place.parent.mkdir(parents=True)
        place.write_text(f"Model: \t\t {name}\nIRQ:   \t\t 0\n")
    assert list(records._gpus(tmp_path)) == ["NVIDIA H200", "NVIDIA T4"]
    assert tuning.describe_machine()["threads"] == cpu.threads() and json.dumps(tuning.describe_machine())
