"""`--precision auto`: bf16 where CPU and engine compute in it, else what the graph is; said, and never a surprise."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import numpy as np
import pytest

from edgecsp import backends, batch, pipeline
from edgecsp.backends import tuning
from edgecsp.backends.openvino import OpenVinoSession
from edgecsp.backends.ort import OrtSession
from edgecsp.backends.tuning import Candidate
from edgecsp.bench import BenchSettings, _candidates, cases, val
from edgecsp.cli._serving import engine_facts
from edgecsp.cli.render import engines
from edgecsp.errors import EngineUnavailable, UnknownName, UsageError
from edgecsp.graph import onnx_model, precision
from edgecsp.system import cpu, install
from edgecsp.types import Model
from support import labelled, media
from support.commands import invoke
from support.tiny import Tiny

pytestmark = pytest.mark.usefixtures("own_home")
Computes = Callable[[Optional[str]], None]


@pytest.fixture
def computes(monkeypatch: pytest.MonkeyPatch) -> Computes:
    """Make "auto" choose onnxruntime, and say what it computes natively in."""

    def say(native: Optional[str]) -> None:
        monkeypatch.setattr(OrtSession, "auto_precision", classmethod(lambda cls, device: native))

    monkeypatch.setattr(cpu, "is_x86", lambda: False)
    return say


@pytest.fixture
def int8(tiny: Tiny) -> Model:
    batches = (np.random.default_rng(i).random((1, 3, 64, 64), np.float32) for i in range(precision.MIN_IMAGES))
    return precision.with_ranges(tiny.model, precision.measure_ranges(tiny.model, batches, "minmax"))


def test_a_float_graph_takes_what_is_native(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    taken = backends.choose_for(tiny.model)
    assert taken[:2] == ("ort", "cpu") and taken.precision == "fp16" and taken.is_rounded
    assert taken.why.endswith("; it computes fp16 natively here (--precision fp32 is exact)")
    chosen = tuning.choose(tiny.model)
    assert chosen.summary == "ort on cpu in fp16" and chosen.precision == "fp16" and chosen.is_rounded
    named = backends.choose_for(tiny.model, "ort")
    assert named.precision == "fp16" and named.why.startswith("requested; it computes fp16 natively")
    assert backends.choose_for(tiny.model, "opencv").precision == "fp32", "another engine has none"
    computes(None)
    plain = backends.choose_for(tiny.model)
    assert plain.precision == "fp32" and not plain.is_rounded and "natively" not in plain.why


def test_what_is_asked_for_by_name_stays(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    assert backends.choose_for(tiny.model, precision="fp32")[2:] == ("the one that runs everywhere", "fp32", False)
    assert backends.choose_for(tiny.model, precision=None).precision is None
    assert tuning.choose(tiny.model, precision=None).summary == "ort on cpu"
    with pytest.raises(UnknownName, match="Known: auto, bf16, fp16"):
        pipeline.load(tiny.model, precision="abacus")


def test_graphs_of_lower_precision_stay_what_they_are(tiny: Tiny, int8: Model, computes: Computes) -> None:
    computes("bf16")
    half = precision.to_fp16(tiny.model)
    assert backends.choose_for(int8).precision == "int8" and backends.choose_for(half).precision == "fp16"
    assert not backends.choose_for(int8).is_rounded and not backends.choose_for(half).is_rounded
    assert backends.choose_for(half, "opencv").precision == "fp32", "an engine without fp16 widens the graph"
    with pipeline.load(half, "opencv") as detector, pipeline.load(tiny.model, "opencv") as whole:
        for a, b in zip(detector.infer(tiny.batch), whole.infer(tiny.batch)):
            assert np.abs(a - b).max() < 0.01 * np.abs(b).max()


def test_an_engine_that_cannot_run_is_not_asked(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: str) -> None:
        raise ImportError("asked")

    monkeypatch.setattr(OrtSession, "auto_precision", fail)
    monkeypatch.setattr(OrtSession, "unavailable_reason", classmethod(lambda cls, device: "is away"))
    assert backends.native_precision("ort") is None and backends.choose_for(tiny.model, "ort").precision == "fp32"
    with pytest.raises(EngineUnavailable, match="is away"):
        pipeline.load(tiny.model, "ort")


@pytest.mark.parametrize(
    ("isa", "named", "native"),
    [
        (("AVX2", "AVX-512", "AVX-512 BF16"), "BF16", "bf16"),
        (("AVX2", "AMX BF16"), "BF16", "bf16"),
        (("AVX2", "AVX-VNNI"), "BF16", None),  # it only converts
        (("AVX2", "AVX-512", "AVX-512 BF16"), "FP32", None),  # held to less by a variable of its own
        ((), "BF16", "bf16"),  # a system that does not list them
    ],
)
def test_openvino_says_bf16_where_the_cpu_multiplies_in_it(
    isa: Any, named: str, native: Optional[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = SimpleNamespace(get_property=lambda device, name: [named])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    monkeypatch.setattr(cpu, "isa", lambda: isa)
    assert OpenVinoSession.auto_precision("cpu") == native
    assert OpenVinoSession.auto_precision("elsewhere") is None


def test_openvino_takes_bf16_and_fp32_is_as_exact_as_ever(tiny: Tiny) -> None:
    if backends.unavailable_reason("openvino") or backends.native_precision("openvino") != "bf16":
        pytest.skip("OpenVINO is not here, or this CPU has no bf16")
    with pipeline.load(tiny.model, "openvino") as auto, pipeline.load(
        tiny.model, "openvino", precision="bf16"
    ) as by_name, pipeline.load(tiny.model, "openvino", precision="fp32") as exact:
        for a, b, c, known in zip(*(each.infer(tiny.batch) for each in (auto, by_name, exact)), tiny.heads):
            assert (a == b).all() and np.abs(c - known).max() < 1e-4 * np.abs(known).max()
            assert 1e-4 < np.abs(a - known).max() / np.abs(known).max() < 0.05


def test_a_tuned_choice_goes_before_it(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    kept = Candidate("opencv", "cpu", "fp32", 1)
    tuning.save(tiny.model, "tiny.onnx", {"latency": kept, "throughput": kept}, {"rows": []})
    assert tuning.choose(tiny.model)[1:4] == ("opencv", "cpu", 1)
    other = tuning.choose(tiny.model, precision="fp16")
    assert other.engine == "ort" and "fp16 was requested" in other.why and not other.is_rounded


def test_run_says_it_in_the_line_of_the_engine(tiny: Tiny, tmp_path: Path, computes: Computes, capsys: Any) -> None:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    (tmp_path / "a.jpg").write_bytes(media.jpeg(media.scene(0)))
    words = ["run", str(tmp_path / "a.jpg"), "-m", str(tmp_path / "tiny.onnx"), "--json", "-"]
    note = "it computes fp16 natively here (--precision fp32 is exact)"
    computes("fp16")
    code, _, said = invoke(capsys, *words)
    assert code == 0 and f"engine ort on cpu in fp16: the one that runs everywhere; {note}" in said
    assert f"engine ort on cpu in fp16: requested; {note}" in invoke(capsys, *words, "-e", "ort")[2]
    for quiet in (["-e", "ort", "--precision", "fp32"], ["-q"]):
        assert "engine" not in invoke(capsys, *words, *quiet)[2]
    computes(None)
    assert "engine" not in invoke(capsys, *words, "-e", "ort")[2]


def test_serve_says_it_on_its_page_and_in_its_metrics(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    with pipeline.load(tiny.model) as detector:
        assert engine_facts(detector)["precision"] == "fp16"
    with pipeline.load(tiny.model, precision="fp32") as detector:
        assert engine_facts(detector)["precision"] == "fp32"


def test_doctor_says_what_auto_is_and_why(computes: Computes) -> None:
    computes("fp16")
    auto = engines.auto()
    assert auto["engine"] == "ort" and auto["precision"] == "fp16"
    assert engines.auto_line(auto).startswith("auto       is ort on cpu in fp16 here: the one that runs everywhere; ")
    assert engines.auto_line(auto).endswith("it computes fp16 natively here (--precision fp32 is exact)")
    computes(None)
    assert engines.auto_line(engines.auto()).endswith("; it computes no lower precision natively here")


@pytest.mark.parametrize(
    ("isa", "times"),
    [(("AVX2", "AVX-512", "AMX BF16"), 2.1), (("AVX2", "AVX-512"), 1.1), (("AVX2",), None), ((), None)],
)
def test_doctor_says_which_engine_would_be_faster_here(
    isa: Any, times: Optional[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "isa", lambda: isa)
    monkeypatch.setattr(backends, "missing_packages", lambda name: ["openvino"] if name == "openvino" else [])
    here = {"engine": "ort", "device": "cpu", "precision": "fp32", "why": ""}
    rows = engines.faster(here)
    said = f"{install.command('openvino')} would make models about {times} times as fast on this CPU"
    assert [said in line for line in engines.faster_lines(rows)] == [True] * (times is not None)
    assert engines.faster({**here, "device": "cuda"}) == []
    assert engines.faster({**here, "engine": "opencv"}) == [], "that one was not measured against"
    monkeypatch.setattr(backends, "missing_packages", lambda name: [])
    assert engines.faster(here) == [], "it is installed, and auto knows why it does not take it"


# -- batch: the driver settles it -----------------------------------------------------------------------------------


def test_the_driver_of_a_batch_settles_it_and_a_resumed_one_keeps_it(
    tiny: Tiny, tmp_path: Path, computes: Computes
) -> None:
    computes("fp16")
    task, settings = batch.build_task(tiny.model, out=tmp_path / "rows")
    assert settings["precision"] == task.options.precision == "fp16"
    for known in ("fp32", None):  # by an earlier version: the graph's
        (tmp_path / "rows").mkdir(exist_ok=True)
        (tmp_path / "rows" / "settings.json").write_text(json.dumps({**settings, "precision": known}))
        task, again = batch.build_task(tiny.model, out=tmp_path / "rows")
        assert again["precision"] == task.options.precision == known
    _, named = batch.build_task(tiny.model, out=tmp_path / "rows", precision="fp16")
    assert named["precision"] == "fp16", "by name it is another batch, which the ledger refuses"


def test_a_node_that_cannot_compute_so_says_it(
    tiny: Tiny, tmp_path: Path, computes: Computes, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes("fp16")
    task, _ = batch.build_task(tiny.model, out=tmp_path / "rows")

    def refuse(*_: object, **__: object) -> None:
        raise EngineUnavailable("no fp16 here")

    monkeypatch.setattr(backends, "open", refuse)
    with pytest.raises(EngineUnavailable, match="no fp16 here; all rows of a batch are in one precision, here fp16"):
        batch.work.Worker(task, 1).detector()
    task, _ = batch.build_task(tiny.model, out=tmp_path / "others", precision="fp32")
    with pytest.raises(EngineUnavailable, match=r"^no fp16 here$"):
        batch.work.Worker(task, 1).detector()


# -- measuring -------------------------------------------------------------------------------------------------------


def test_bench_has_a_row_in_what_auto_takes(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    subject = cases.BenchmarkModel("tiny", "Tiny", tiny.model, "file", 1.0, 1)
    engines_here = {"ort": None, "opencv": None}
    rows = cases.list_cases([subject], engines_here, BenchSettings())
    assert [(row.engine, row.precision) for row in rows] == [("ort", "fp16"), ("opencv", "fp32")]
    both = cases.list_cases([subject], engines_here, BenchSettings(precisions=("auto", "fp32")))
    assert [(row.engine, row.precision) for row in both] == [("ort", "fp16"), ("ort", "fp32"), ("opencv", "fp32")]


def test_val_measures_what_run_computes(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    assert [(case.engine, case.precision) for case in val.list_cases([tiny.model])] == [("ort", "fp16")]
    assert [case.precision for case in val.list_cases([tiny.model], precisions=["fp32", "auto"])] == ["fp32", "fp16"]


def test_val_says_so_in_its_header(tiny: Tiny, tmp_path: Path, computes: Computes, capsys: Any) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")
    named = replace(tiny.model, labels=labelled.NAMES)
    onnx_model.save(onnx_model.with_graph(named, onnx_model.parse_graph(tiny.model)), tmp_path / "tiny.onnx")
    data = labelled.coco(tmp_path / "drawn")
    computes("fp16")
    words = ["val", str(tmp_path / "tiny.onnx"), "--data", str(data), "--duration", "0"]
    assert "as edgecsp run computes it (--precision auto): ort in fp16" in invoke(capsys, *words)[2]
    assert "--precision auto" not in invoke(capsys, *words, "--precision", "fp32")[2]


def test_tune_tries_it_without_labelled_images(tiny: Tiny, computes: Computes) -> None:
    computes("fp16")
    places = [("ort", "cpu"), ("opencv", "cpu")]
    every = _candidates.Tuning()
    tried = [
        (engine, name)
        for engine, device in places
        for name in _candidates.select_precisions(tiny.model, engine, device, every)
        if _candidates.needs_no_data(tiny.model, engine, device, name)
    ]
    assert tried == [("ort", "fp32"), ("ort", "fp16"), ("opencv", "fp32")]
    exact = _candidates.Tuning(precisions=("fp32",))
    assert _candidates.select_precisions(tiny.model, "ort", "cpu", exact) == ["fp32"]
    assert _candidates.select_precisions(tiny.model, "ort", "cpu", _candidates.Tuning(precisions=("auto",))) == ["fp16"]
    default, *_ = [row for row in _candidates.build_rows("latency", [], tiny.model, every) if row.default]
    assert (default.candidate.engine, default.candidate.precision) == ("ort", "fp16")
    # With labelled images it is judged as any other.
    judged = _candidates.list_other_precisions(tiny.model, places, every, judged=True)
    assert "fp16" in judged["ort", "cpu"]
    with pytest.raises(UsageError, match="--data FOLDER"):
        _candidates.list_other_precisions(tiny.model, places, _candidates.Tuning(precisions=("int8",)), judged=False)
