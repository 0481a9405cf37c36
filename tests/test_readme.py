"""The README's commands and its Python, run as they stand there; what a reader and a package index see of it."""

from __future__ import annotations

import email
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
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


def test_commands_that_do_not_end_or_train_are_those_of_a_page_that_is_tested() -> None:
    training = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("edgecsp train")]
    tested = {line.split("#")[0].strip() for line in "".join(blocks("bash", "docs/reference/train.md")).splitlines()}
    assert training and set(training) <= tested


# -- what a reader and a package index see --------------------------------------------------------------------------

TEXT = (REPO / "README.md").read_text("utf-8")


def test_it_can_be_read_in_one_go() -> None:
    assert len(TEXT.splitlines()) <= 170
    assert len(TEXT.split()) <= 1400
    (moving,) = re.findall(r"^!\[.+\]\((\S+\.gif)\)$", TEXT, re.MULTILINE)
    assert (REPO / moving).stat().st_size <= 600_000


def test_setting_up_comes_first() -> None:
    first = re.search(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert first is not None and [line.split()[1] for line in first[1].splitlines()] == ["demo", "test"]
    assert TEXT.index(first[0]) < 700, "behind the two sentences that say what it is"


def test_its_speed_is_a_result_file_s() -> None:
    from benchmarks import readme

    assert [found[1] for found in readme.MARKED.finditer(TEXT)] == ["means"]
    prose = re.sub(r"^```.*?^```", "", readme.MARKED.sub("", TEXT), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\d+(?:\.\d+)? ?(?:ms|fps|times|%)|frames per second", prose) == [], "a figure that no file has"


def load_hook() -> ModuleType:
    pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")
    spec = importlib.util.spec_from_file_location("hatch_build", REPO / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_package_index_shows_all_of_it() -> None:
    markdown = pytest.importorskip("readme_renderer.markdown", reason="readme-renderer is not installed")
    shown = load_hook().make_absolute(TEXT)
    html = markdown.render(shown)
    assert html is not None
    for mark, tag in ((r"^## ", "<h2"), (r"^```\w", "<pre"), (r"^\|---", "<table")):
        assert html.count(tag) == len(re.findall(mark, TEXT, re.MULTILINE)), tag
    assert "&lt;!--" not in html and ".gif" not in html
    targets = re.findall(r"(?:href|src)=\"([^\"]*)\"", html)
    assert [each for each in targets if not each.startswith(("https://", "#"))] == []
    words = set(re.findall(r"\w{4,}", re.sub(r"!\[.*?\]\(.*?\)|\]\(.*?\)|<!--.*?-->", "", TEXT)))
    assert len(words - set(re.findall(r"\w{4,}", html)) - {"benchmarks", "demo_gif"}) < 15, "no text is lost"


def test_with_an_address_links_are_absolute() -> None:
    make_absolute = load_hook().make_absolute
    text = "![a](b/c.gif)\n\n*A caption.*\n\n[d](e.md) [f](https://example.org/g) [h](#i)\n"
    assert make_absolute(text, "https://example.org/x/") == (
        "![a](https://example.org/x/raw/main/b/c.gif)\n\n*A caption.*\n\n"
        "[d](https://example.org/x/blob/main/e.md) [f](https://example.org/g) [h](#i)\n"
    )
    assert make_absolute(text) == "d [f](https://example.org/g) [h](#i)\n"


@pytest.mark.slow
def test_the_wheel_has_the_text_of_the_index(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        message = email.message_from_bytes(archive.read(name))
    assert message["Description-Content-Type"] == "text/markdown"
    payload = message.get_payload()
    assert isinstance(payload, str) and payload.strip() == load_hook().make_absolute(TEXT).strip()
