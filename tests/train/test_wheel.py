"""The wheel, installed elsewhere with its extra, trains through its console script."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.repository import REPO


def check(*command: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout on its path."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(REPO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("hatchling, which builds the wheel, cannot be had here")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_an_installed_wheel_trains(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
    from support.shapes import draw_shapes

    check(sys.executable, "-m", "venv", "--without-pip", "venv", folder=tmp_path)
    python, script = (tmp_path / "venv" / "bin" / name for name in ("python", "edgecsp"))
    # The packages that edgecsp needs are those of this environment: torch alone is 200 MB. Its .pth files are not read
    # from there, so the edgecsp that is being developed is not.
    packages = check(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=tmp_path).stdout
    Path(packages.strip(), "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index")
    check(*pip, "--ignore-installed", "--no-deps", wheel, folder=tmp_path)
    # With no index, pip must find every package of the extra installed, in a version that the wheel allows.
    check(*pip, f"{wheel}[train]", folder=tmp_path)
    where = check(python, "-c", "import edgecsp; print(edgecsp.__file__)", folder=tmp_path).stdout
    assert where.startswith(str(tmp_path / "venv")), where

    data = draw_shapes(tmp_path / "shapes", 4)
    options = ("--epochs", 2, "--batch", 4, "--imgsz", 64, "--workers", 1, "--json", "-")
    done = check(script, "train", "cspdensenetb-ref-prn", "--data", data, *options, folder=tmp_path)
    figures = json.loads(done.stdout)
    assert "begins with the weights of codes" in done.stderr and 0 <= figures["AP50"] <= 1
    made = {path.name for path in (tmp_path / figures["folder"]).iterdir()}
    assert made >= {"best.onnx", "best.cfg", "best.weights", "last.pt", "run.json", "log.jsonl"}
    shown = tmp_path / "shapes" / "images" / "val"
    check(script, "run", shown, "--model", figures["onnx"], "--engine", "ort", folder=tmp_path)
    assert len(list((tmp_path / "runs" / "1").glob("*.*"))) >= 4


def test_the_extra_holds_what_training_imports(wheel: Path) -> None:
    """Training reads and scores data as `val` does, so it needs that extra's packages as well."""
    with zipfile.ZipFile(wheel) as held:
        name = next(each for each in held.namelist() if each.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(held.read(name))
    needs = message.get_all("Requires-Dist") or []
    extras = {
        extra: {re.split(r"[<>=!; ]", each)[0] for each in needs if re.search(rf"extra == ['\"]{extra}['\"]", each)}
        for extra in ("val", "train")
    }
    assert "torch" in extras["train"] and extras["val"] <= extras["train"]
