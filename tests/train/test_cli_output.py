"""What `edgecsp train` prints and leaves: lines on a log, the page's path, nothing with --quiet, no cache."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, List

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
pytest.importorskip("faster_coco_eval", reason="COCO's measure (extra train)")

from edgecsp.cli import _logging, app  # noqa: E402
from edgecsp.cli import train as command  # noqa: E402
from edgecsp.train import TrainSettings, loop, train  # noqa: E402
from edgecsp.train import cache as caches  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
SMALL = ["--epochs", "2", "--imgsz", "64", "--weights", "none", "--workers", "0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images with a bright square each, of class "<b>", and none of the other class."""
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 90, (96, 96, 3), np.uint8)
            x, y = (int(v) for v in rng.integers(0, 56, 2))
            image[y : y + 40, x : x + 40] = 230
            cv2.imwrite(str(folder / "images" / split / f"{i}.png"), image)
            row = f"0 {(x + 20) / 96:.5f} {(y + 20) / 96:.5f} {40 / 96:.5f} {40 / 96:.5f}\n"
            (folder / "labels" / split / f"{i}.txt").write_text(row)
    path = folder / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnc: 2\nnames: ['<b>', other]\n")
    return path


def run(*words: Any) -> Any:
    return CliRunner().invoke(app, ["train", MODEL, *map(str, words)], catch_exceptions=False)


def test_a_log_has_a_line_a_validation_and_the_page_is_named(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / caches.FILE).write_bytes(b"of a run that was killed while it read")
    done = run("--data", data, "--name", folder, *SMALL, "--cache", "disk", "--batch", "auto", "--json", tmp_path / "j")
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert "training on 6 images with 6 boxes, in a file on disk" in lines
    assert "--batch auto: 1" in lines
    epoch = r"epoch {} of 2: loss \d+\.\d+, AP [\d.]+, AP50 [\d.]+, \d+\.\d images/s, \d+ s left"
    assert [bool(re.fullmatch(epoch.format(i), line)) for line in lines for i in (1, 2)].count(True) == 2
    assert re.search(r"images/s, waited \d+% of the time for images", done.stderr)
    assert f"{folder / 'results.html'}: curves, confusion matrix, worst images" in lines
    assert not (folder / caches.FILE).exists()
    figures = json.loads((tmp_path / "j").read_text())
    assert figures["results"] == str(folder / "results.html") and 0 <= figures["waited"] <= 1
    page = (folder / "results.html").read_text()
    assert "Ended after epoch 2 of 2" in page and '<th scope="row">&lt;b&gt;</th><td>6</td><td>2</td><td>2</td>' in page
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all("waited" in row for row in log if "loss" in row)
    again = run("--data", data, "--resume", folder, *SMALL, "--batch", "auto", "--quiet")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", ""), "quiet, and with the batch that was picked"


def test_slow_steps_are_logged_before_there_are_twenty(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large network on a small CPU takes a minute a step: the first figures do not wait for twenty of them."""
    quick, steps = TrainSettings(epochs=1, batch=2, imgsz=64, warmup=2), []
    for name, seconds in (("slow", 0.0), ("quick", 1000.0)):
        monkeypatch.setattr(loop, "LOG_EVERY_S", seconds)
        seen: List[int] = []
        train(MODEL, data, settings=quick, weights="none", out=tmp_path / name, workers=0,
              watch=lambda at, seen=seen: seen.append(at.step))  # fmt: skip
        steps.append(seen)
    assert steps == [[1, 2, 3], [3]]


def test_a_cache_changes_nothing_of_what_is_learned(data: Path, tmp_path: Path) -> None:
    quick = TrainSettings(epochs=1, batch=3, imgsz=64, warmup=2)
    states = []
    for cache, workers in (("none", 0), ("disk", 1)):
        folder = tmp_path / cache
        train(MODEL, data, settings=quick, weights="none", out=folder, workers=workers, cache=cache)
        states.append(torch.load(folder / "last.pt", weights_only=True)["network"])
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)


def test_the_page_of_a_run_that_goes_on_shows_the_best_epoch(data: Path, tmp_path: Path) -> None:
    """Curves and images of an epoch before the kill are not lost with the process."""
    quick = TrainSettings(epochs=1, batch=3, imgsz=64, warmup=2)
    train(MODEL, data, settings=quick, weights="none", out=tmp_path / "run", workers=0)
    page = (tmp_path / "run" / "results.html").read_text()
    (tmp_path / "run" / "results.html").unlink()
    train(MODEL, data, settings=quick, resume=tmp_path / "run", workers=0)
    assert (tmp_path / "run" / "results.html").read_text() == page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "some"], "--workers some: auto, or a whole number from 0 on"),
        (["--batch", "0"], "--batch 0: auto, or a whole number from 1 on"),
        (["--cache", "tape"], "--cache tape: ram, disk, none"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_made(
    words: List[str], message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecsp.errors import UsageError

    with pytest.raises(UsageError, match=re.escape(message)):
        run("--data", data, "--name", tmp_path / "run", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_not_silent_for_minutes(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecsp.train import TrainingProgress

    now = [0.0]
    monkeypatch.setattr(_logging.time, "monotonic", lambda: now[0])
    _logging.configure()
    for minute in range(20):
        now[0] = 25.0 * minute
        command._log(TrainingProgress(1, 9, minute, 99, 2.5, 10.0, 0.0, None, 600.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["epoch 1 of 9: loss 2.500, 10.0 images/s, 10 min left"] * 6
