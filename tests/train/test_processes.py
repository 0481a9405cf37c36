"""Two processes of torchrun learn what one with the doubled batch learns; the first alone writes and prints.

Batch-norm takes its statistics from each process's own images, by design. For an exact comparison it goes by its
running statistics in both runs here, its scales and biases learning as ever, in float32; all else is as in use.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

import pytest

from support.repository import TESTS, child_environment

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp.errors import UsageError  # noqa: E402
from edgecsp.train import TrainSettings, distributed  # noqa: E402
from edgecsp.train.data import Steps  # noqa: E402
from edgecsp.train.image_sizes import ImageSizes  # noqa: E402
from edgecsp.train.model import Layout  # noqa: E402
from edgecsp.train.resources import pick_device  # noqa: E402
from edgecsp.train.trainer import Trainer  # noqa: E402
from support import toy_run, toy_zoo  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402
from support.toy_run import QUICK  # noqa: E402

EXACT = (
    "import torch\n"
    "torch.nn.BatchNorm2d.train = lambda self, mode=True: torch.nn.Module.train(self, False)\n"
    "from edgecsp.train import loop, trainer\n"
    "trainer.has_bfloat16 = lambda device: False\n"
    "loop.LOG_EVERY = 1\n"
)


def start(code: str, *words: object, processes: int = 1) -> Any:
    command = toy_run.command(code, *words)
    if processes > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *torchrun, *command[1:]]
    return subprocess.run(command, capture_output=True, text=True, env=child_environment(TESTS), timeout=400)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_learn_what_one_with_the_doubled_batch_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_shapes(tmp_path / "data", 16)
    base: Any = ("--data", data, "--epochs", 4, "--imgsz", 64, "--workers", 0, "--weights", "none", "--device", "cpu")
    base = (*base, "--lr", 0.02)
    held: Dict[int, Any] = {}
    for processes, batch in ((1, 8), (2, 4)):
        folder = tmp_path / f"of{processes}"
        done = start(EXACT, *base, "--batch", batch, "--name", folder, processes=processes)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr.count("best AP50") == 1 and done.stderr.count("begins with") == 1
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        state = torch.load(folder / "last.pt", weights_only=True)
        assert json.loads((folder / "run.json").read_text())["processes"] == processes
        assert (folder / "best.onnx").is_file()
        held[processes] = ([row for row in rows if "loss" in row], state)
    (one, ours), (two, theirs) = held[1], held[2]
    assert len(one) == len(two) == 8 and ours["step"] == theirs["step"] == 8
    for a, b in zip(one, two):
        for key in ("loss", "box", "objectness", "classes", "lr"):
            assert b[key] == pytest.approx(a[key], rel=1e-4), (a["step"], key)
    toy_zoo.add(monkeypatch)
    layout = Layout.from_dict(json.loads((tmp_path / "of1" / "run.json").read_text())["layout"])
    fresh = Trainer(layout, TrainSettings(imgsz=64), 1).network.state_dict()
    assert max(float((fresh[key] - value).abs().max()) for key, value in ours["network"].items()) > 2e-3  # they learn
    for key, value in ours["network"].items():
        torch.testing.assert_close(theirs["network"][key], value, rtol=0, atol=1e-4)

    other = start(EXACT, *base, "--batch", 4, "--resume", tmp_path / "of2")
    assert other.returncode == 2 and "was started with processes 2 (now 1)" in other.stderr


def test_an_error_is_said_once(tmp_path: Path) -> None:
    done = start("", "--data", tmp_path / "nothing", "--device", "cpu", processes=2)
    assert done.returncode != 0
    assert done.stderr.count("edgecsp: there is no") == 1 and "exitcode  : 3" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ends", ["torchrun is asked to end", "a process is killed"])
def test_an_end_of_one_is_the_end_of_all(ends: str, tmp_path: Path) -> None:
    data, folder = draw_shapes(tmp_path / "data", 16), tmp_path / "run"
    words = toy_run.command(
        toy_run.SAVE_ALWAYS, "--data", data, *QUICK, "--epochs", 4000, "--device", "cpu", "--name", folder
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words[1:]]
    process = subprocess.Popen(torchrun, stderr=subprocess.PIPE, text=True, env=child_environment(TESTS))
    late = time.monotonic() + 200
    while time.monotonic() < late and not (folder / "best.pt").exists():
        time.sleep(0.1)
    if ends == "a process is killed":
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
    else:
        process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode
    lines = [line for line in said.splitlines() if line.startswith("edgecsp: ")]
    assert len(lines) == 1 and f"--resume {folder}" in lines[0], said[-3000:]
    assert ("another process of this run ended" in lines[0]) == (ends == "a process is killed")
    assert torch.load(folder / "last.pt", weights_only=True)["step"] > 0


def test_what_two_see_is_what_one_sees() -> None:
    sides, ends = ImageSizes(96, 32, 11, seed=5, multi_scale=True, progressive=True), (3, 11)
    one = list(Steps(*ends, 6, sides.at, 7))
    two = [list(Steps(*ends, 3, sides.at, 7, (rank, 2))) for rank in range(2)]
    assert len({side for batch in one for _, side, _ in batch}) > 1
    assert [a + b for a, b in zip(*two)] == one


def test_several_gpus_are_told_to_torchrun(tmp_path: Path) -> None:
    done = toy_run.run("", "--data", "my data", "--device", "0,1", "--epochs", "3")
    assert done.returncode == 2
    command = "CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc-per-node 2 -m edgecsp train toy --data 'my data' --epochs 3"
    assert command in done.stderr
    with pytest.raises(UsageError, match="cuda"):
        pick_device("tpu")


def test_one_process_needs_no_others() -> None:
    count = torch.tensor(0.0)
    assert distributed.size() == 1 and not distributed.rank()
    assert float(distributed.share_of(count)) == 1.0 and distributed.from_first(lambda: 7) == 7
    with distributed.processes("cpu") as device:
        assert device == "cpu"
    assert TrainSettings().batch == 16
