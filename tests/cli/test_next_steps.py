"""What `edgecsp doctor` says to try next, for machines of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from edgecsp.backends import recipes
from edgecsp.cli import _next_steps
from edgecsp.cli._next_steps import Machine
from edgecsp.system import install
from support.commands import invoke
from support.repository import REPO

PLAIN = Machine(cameras=[], has_nvidia=False, jetson=None, has_display=False, models=[], tuned=[])


def report(auto: Optional[str] = "ort", *, runs_trt: bool = False, faster: Any = ()) -> Dict[str, Any]:
    rows = [{"engine": "ort", "real": True, "runs": auto == "ort"}, {"engine": "trt", "real": True, "runs": runs_trt}]
    return {"engines": rows, "auto": {"engine": auto}, "faster": list(faster)}


def commands(machine: Machine, **facts: Any) -> List[str]:
    steps = _next_steps.list_next_steps(report(**facts), machine)
    assert 1 <= len(steps) <= 2 and all(step["why"] for step in steps)
    return [step["command"] for step in steps]


def test_a_fresh_machine_sees_the_demo_and_a_model() -> None:
    assert commands(PLAIN) == ["edgecsp demo", "edgecsp models pull yolov4-tiny"]


def test_without_an_engine_there_is_one_thing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecsp.system.cpu.is_x86", lambda: True)
    camera = PLAIN._replace(cameras=["/dev/video0"])
    assert commands(camera, auto=None) == [install.command("openvino")]


def test_a_faster_engine_comes_before_the_demo() -> None:
    faster = [{"engine": "openvino", "times": 2.1, "install": "pip install x"}]
    assert commands(PLAIN, faster=faster) == ["pip install x", "edgecsp demo"]


@pytest.mark.parametrize(("has_display", "option"), [(True, "--show"), (False, "--out camera.mp4")])
def test_a_camera_is_shown_or_recorded(has_display: bool, option: str) -> None:
    machine = PLAIN._replace(cameras=["/dev/video2"], has_display=has_display)
    assert commands(machine)[0] == f"edgecsp run /dev/video2 {option}"


def test_a_pulled_model_is_tuned_once() -> None:
    machine = PLAIN._replace(models=["yolov4-tiny"])
    assert commands(machine) == ["edgecsp tune yolov4-tiny", "edgecsp serve"]
    assert commands(machine._replace(tuned=["yolov4-tiny"])) == ["edgecsp serve"]


@pytest.mark.parametrize(
    ("board", "recipe", "image"),
    [
        ("NVIDIA Jetson TX2 Developer Kit", "jetson-tx2", "jetson-tx2"),
        ("NVIDIA Orin Nano Developer Kit", "jetson-orin", "jetson-orin"),
        ("NVIDIA Jetson Xavier NX", "jetson-xavier", "jetson-jp5"),
        ("NVIDIA Jetson Nano", "x86-cuda", ""),
    ],
)
def test_a_jetson_gets_its_recipe_or_its_image(board: str, recipe: str, image: str) -> None:
    machine = PLAIN._replace(jetson=board, has_nvidia=True)
    assert commands(machine, runs_trt=True)[0] == f"edgecsp build codes --recipe {recipe}"
    assert recipe in recipes.names()
    command = commands(machine)[0]
    if image:
        assert f"docker/{image}.Dockerfile" in command and (REPO / "docker" / f"{image}.Dockerfile").is_file()
    else:
        assert command == install.command("trt")


def test_a_gpu_gets_tensorrt_then_a_plan() -> None:
    machine = PLAIN._replace(has_nvidia=True)
    (first, _) = _next_steps.list_next_steps(report(), machine)
    assert first["command"] == install.command("trt") and "troubleshooting#cuda-not-seen" in first["why"]
    assert commands(machine, runs_trt=True)[0] == "edgecsp build codes --recipe x86-cuda"


def test_a_machine_is_what_its_files_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    for name in ("video0", "video10", "nvidiactl"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    tree = tmp_path / "proc" / "device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_text("nvidia,tegra186")
    (tree / "model").write_text("NVIDIA Jetson TX2\0")
    machine = _next_steps.inspect_machine(tmp_path)
    assert machine.cameras == [str(tmp_path / "dev" / "video0")], "from 10 on a Raspberry Pi has its codecs"
    assert (machine.has_nvidia, machine.jetson, machine.models, machine.tuned) == (True, "NVIDIA Jetson TX2", [], [])
    assert _next_steps.inspect_machine(tmp_path / "empty")[1:3] == (False, None)


def test_doctor_ends_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    steps = json.loads(invoke(capsys, "doctor", "--json", "-")[1])["next"]
    _, text, _ = invoke(capsys, "doctor")
    last = text.replace("\n ", " ").rstrip().splitlines()[-len(steps) :]
    assert [line.split()[0] for line in last] == ["next"] * len(steps)
    assert all(step["command"] in text for step in steps)
