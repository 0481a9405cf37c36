"""`edgecsp build` as a user types it: on a PC without a GPU, and on a board that doubles play."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Callable

import onnx
import pytest

from edgecsp.graph import onnx_model
from edgecsp.system import install
from support import media, stage
from support.repository import REPO
from support.tiny import Tiny

pytestmark = pytest.mark.slow
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def desk(tmp_path: Path, tiny: Tiny) -> Path:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    (tmp_path / "a.jpg").write_bytes(media.jpeg(media.scene(0)))
    return tmp_path


@pytest.fixture
def run(desk: Path) -> Run:
    def typed(command: str, board: str = "", fails: str = "", chip: str = "8.6") -> subprocess.CompletedProcess[str]:
        path = [str(REPO), *filter(None, sys.path)]
        env = {**os.environ, "EDGECSP_HOME": str(desk / "home"), "EDGECSP_DOUBLE_LOG": str(desk / "steps")}
        if board:
            path.insert(0, str(stage.DOUBLE))
            env.update(EDGECSP_DOUBLE=board, EDGECSP_DOUBLE_FAILS=fails, EDGECSP_DOUBLE_CHIP=chip)
        env["PYTHONPATH"] = os.pathsep.join(path)
        words = [sys.executable, "-m", *shlex.split(command)]
        return subprocess.run(words, cwd=desk, env=env, capture_output=True, text=True, timeout=120)

    return typed


def builds(desk: Path) -> int:
    steps = (desk / "steps").read_text().splitlines()
    (desk / "steps").unlink()
    return steps.count("Builder")


def test_a_pc_without_a_gpu(run: Run, desk: Path) -> None:
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2 --check")
    assert done.returncode == 0 and "jetson-tx2 (NVIDIA Jetson TX2)" in done.stdout and "fp16" in done.stdout
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2")
    assert done.returncode == 6 and install.command("trt") in done.stderr, done.stderr
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2 --precision int8")
    assert done.returncode == 6 and "NVIDIA Jetson TX2 (compute capability 6.2) has no int8" in done.stderr
    done = run("edgecsp build tiny.onnx --recipe jetson-orin --precision int8 --check")
    assert done.returncode == 2 and "edgecsp quantize" in done.stderr
    done = run("edgecsp build tiny.onnx --recipe jetson-tx3")
    assert done.returncode == 2 and "Did you mean 'jetson-tx2'?" in done.stderr
    done = run("edgecsp build tiny.onnx --recipe mine.toml")
    assert done.returncode == 3 and "no recipe at mine.toml" in done.stderr
    assert not (desk / "home").exists()


def test_the_gate_stands_before_the_board(run: Run, desk: Path) -> None:
    proto = onnx.load(str(desk / "tiny.onnx"))
    proto.opset_import[0].version = 17
    onnx.save(proto, str(desk / "new.onnx"))
    done = run("edgecsp build new.onnx --recipe jetson-tx2 --check")
    assert done.returncode == 6 and "its opset is 17, 13 is the newest it supports" in done.stderr
    assert run("edgecsp build new.onnx --recipe jetson-orin --check").returncode == 0


def test_build_then_run(run: Run, desk: Path) -> None:
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2 --images a.jpg", board="8.2", chip="6.2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["plan", "recipe", "compared"]
    assert "just built" in lines[0] and lines[1].endswith("jetson-tx2 (NVIDIA Jetson TX2), fp16")
    assert "with onnxruntime on 1 image: heads differ by" in lines[2]
    assert "building a TensorRT plan of tiny for Rehearsal GPU in fp16, once" in done.stderr
    assert builds(desk) == 1
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("run it: "))
    command = told.replace("run it: ", "").replace("SOURCE", "a.jpg") + " --json out.jsonl --out out.jpg"
    done = run(command, board="8.2", chip="6.2")
    assert done.returncode == 0, done.stderr
    assert builds(desk) == 0, "run takes the plan that build made"
    here = run("edgecsp run a.jpg --model tiny.onnx --engine ort --json ort.jsonl --out ort.jpg")
    assert here.returncode == 0, here.stderr
    assert (desk / "out.jsonl").read_text().count("xyxy") == (desk / "ort.jsonl").read_text().count("xyxy")


def test_a_changed_plan_and_a_trusted_one(run: Run, desk: Path) -> None:
    command = "edgecsp build tiny.onnx --recipe x86-cuda"
    assert run(command, board="10.3.0").returncode == 0
    (plan,) = (desk / "home" / "plans").glob("*.plan")
    good = plan.read_bytes()
    plan.write_bytes(good + b"\0")
    for words in (command, "edgecsp run a.jpg --model tiny.onnx --engine trt --out out.jpg"):
        done = run(words, board="10.3.0")
        assert done.returncode == 7 and "has changed since it was built" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    plan.write_bytes(good)
    (desk / "home" / "plan.key").unlink()  # as if the folder came from another machine
    done = run(command, board="10.3.0")
    assert done.returncode == 7 and "built by somebody else" in done.stderr
    done = run(command + " --trust-plan", board="10.3.0")
    assert done.returncode == 0 and "from the cache" in done.stdout, done.stderr
    assert run(command, board="10.3.0").returncode == 0
    assert builds(desk) == 1


def test_fp16_that_finds_nothing(run: Run, desk: Path) -> None:
    command = "edgecsp build tiny.onnx --recipe x86-cuda --precision fp16"
    done = run(command, board="8.6.1", fails="blind")
    assert done.returncode == 6 and "--allow-fp32" in done.stderr, done.stderr + done.stdout
    assert "detects none of the" in done.stderr
    assert not list((desk / "home" / "plans").glob("*.plan")), "nobody should run it"
    done = run(command + " --allow-fp32", board="8.6.1", fails="blind")
    assert done.returncode == 0 and "building it in fp32, as allowed" in done.stderr
    assert done.stdout.splitlines()[-2].endswith("fp32") and "--precision fp32" in done.stderr
    assert len(list((desk / "home" / "plans").glob("*.plan"))) == 1


def test_a_build_that_the_kernel_kills(run: Run, desk: Path) -> None:
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2 --workspace 200", board="8.2", fails="kill", chip="6.2")
    assert done.returncode == 6 and "Traceback" not in done.stderr
    assert "building the TensorRT plan of tiny was killed (signal 9)" in done.stderr
    assert "edgecsp build ... --workspace 100" in done.stderr
    done = run("edgecsp build tiny.onnx --recipe jetson-tx2 --workspace 1000000", board="8.2", chip="6.2")
    assert done.returncode == 6 and "the kernel would kill the build half way" in done.stderr


def test_another_board(run: Run) -> None:
    done = run("edgecsp build tiny.onnx --recipe jetson-orin", board="10.3.0")
    assert done.returncode == 6 and "a plan runs on no other chip" in done.stderr
    done = run("edgecsp build tiny.onnx --recipe x86-cuda", board="10.3.0", fails="count")
    assert done.returncode == 6 and "engine 'trt' finds no device: CUDA sees no device here" in done.stderr
