"""Commands to try next on this machine, by what `edgecsp doctor` found."""

from __future__ import annotations

import os
import sys
from glob import glob
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from .. import backends
from ..backends import tuning
from ..system import cpu, jetson

MOST = 2
# A word of its device tree's model: the recipe, and the image of docker/.
JETSON_BOARDS = {
    "TX2": ("jetson-tx2", "jetson-tx2"),
    "Xavier": ("jetson-xavier", "jetson-jp5"),
    "Orin": ("jetson-orin", "jetson-orin"),
}


class Machine(NamedTuple):
    """Parts of a machine that decide what its owner tries next."""

    cameras: List[str]
    has_nvidia: bool
    jetson: Optional[str]
    has_display: bool
    models: List[str]
    tuned: List[str]


def inspect_machine(root: Path = Path("/")) -> Machine:
    """Look for cameras, an NVIDIA GPU, a Jetson, pulled models and tunings; opens no device."""
    from ..zoo.store import index

    board = jetson.find(root)
    tunings = [each.content for each in tuning.list_tunings() if each.content and each.stale_reason is None]
    return Machine(
        cameras=sorted(glob(str(root / "dev" / "video[0-9]"))),  # from 10 on: codecs of a Raspberry Pi
        has_nvidia=(root / "dev" / "nvidiactl").exists(),
        jetson=str(board.describe()["model"] or "Jetson") if board else None,
        has_display=sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)),
        models=index.list_installed(),
        tuned=[str(content["spec"]) for content in tunings],
    )


def list_next_steps(report: Mapping[str, Any], machine: Machine) -> List[Dict[str, str]]:
    """List at most two commands to try next, the most useful first, with the reason for each."""
    rows = {row["engine"]: row for row in report["engines"]}
    if report["auto"]["engine"] is None:
        command = backends.install_command(_first_choice("cpu"))
        return [_step(command, "no engine runs here yet; docs: troubleshooting#engine-not-available")]
    return list(_offers(report, rows, machine))[:MOST]


def _offers(report: Mapping[str, Any], rows: Mapping[str, Any], machine: Machine) -> Iterator[Dict[str, str]]:
    yield from _for_nvidia(machine, rows)
    for row in report["faster"]:
        yield _step(row["install"], f"{row['engine']} would be about {row['times']:.1f} times as fast on this CPU")
    if machine.cameras:
        output = "--show" if machine.has_display else "--out camera.mp4"
        device = machine.cameras[0]
        yield _step(f"edgecsp run {device} {output}", f"the codes that the camera {device} sees")
    if not machine.models:
        yield _step("edgecsp demo", "the bundled model codes on a video that comes with the package, offline")
        yield _step("edgecsp models pull yolov4-tiny", "COCO's 80 classes; no model is pulled yet")
    for name in machine.models:
        if name not in machine.tuned:
            yield _step(f"edgecsp tune {name}", "finds its fastest engine and threads on this machine")
    yield _step("edgecsp serve", "a page and an API")


def _for_nvidia(machine: Machine, rows: Mapping[str, Any]) -> Iterator[Dict[str, str]]:
    if machine.jetson is None and not machine.has_nvidia:
        return
    engine = _first_choice("cuda")
    board = next((name for name in JETSON_BOARDS if machine.jetson and name in machine.jetson), None)
    recipe, image = JETSON_BOARDS[board] if board else ("x86-cuda", "")
    if rows[engine]["runs"]:
        yield _step(f"edgecsp build codes --recipe {recipe}", f"a TensorRT plan for this {machine.jetson or 'GPU'}")
    elif board:
        command = f"docker build -f docker/{image}.Dockerfile -t edgecsp:{image} ."
        yield _step(command, f"an image with TensorRT for this {machine.jetson}, in a checkout")
    else:
        command = backends.install_command(engine)
        yield _step(command, "an NVIDIA GPU is here and no engine uses it; docs: troubleshooting#cuda-not-seen")


def _first_choice(device: str) -> str:
    """Return the engine that "auto" would take on a device if all were installed."""
    offered = [backends.info(name) for name in backends.names(with_dummies=False)]
    able = [
        (each.auto_rank, each.name)
        for each in offered
        if each.auto_rank is not None and device in each.devices and (cpu.is_x86() or not each.auto_x86_only)
    ]
    return min(able)[1]


def _step(command: str, why: str) -> Dict[str, str]:
    return {"command": command, "why": why}
