"""`edgecsp.train(...)`: the command's names, a run that opens as a detector, the weights a run begins with."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

import edgecsp
from edgecsp import zoo
from edgecsp.errors import EngineUnavailable, UnknownName, UsageError
from edgecsp.train import api
from edgecsp.train.settings import TrainSettings

MODEL = "cspdensenetb-ref-prn"


def options_of_the_command() -> List[str]:
    from edgecsp.cli import train

    return [name for name in inspect.signature(train.command).parameters if name not in ("model", "data")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `run.train` is called with, without a run."""
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
    from edgecsp.train import run

    seen: List[Any] = []
    real = run.train

    def fake(model: str, data: Any, **options: Any) -> Any:
        seen.append((model, data, options))

    fake.__kwdefaults__ = real.__kwdefaults__
    monkeypatch.setattr(run, "train", fake)
    return seen


def test_the_package_is_called_after_it_was_imported_as_well_as_before() -> None:
    code = (
        "import edgecsp; assert callable(edgecsp.train); import edgecsp.train.settings; assert callable(edgecsp.train)"
    )
    code += "; from edgecsp.train import TrainSettings; assert edgecsp.train.TrainSettings is TrainSettings"
    code += "; import sys; assert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "train" in dir(edgecsp) and "epochs (100)" in (edgecsp.train.__call__.__doc__ or "")


def test_every_option_of_the_command_is_one_of_the_function(asked: Any) -> None:
    given = {name: None for name in options_of_the_command() if name not in ("json", "quiet")}
    given.update(epochs=3, batch=2, imgsz=96, lr=0.01, seed=7, freeze=1, patience=2, multi_scale=True, no_flip=True)
    given.update(classes="cat,dog", device=0, name="runs/mine", single_cls=True)
    given = {name: value for name, value in given.items() if value is not None or name in ("weights", "resume")}
    edgecsp.train(Path("mine.cfg"), "data.yaml", **given)
    ((model, data, options),) = asked
    settings = options.pop("settings")
    assert (model, data) == ("mine.cfg", "data.yaml")
    assert settings == TrainSettings(3, 2, 96, 0.01, seed=7, freeze=1, patience=2, multi_scale=True, flip=False)
    wanted = {"classes": ["cat", "dog"], "device": "0", "out": "runs/mine", "single_class": True}
    assert {key: options[key] for key in wanted} == wanted


def test_defaults_are_the_commands(asked: Any) -> None:
    edgecsp.train(MODEL, "data.yaml")
    assert asked == [(MODEL, "data.yaml", {"settings": TrainSettings()})]
    from edgecsp.cli import train

    for name, parameter in inspect.signature(train.command).parameters.items():
        if hasattr(TrainSettings(), name):
            assert str(parameter.default.default) == str(getattr(TrainSettings(), name)), name


def test_what_is_no_option_is_named(asked: Any) -> None:
    with pytest.raises(UnknownName, match=r"no option of training is called 'epoch'. Did you mean 'epochs'\?"):
        edgecsp.train(MODEL, "data.yaml", epoch=3)
    with pytest.raises(UsageError, match="flip is given under two names"):
        edgecsp.train(MODEL, "data.yaml", flip=True, no_flip=True)
    with pytest.raises(UsageError, match="resume=a goes on in its own folder; leave out name=b"):
        edgecsp.train(MODEL, "data.yaml", resume="a", name="b")
    with pytest.raises(UsageError, match="epochs 0: at least 1"):
        edgecsp.train(MODEL, "data.yaml", epochs=0)
    assert not asked


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = api.importlib.util.find_spec
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    with pytest.raises(EngineUnavailable, match=r"training needs torch, .*pip install .*\[train\]"):
        edgecsp.train(MODEL, "data.yaml")


def shares(name: str, other: str) -> float:
    """The share of a model's convolutions that are the other's, with the same input, at the same place."""
    ours, theirs = zoo.net(name).layers, zoo.net(other).layers
    pairs = [(a, b) for a, b in zip(ours, theirs) if a.op == "conv"]
    same = sum((a.op, a.inputs, a.shape, a.attrs) == (b.op, b.inputs, b.shape, b.attrs) for a, b in pairs)
    return same / sum(layer.op == "conv" for layer in ours)


def test_training_begins_with_the_model_in_the_box_where_the_backbone_is_the_same() -> None:
    named = {name for name in zoo.names() if zoo.get(name).start}
    assert named == {*zoo.bundled_names(), MODEL, "cspdensenet-ref-prn", "cspdensenet-ref-efm-sam"}
    detectors = [name for name in zoo.names() if zoo.get(name).anchors]
    assert named == {name for name in detectors if shares(name, "codes") > 0.5}
    assert {name: zoo.get(name).start for name in zoo.bundled_names()} == {name: name for name in zoo.bundled_names()}
    assert all(zoo.get(name).start == "everyday" for name in named - {*zoo.bundled_names()})


def test_a_run_begins_with_everyday_and_opens_as_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
    from support.shapes import draw_shapes

    data, lines = draw_shapes(tmp_path / "shapes", 4), []
    monkeypatch.chdir(tmp_path)
    with pytest.warns(DeprecationWarning, match=r"tell= is deprecated .* use logging") as warned:
        run = edgecsp.train(MODEL, data, epochs=1, batch=4, imgsz=64, workers=0, tell=lines.append)
    assert [each.filename for each in warned] == [__file__]
    begins = "begins with the weights of everyday (same backbone; --weights none begins anew): 240 of 244 tensors"
    assert begins in lines
    assert json.loads((run.folder / "run.json").read_text())["start"] == "the weights of everyday"
    assert (run.folder, run.onnx) == (Path("runs/train/1"), Path("runs/train/1/best.onnx")) and run.ap50 is not None
    with run.load(engine="ort", conf=0.001) as detector:
        found = detector(str(next((tmp_path / "shapes" / "images" / "val").iterdir())))
        assert detector.model.labels == ("square", "disc") and set(found.class_ids.tolist()) <= {0, 1}
