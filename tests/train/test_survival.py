"""What goes wrong in a run is a sentence, and nothing that was good is lost."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from threading import Event
from typing import Any, Dict, Iterator

import pytest

from support.repository import TESTS, child_environment

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp.errors import BadWeights, SourceError, Stopped, UsageError  # noqa: E402
from edgecsp.system import memory  # noqa: E402
from edgecsp.train import TrainSettings, loop, train  # noqa: E402
from edgecsp.train.trainer import Trainer  # noqa: E402
from support import toy_run, toy_zoo  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402
from support.toy_run import QUICK, SAVE_ALWAYS  # noqa: E402
from support.toy_training import batch, trainer  # noqa: E402

TOY = TrainSettings(epochs=2, batch=4, imgsz=64)
UGLY = ("Traceback", "Exception ignored", "KeyboardInterrupt")


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        toy_zoo.add(patch)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train("toy", data, settings=TOY, weights="none", out=folder, workers=0)
    return state(folder)


def state(folder: Path) -> Dict[str, Any]:
    held: Dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    return held


def same(ours: Dict[str, Any], theirs: Dict[str, Any]) -> None:
    assert ours["step"] == theirs["step"]
    for part in ("network", "average"):
        for key, value in ours[part].items():
            torch.testing.assert_close(value, theirs[part][key], rtol=1e-3, atol=1e-4)


def resume(data: Path, folder: Path, **more: Any) -> Any:
    return train("toy", data, settings=TOY, resume=folder, workers=0, **more)


def after(monkeypatch: pytest.MonkeyPatch, step: int, do: Any) -> None:
    learn = Trainer.learn

    def then(self: Trainer, *batch: Any) -> Any:
        terms = learn(self, *batch)
        if self.step == step:
            do(self)
        return terms

    monkeypatch.setattr(Trainer, "learn", then)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0)


def test_a_step_that_is_no_number_changes_nothing() -> None:
    made = trainer(warmup=1)
    made.learn(*batch())
    before = {key: value.clone() for key, value in made.network.state_dict().items()}
    spoilt = torch.full((2, 3, 64, 64), float("nan"))
    made.learn(spoilt, batch()[1])
    assert made.skipped == 1 and made.step == 2 and made.is_finite()
    for name, parameter in made.network.named_parameters():
        assert torch.equal(parameter, before[name])
    made.learn(*batch(1))
    assert made.skipped == 1 and made.is_finite()


def test_a_loss_that_stays_no_number_ends_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list
) -> None:
    def poison(self: Trainer) -> None:
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.mul_(float("inf"))

    after(monkeypatch, 4, poison)
    settings = TrainSettings(epochs=8, batch=4, imgsz=64, lr=0.03)
    with pytest.raises(UsageError, match=r"step \d+: .* not .*finite.* lower --lr") as error:
        train("toy", data, settings=settings, weights="none", out=tmp_path / "run", workers=0)
    assert str(tmp_path / "run" / "last.pt") in str(error.value) and "best.pt" in str(error.value)
    held = state(tmp_path / "run")
    assert held["step"] == 3
    assert all(bool(torch.isfinite(value).all()) for value in held["network"].values())
    assert not (tmp_path / "run" / "best.onnx").exists()
    assert any("is skipped" in line for line in log_lines)


def test_ten_such_steps_say_the_rate() -> None:
    made = trainer(warmup=1, lr=0.5)
    spoilt = torch.full((2, 3, 64, 64), float("nan"))
    with pytest.raises(UsageError, match=r"not been finite for 10 steps, at a learning rate of 0\..*than 0\.5"):
        for _ in range(20):
            made.learn(spoilt, batch()[1])
    assert made.skipped == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_vanishes(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw_shapes(tmp_path / "data")
    monkeypatch.setattr(memory, "free", lambda: memory.Memory(0, 0))
    images = sorted((tmp_path / "data" / "images" / "train").iterdir())

    def hide(_: Any) -> None:
        for path in images:
            path.rename(path.with_suffix(".gone"))

    after(monkeypatch, 1, hide)
    folder = tmp_path / "run"
    settings = TrainSettings(epochs=12, batch=4, imgsz=64)  # more steps than a worker prepares ahead
    with pytest.raises(SourceError, match=rf"cannot read .*images/train/.*\.png.*--resume {folder}") as error:
        train("toy", data, settings=settings, weights="none", out=folder, workers=workers)
    assert "Traceback" not in str(error.value) and "\n" not in str(error.value)
    assert 1 <= state(folder)["step"] < 36
    for path in images:
        path.with_suffix(".gone").rename(path)
    run = train("toy", data, settings=settings, resume=folder, workers=0)
    assert run.onnx.is_file() and state(folder)["step"] == 36


def test_a_reader_that_dies(data: Path, tmp_path: Path) -> None:
    """In a process of its own: torch raises in whatever runs when a signal says that a reader has died."""
    code = "import multiprocessing\nat(1, lambda: [each.kill() for each in multiprocessing.active_children()])\n"
    folder = tmp_path / "run"
    done = toy_run.run(code, "--data", data, *QUICK, "--epochs", 40, "--workers", 1, "--name", folder)
    assert done.returncode == SourceError.exit_code, done.stderr[-2000:]
    said = rf"a process that reads images died at step .*--workers.*--resume {re.escape(str(folder))}"
    assert re.search(said, done.stderr) and not any(word in done.stderr for word in UGLY)
    assert state(folder)["step"] >= 0


def test_a_reader_that_ends_with_the_run(data: Path, tmp_path: Path) -> None:
    """`timeout` and systemd send SIGTERM to the readers too."""
    code = (
        "import multiprocessing, os, subprocess, time\n"
        "def end():\n"
        "    os.kill(os.getpid(), 15)\n"
        "    readers = [str(each.pid) for each in multiprocessing.active_children()]\n"
        "    subprocess.Popen(['kill', '-TERM', *readers])\n"  # to a parent's own signal torch's readers say goodbye
        "    time.sleep(20)\n"
        "at(1, end)\n"
    )
    folder = tmp_path / "run"
    done = toy_run.run(code, "--data", data, *QUICK, "--epochs", 40, "--workers", 1, "--name", folder)
    assert done.returncode == 143, done.stderr[-2000:]
    assert re.search(rf"stopped in step \d+ of \d+; add --resume {re.escape(str(folder))} to continue", done.stderr)
    assert "lack of memory" not in done.stderr and not any(word in done.stderr for word in UGLY)


def test_a_stop_saves_and_the_run_goes_on(
    whole: Dict[str, Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, folder = Event(), tmp_path / "run"
    with monkeypatch.context() as patch:
        after(patch, 3, lambda _: stop.set())  # an epoch ends there: a validation is due
        with pytest.raises(Stopped, match=rf"stopped after step 3 of 6; to continue, add --resume {folder}"):
            train("toy", data, settings=TOY, weights="none", out=folder, workers=0, stop=stop)
    assert state(folder)["step"] == 3
    resume(data, folder)
    same(whole, state(folder))
    assert [row for row in (folder / "log.jsonl").read_text().splitlines() if '"AP50"' in row and '"step": 3' in row]
    stop.set()
    with pytest.raises(Stopped, match="training had not begun"):
        train("toy", data, settings=TOY, weights="none", out=tmp_path / "other", workers=0, stop=stop)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(number: int, code: int, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("--data", data, *QUICK, "--epochs", "4000", "--name", folder)
    process = subprocess.Popen(
        toy_run.command(SAVE_ALWAYS, *words), stderr=subprocess.PIPE, text=True, env=child_environment(TESTS)
    )
    late = time.monotonic() + 120
    while time.monotonic() < late and not (folder / "best.pt").exists():
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert f"--resume {folder}" in said and not any(word in said for word in UGLY)
    assert state(folder)["step"] > 0


@pytest.mark.parametrize("place", ["validation", "export", "step 0"])
def test_a_run_that_is_killed_goes_on(place: str, whole: Dict[str, Any], data: Path, tmp_path: Path) -> None:
    kill = "def kill(*a, **k): os.kill(os.getpid(), 9)\n"
    code = {
        "validation": kill + "from edgecsp.processing import nms\nat(6, lambda: setattr(nms, 'keep', kill))\n",
        "export": kill + "from edgecsp import backends\nbackends.open = kill\n",
        "step 0": kill + "from edgecsp.train.trainer import Trainer\nTrainer.learn = kill\n",
    }[place]
    folder = tmp_path / "run"
    done = toy_run.run(code, "--data", data, *QUICK, "--name", folder)
    assert done.returncode == -9, done.stderr[-2000:]
    assert not (folder / "best.onnx").exists()
    assert state(folder)["step"] == (0 if place == "step 0" else 6)
    run = resume(data, folder)
    assert run.onnx.is_file() and run.ap50 is not None
    same(whole, state(folder))


def test_a_full_disk_keeps_what_was_saved(whole: Dict[str, Any], data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill = "import resource\nat(2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY)))\n"
    done = toy_run.run(SAVE_ALWAYS + fill, "--data", data, *QUICK, "--name", folder)
    assert done.returncode == 5, done.stderr[-2000:]
    assert f"cannot write {folder / 'last.pt'}" in done.stderr and "Traceback" not in done.stderr
    assert state(folder)["step"] == 1
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*.part"))
    resume(data, folder)
    same(whole, state(folder))


def test_a_damaged_last_is_said(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train("toy", data, settings=TOY, weights="none", out=folder, workers=0)
    whole = (folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadWeights, match=r"last\.pt is damaged"):
        resume(data, folder)
