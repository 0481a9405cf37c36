"""The wheel of this checkout, and an environment that it is installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock

from support.repository import REPO

PIP = (sys.executable, "-m", "pip")


class Installed(NamedTuple):
    """An environment with the wheel; the packages that edgecsp needs are those of this one."""

    python: Path
    script: Path


def run(*command: Any, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that must end with `code`, without this checkout on its path."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done


def build(folder: Path, project: Path = REPO) -> Path:
    """Build a wheel, once for all processes that share `folder`. Skip the test where hatchling cannot be had."""
    folder.mkdir(exist_ok=True)
    with FileLock(str(folder / "lock")):
        if not list(folder.glob("*.whl")):
            command = [*PIP, "wheel", "--no-deps", "-q", "-w", str(folder), str(project)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode and "hatchling" in done.stderr:
                pytest.skip("hatchling, which builds the wheel, cannot be had here")
            assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def install_into(wheel: Path, target: Path) -> Path:
    """Install a wheel into a folder that PYTHONPATH may name."""
    run(*PIP, "install", "-q", "--no-index", "--no-deps", "--target", target, wheel, folder=wheel.parent)
    return target


def install(wheel: Path, folder: Path) -> Installed:
    """Install the wheel into `folder`/venv, without what it depends on."""
    run(sys.executable, "-m", "venv", "--without-pip", "venv", folder=folder)
    python, script = (folder / "venv" / "bin" / name for name in ("python", "edgecsp"))
    # torch alone is 200 MB. The .pth files of this environment's folder are not read from there, so the edgecsp that is
    # being developed is not found.
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).stdout
    Path(packages.strip(), "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (*PIP, "--python", python, "install", "--no-index")
    run(*pip, "--ignore-installed", "--no-deps", wheel, folder=folder)
    where = run(python, "-c", "import edgecsp; print(edgecsp.__file__)", folder=folder).stdout
    assert where.startswith(str(folder / "venv")), where
    return Installed(python, script)
