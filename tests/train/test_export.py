"""What a run leaves under its final names: verified on all engines, readable by darknet, whole or as it was before."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import backends, importers  # noqa: E402
from edgecsp.errors import BuildFailed  # noqa: E402
from edgecsp.importers import darknet  # noqa: E402
from edgecsp.train import TrainSettings, result, train  # noqa: E402
from edgecsp.train.model import Layout  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
QUICK = TrainSettings(epochs=1, batch=4, imgsz=64, warmup=4)
NAMES = ("best.onnx", "best.cfg", "best.weights")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("shapes"), 4)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(MODEL, data, settings=QUICK, weights="none", out=tmp_path_factory.mktemp("runs") / "a", workers=0)


@pytest.fixture
def folder(run: Any, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(run.folder, tmp_path / "run"))


def exported(folder: Path) -> Dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_darknets_files_give_the_heads_of_the_onnx(run: Any) -> None:
    ours = importers.load(run.onnx)
    theirs = darknet.load(run.folder / "best.cfg", run.folder / "best.weights").model
    assert [(h.anchors_wh, h.mask, h.scale_xy, h.classes) for h in theirs.heads] == [
        (h.anchors_wh, h.mask, h.scale_xy, h.classes) for h in ours.heads
    ]
    batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    for a, b in zip(*(backends.open(model, "ort").run(batch) for model in (ours, theirs))):
        assert np.ptp(a) > 0.1 and np.abs(a - b).max() <= 1e-5 * np.abs(a).max()
    first = (run.folder / "best.cfg").read_text().splitlines()[0]
    assert first.startswith(f"# {MODEL}, trained by edgecsp") and first.endswith("classes: square, disc")


def test_what_differs_from_torch_gets_no_name(folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = exported(folder)
    monkeypatch.setattr(result, "compare", lambda *_: 0.5)
    with pytest.raises(BuildFailed, match=r"the exported heads differ from torch's \(.*ort by 0.5"):
        train(MODEL, data, settings=QUICK, resume=folder, workers=0)
    assert exported(folder) == before
    (folder / "best.onnx").unlink()
    with pytest.raises(BuildFailed):
        train(MODEL, data, settings=QUICK, resume=folder, workers=0)
    assert not (folder / "best.onnx").exists() and not list(folder.glob(".*"))


def test_darknets_files_that_differ_from_the_onnx_are_left_out(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, log_lines: List[str]
) -> None:
    for name in NAMES:
        (folder / name).unlink()
    monkeypatch.setattr(result, "difference", lambda *_: 0.5)
    train(MODEL, data, settings=QUICK, resume=folder, workers=0)
    assert any("no best.cfg: read back, its heads differ from best.onnx's by 0.5" in line for line in log_lines)
    assert [name for name in NAMES if (folder / name).exists()] == ["best.onnx"]


def test_layers_that_darknet_lacks_leave_the_onnx_alone(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, log_lines: List[str]
) -> None:
    from edgecsp.errors import BadModel

    def refuse(self: Layout) -> str:
        raise BadModel("layer 3 of the tape is fold, which darknet has no section for")

    for name in NAMES:
        (folder / name).unlink()
    monkeypatch.setattr(Layout, "darknet", refuse)
    train(MODEL, data, settings=QUICK, resume=folder, workers=0)
    assert "no best.cfg: layer 3 of the tape is fold, which darknet has no section for" in log_lines
    assert [name for name in NAMES if (folder / name).exists()] == ["best.onnx"]


def command(*arguments: Any, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """`edgecsp train` where no file can be larger: a disk that is full, as the file sees it."""
    return subprocess.run(
        [sys.executable, "-m", "edgecsp", "train", MODEL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def options(data: Path) -> List[str]:
    settings = json.loads(json.dumps(QUICK.__dict__))
    return ["--data", str(data), "--epochs", "1", "--batch", "4", "--imgsz", str(settings["imgsz"]), "--workers", "0"]


@pytest.mark.slow
def test_a_full_disk_at_the_export_is_a_sentence(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = command(*options(data), "--weights", "none", "--name", folder, most_bytes=1 << 40)
    assert done.returncode == 0, done.stderr
    before = exported(folder)
    done = command(*options(data), "--resume", folder, most_bytes=1 << 20)
    assert done.returncode == 5, done.stderr
    assert f"cannot write {folder / 'best.onnx'}: File too large" in done.stderr and "Traceback" not in done.stderr
    assert exported(folder) == before and not list(folder.glob(".*"))
    (folder / "best.onnx").unlink()
    assert command(*options(data), "--resume", folder, most_bytes=1 << 40).returncode == 0
    assert exported(folder).keys() == before.keys()


@pytest.mark.slow
def test_a_full_disk_while_it_learns_is_a_sentence(data: Path, tmp_path: Path) -> None:
    done = command(*options(data), "--weights", "none", "--name", tmp_path / "run", most_bytes=1 << 20)
    assert done.returncode == 5, done.stderr
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json"}
