"""Engines of other packages: wheels are built and installed, and their engines are found wherever edgecsp's own are."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
import pytest

from edgecsp.graph import onnx_model
from support import commands, wheels
from support.documents import blocks
from support.repository import REPO, child_environment
from support.tiny import Tiny

Edgecsp = Callable[..., "subprocess.CompletedProcess[str]"]
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "edgecsp-toy"
version = "1.2"

[project.optional-dependencies]
fast = []

[project.entry-points."edgecsp.engines"]
toy = "edgecsp_toy:ToySession"
"""


def install_package(folder: Path, project: str, module: str, code: str) -> Path:
    """Build a wheel of one module and install it into a folder, which is returned."""
    (folder / "project").mkdir()
    (folder / "project" / "pyproject.toml").write_text(project)
    (folder / "project" / f"{module}.py").write_text(code)
    return wheels.install_into(wheels.build(folder / "wheel", folder / "project"), folder / "site")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that adds `toy`: a copy of the file of `null` that claims to compute."""
    code = (REPO / "edgecsp" / "backends" / "null.py").read_text("utf-8")
    for ours, theirs in (
        ('"null"', '"toy"'), ("NullSession", "ToySession"), ("is_dummy=True", "is_dummy=False"),
        ("from ..", "from edgecsp."), ("from .base", "from edgecsp.backends"),
    ):  # fmt: skip
        assert ours in code
        code = code.replace(ours, theirs)
    return install_package(tmp_path_factory.mktemp("toy"), PROJECT, "edgecsp_toy", code)


@pytest.fixture
def edgecsp(toys: Path, tiny: Tiny, tmp_path: Path) -> Edgecsp:
    """The command line where that package is installed, in a folder with a model and an image."""
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    cv2.imwrite(str(tmp_path / "x.png"), np.full((48, 64, 3), 90, np.uint8))
    env = child_environment(toys, EDGECSP_HOME=str(tmp_path / "home"))
    return lambda *words, code=0: commands.edgecsp(*words, code=code, cwd=tmp_path, env=env)


def test_it_is_listed_with_what_it_can_do(edgecsp: Edgecsp) -> None:
    rows = {row["engine"]: row for row in json.loads(edgecsp("engines", "--json", "-").stdout)}
    assert rows["toy"] == {**rows["null"], "engine": "toy", "real": True}
    doctor: Any = json.loads(edgecsp("doctor", "--json", "-").stdout)
    assert doctor["engines"] == list(rows.values()) and doctor["auto"]["engine"] not in ("toy", None)
    assert "toy        ready on cpu" in edgecsp("engines").stdout


def test_run_takes_it_by_name_and_suggests_it(edgecsp: Edgecsp) -> None:
    done = edgecsp("run", "x.png", "-m", "tiny.onnx", "-e", "toy", "--json", "-")
    assert json.loads(done.stdout)["detections"] == [], "it finds nothing, which no other engine is sure to do"
    refused = edgecsp("run", "x.png", "-m", "tiny.onnx", "-e", "toi", code=2)
    assert "no engine is called 'toi'. Did you mean 'toy'?" in refused.stderr


def test_bench_measures_it(edgecsp: Edgecsp) -> None:
    words = ("bench", "tiny.onnx", "-e", "toy", "--duration", 0.1, "--rounds", 1, "--json", "-", "--quiet")
    (row,) = json.loads(edgecsp(*words).stdout)["rows"]
    assert row["engine"] == "toy" and row["fps"] > 0


def test_tune_may_choose_it_and_auto_then_takes_it_until_its_package_changes(edgecsp: Edgecsp, toys: Path) -> None:
    words = ("tune", "tiny.onnx", "-e", "toy", "--seconds", 1, "--json", "-", "--quiet")
    assert {row["engine"] for row in json.loads(edgecsp(*words).stdout)["rows"]} > {"toy"}
    run = ("run", "x.png", "-m", "tiny.onnx", "--json", "-")
    assert "engine toy on cpu in fp32" in edgecsp(*run).stderr
    (metadata,) = toys.glob("*.dist-info")
    newer = metadata.rename(metadata.with_name("edgecsp_toy-1.3.dist-info"))
    text = (newer / "METADATA").read_text()
    try:
        (newer / "METADATA").write_text(text.replace("Version: 1.2", "Version: 1.3"))
        assert "edgecsp-toy was 1.2 then and is 1.3 now" in edgecsp(*run).stderr
    finally:
        (newer / "METADATA").write_text(text)
        newer.rename(metadata)


def test_verify_compares_it(edgecsp: Edgecsp) -> None:
    done = edgecsp("verify", "tiny.onnx", "-e", "toy", code=8)
    assert "toy on cpu in fp32 is off by" in done.stderr, "it only claims to compute"


def test_the_schema_of_the_site_file_offers_it_to_editors(edgecsp: Edgecsp) -> None:
    offered = json.loads(edgecsp("up", "--schema").stdout)["properties"]["engine"]["examples"]
    assert offered[0] == "auto" and {"toy", "ort"} < set(offered)


def test_the_engine_of_the_guide_passes_the_tests_of_the_guide_and_is_used(tmp_path: Path) -> None:
    """CONTRIBUTING.md: its engine and its project are built and installed, its test class is run, as they stand."""
    engine, contract = blocks("python", "CONTRIBUTING.md")
    (project,) = blocks("toml", "CONTRIBUTING.md")
    assert len(engine.splitlines()) <= 40, "one screen"
    site = install_package(tmp_path, project, "edgecsp_myort", engine)
    (tmp_path / "test_myort.py").write_text(contract)
    plugins = ("-p", "no:cacheprovider", "-p", "no:randomly")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", *plugins, "test_myort.py"]
    env = child_environment(site, EDGECSP_HOME=str(tmp_path / "home"))
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=300)
    assert done.returncode == 0 and " skipped" not in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(done.stdout.split(" passed")[0].split()[-1]) >= 16

    cv2.imwrite(str(tmp_path / "street.jpg"), np.full((48, 64, 3), 90, np.uint8))
    steps = [shlex.split(line, comments=True)[1:] for line in blocks("bash", "docs/how-to/engine.md")[-1].splitlines()]
    assert [words[0] for words in steps] == ["engines", "run", "verify", "bench"]
    for words in steps:
        quick = ("--duration", 0.1, "--rounds", 1) if words[0] == "bench" else ()
        used = commands.edgecsp(*words, *quick, code=0, cwd=tmp_path, env=env)
        assert words[0] == "run" or "myort" in used.stdout
