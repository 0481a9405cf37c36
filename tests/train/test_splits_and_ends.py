"""Data whose splits overlap or validate nothing, runs that are shortened, and what a run prints to type next."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from threading import Event
from typing import Any, Dict, List, Sequence

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
pytest.importorskip("faster_coco_eval", reason="COCO's measure (extra train)")

import edgecsp  # noqa: E402
from edgecsp.cli import app  # noqa: E402
from edgecsp.errors import OutputError, SourceError, Stopped, UsageError  # noqa: E402
from edgecsp.train import TrainSettings, loop, report, train  # noqa: E402
from edgecsp.train.splits import split  # noqa: E402
from support import toy_zoo  # noqa: E402
from support.toy_training import trainer  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
QUICK = TrainSettings(epochs=3, batch=2, imgsz=64, warmup=2)
SQUARE = "0 0.5 0.5 0.4 0.4\n"


def lay(folder: Path, train_rows: Sequence[str] = (SQUARE,) * 4, val_rows: Sequence[str] = (SQUARE,) * 2) -> Path:
    """A data.yaml with classes a and b, an image and a label file a row."""
    for name, rows in (("train", train_rows), ("val", val_rows)):
        for kind in ("images", "labels"):
            (folder / kind / name).mkdir(parents=True)
        for i, row in enumerate(rows):
            image = np.random.default_rng(i).integers(0, 90, (64, 64, 3), np.uint8)
            image[20:44, 20:44] = 230
            cv2.imwrite(str(folder / "images" / name / f"{name}{i}.png"), image)
            (folder / "labels" / name / f"{name}{i}.txt").write_text(row)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a, b]\n")
    return folder / "data.yaml"


def quick(data: Path, out: Path, **options: Any) -> Any:
    return train(MODEL, data, settings=QUICK, weights="none", out=out, workers=0, **options)


def tensors(path: Path, key: str) -> Dict[str, Any]:
    state: Dict[str, Any] = torch.load(path, weights_only=True)[key]
    return state


def test_without_an_ap_the_last_epoch_is_the_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = lay(tmp_path / "data", val_rows=("", ""))
    with caplog.at_level(logging.WARNING):
        run = quick(data, tmp_path / "run")
    assert "no validation image has a box: there is no AP, and the last epoch is the result" in caplog.text
    assert run.ap is None and run.epoch == 3
    best, last = tensors(run.folder / "best.pt", "average"), tensors(run.folder / "last.pt", "average")
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_validation_images_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    data = lay(tmp_path / "data")
    for path in (tmp_path / "data" / "images" / "val").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"none of the 2 validation images of .* can be read"):
        quick(data, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a run that did not begin leaves no folder"


def test_images_in_both_splits_are_for_validation_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = lay(tmp_path)
    lines = [f"images/train/train{i}.png" for i in range(4)]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "val.txt").write_text("./images/../images/train/train3.png\nimages/val/val0.png\n")
    data.write_text("train: train.txt\nval: val.txt\nnames: [a, b]\n")
    with caplog.at_level(logging.WARNING):
        learn, val, is_own = split(data, None, (), False, 0.1, 0)
    assert [Path(row.path).stem for row in learn.images] == ["train0", "train1", "train2"]
    assert [Path(row.path).stem for row in val.images] == ["train3", "val0"] and is_own
    assert "1 images are in train and in val: they are not learned from" in caplog.text


def test_the_same_images_as_train_and_val_are_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = lay(tmp_path)
    data.write_text("train: images/train\nval: images/train\nnames: [a, b]\n")
    with caplog.at_level(logging.INFO):
        learn, val, is_own = split(data, None, (), False, 0.25, 0)
    assert (len(learn.images), len(val.images), is_own) == (3, 1, False)
    assert not {row.path for row in learn.images} & {row.path for row in val.images}
    assert "no images are for validation alone: 1 of 4 are, by --val-split 0.25" in caplog.text


@pytest.mark.parametrize(
    ("options", "has_val", "expected"),
    [
        ([], True, "val 'my run/best.onnx' --data data.yaml"),
        (["--classes", " b , a"], True, "val 'my run/best.onnx' --data data.yaml --classes b,a"),
        (["--single-cls"], True, None),
        ([], False, None),
    ],
)
def test_the_next_commands_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: List[str], has_val: bool, expected: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    data = lay(tmp_path, train_rows=(SQUARE, "1 0.5 0.5 0.4 0.4\n"))
    if not has_val:
        data.write_text("train: images/train\nnames: [a, b]\n")
    words = ["train", MODEL, "--data", "data.yaml", "--name", "my run", "--epochs", "1", "--imgsz", "64"]
    done = CliRunner().invoke(app, [*words, "--weights", "none", "--workers", "0", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = [line.split("edgecsp ", 1)[1] for line in done.stderr.splitlines() if "edgecsp val" in line]
    assert found == ([expected] if expected else [])
    assert "next: edgecsp run IMAGES --model 'my run/best.onnx'" in done.stderr
    for line in found:
        scored = CliRunner().invoke(app, [*shlex.split(line), "--duration", "0"], catch_exceptions=False)
        assert scored.exit_code == 0, scored.output


@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot make the run's folder .*; --name FOLDER takes another place"):
        quick(lay(tmp_path / "data"), tmp_path / place)


def test_weights_that_are_not_there_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there are no weights at"):
        train(MODEL, lay(tmp_path / "data"), settings=QUICK, weights="nothing.such", out=tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_run_is_ended_with_fewer_epochs_and_keeps_its_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first validation of a long run, and finished with what it has."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    data, folder, stop = lay(tmp_path / "data"), tmp_path / "run", Event()
    begun = {"epochs": 100, "batch": 2, "imgsz": 64, "lr": 1e-3, "seed": 4, "weights": "none", "name": folder}
    with pytest.raises(Stopped):
        edgecsp.train(MODEL, data, **begun, workers=0, stop=stop, watch=lambda at: stop.set())
    assert not (folder / "best.pt").exists()
    run = edgecsp.train(MODEL, data, epochs=1, resume=folder, workers=0)
    assert run.onnx.is_file() and (folder / "best.pt").is_file()
    record = json.loads((folder / "run.json").read_text())
    assert (record["settings"]["epochs"], record["settings"]["lr"], record["settings"]["seed"]) == (1, 1e-3, 4)
    with pytest.raises(UsageError, match=r"was started with lr 0\.001"):
        edgecsp.train(MODEL, data, lr=0.01, resume=folder, workers=0)
    (folder / "run.json").write_text("{}")
    with pytest.raises(SourceError, match=r"run\.json is damaged: it has no data, layout, settings, versions"):
        edgecsp.train(MODEL, data, resume=folder, workers=0)


def test_the_page_counts_epochs_and_mixtures_apart() -> None:
    record = {
        "layout": {"model": MODEL, "imgsz": 64, "labels": ["a"], "anchors": []},
        "settings": {"epochs": 3}, "versions": {},
        "data": {"name": "x", "train_images": 4, "val_images": 2, "train_boxes": [4], "digest": "0"},
    }  # fmt: skip
    log = [{"step": i, "epoch": i, "AP": ap, "AP50": ap} for i, ap in ((1, 0.3), (2, 0.2), (3, 0.1))]
    log.append({"step": 3, "epoch": 1, "blend": 0.5, "AP": 0.4, "AP50": 0.45})
    assert report._lead(record, log, True).startswith("Ended after epoch 3 of 3.")
    curve = report._average_precision([row for row in log if "blend" not in row])
    assert curve in report.page(record, log, {}, finished=True)
    assert "0.450" in report.page(record, log, {}, finished=True), "the mixture is the best"


def test_boxes_too_small_to_learn_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = "0 0.5 0.5 0.01 0.01\n"
    data = lay(tmp_path / "some", train_rows=(small, small, SQUARE, SQUARE))
    with caplog.at_level(logging.WARNING):
        quick(data, tmp_path / "run")
    assert "2 of 4 boxes are narrower than 2 px at an input of 64 px: too small to learn; at --imgsz 224" in caplog.text
    data = lay(tmp_path / "all", train_rows=(small,) * 4)
    with pytest.raises(UsageError, match="4 of 4 boxes are narrower than 2 px at an input of 64 px"):
        quick(data, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_short_run_is_not_all_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_zoo.add(monkeypatch)
    for steps, least in ((1, 1.0), (18, 0.7), (1000, 0.95)):
        made = trainer(steps=steps, warmup=100, lr=0.01)
        rates = []
        for made.step in range(steps):
            rates.append(made.rate())
        assert least * 0.01 <= max(rates) <= 0.01
