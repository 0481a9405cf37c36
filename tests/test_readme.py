"""The README's commands and its Python, run as they stand there, on files of the names it uses."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

import pytest

from support import exports, labelled, media
from support.documents import blocks, lacking_extra, shortened
from support.repository import REPO, child_environment
from support.tiny import Tiny


def commands() -> List[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("edgecsp ")]


@pytest.fixture(scope="module")
def desk(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(str(tiny.cfg), str(folder / "yolov4-tiny.cfg"))
    shutil.copy(str(tiny.weights), str(folder / "yolov4-tiny.weights"))
    (folder / "coco.names").write_text("person\ncar\ndog\n")
    media.video(folder / "street.mp4", 4)
    for name in ("photos/a.jpg", "more/b.png", "street.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(media.jpeg(media.scene(0)))
    for i in range(100):  # as many as int8 asks for
        (folder / f"photos/{i}.jpg").write_bytes(media.jpeg(media.scene(i)))
    (folder / "videos" / "2031").mkdir(parents=True)
    media.video(folder / "videos" / "2031" / "street.mp4", 4)
    labelled.coco(folder / "coco", ("person", "car", "dog"))
    labelled.yolo(folder / "mine", ("qr", "barcode", "marker"))
    (folder / "yolov8n.onnx").write_bytes(exports.finder("yolov8", (64, 64), props={"names": "{0: 'red'}"}))
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", *shlex.split(command, comments=True)]
    env = child_environment(EDGECSP_HOME=str(folder / "home"))
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def lacking(done: subprocess.CompletedProcess[str]) -> Optional[str]:
    """The extra that a command asked for, where that extra's packages really are not all here."""
    return lacking_extra(done.stderr) if done.returncode == 6 else None


@pytest.mark.slow
def test_every_command_of_the_readme_runs(desk: Path) -> None:
    wanted = commands()
    assert len(wanted) >= 9
    ran, skipped = 0, []
    for command in wanted:
        if "rtsp://" in command or command.startswith("edgecsp run 0 ") or " pull " in command:
            continue  # a camera, a network camera and a download: the next test
        if "s3://" in command:
            continue  # a bucket: tests/batch/test_stores.py
        done = run(shortened(command), desk)
        extra = lacking(done)
        if extra:
            skipped.append(f"{command.split('#')[0].strip()} (extra {extra})")
            continue
        # A limit may be passed here: the machine is not the one that it was meant for.
        allowed = {0, 8} if "--fail-if" in command else {0}
        assert done.returncode in allowed, f"{command}: {done.stderr}"
        ran += 1
    assert ran >= 6
    assert (desk / "runs" / "1").is_dir()
    if skipped:
        pytest.skip(f"{ran} commands ran; not these, whose extra is not installed: {'; '.join(skipped)}")


def test_what_needs_a_camera_or_a_network_says_so_without_one(desk: Path) -> None:
    # Port 9 of this machine: nobody answers, and nobody else's machine is asked.
    rtsp = next(command for command in commands() if "rtsp://" in command)
    done = run(rtsp.replace("camera.local", "127.0.0.1:9"), desk)
    assert done.returncode == 3 and "secret" not in done.stderr + done.stdout, done.stderr
    if not Path("/dev/video0").exists():
        camera = next(command for command in commands() if command.startswith("edgecsp run 0 "))
        assert run(camera, desk).returncode == 3
    for command in commands():
        if " pull " in command:  # a name that the zoo has, with public weights
            from edgecsp import zoo

            assert zoo.get(command.split()[-1]).weights


def test_the_python_of_the_readme_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (desk / "yolov4-tiny.onnx").exists():
        command = next(c for c in commands() if c.startswith("edgecsp import") and ".cfg" in c)
        assert run(command, desk).returncode == 0
    monkeypatch.chdir(desk)
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert named >= {"demo", "test"}
    assert named <= targets
