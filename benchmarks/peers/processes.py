"""The peers' processes: which there are, what each is started with, and how it is asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from edgecsp import backends

from .subjects import CONF, IOU, REPO, Subject

HERE = Path(__file__).resolve().parent
DARKNET = Path("/usr/lib/darknet/libdarknet.so")


@dataclass(frozen=True)
class Peer:
    """A way from an image to its boxes. `lacks` says why it cannot run here; "" when it can."""

    name: str
    python: str
    script: str
    kinds: Tuple[str, ...]
    more: Tuple[Tuple[str, Any], ...] = ()
    lacks: str = ""


def peers(prefix: str, threads: int) -> List[Peer]:
    """All of them, edgecsp's engines first. `prefix` is what the environments' folders begin with."""
    both, theirs = ("darknet", "yolov8"), os.environ.get("EDGECSP_OPENCV4_PYTHON")
    every = []
    for name, engine, kinds, file in (
        ("openvino", "openvino", both, "onnx"),
        ("openvino int8", "openvino", ("darknet",), "int8"),
        ("ort", "ort", both, "onnx"),
        ("opencv", "opencv", both, "onnx"),
    ):
        lacks = backends.unavailable_reason(engine) or ""
        own = (("engine", engine), ("threads", threads), ("file", file))
        every.append(Peer(f"edgecsp {name}", sys.executable, "with_edgecsp.py", kinds, own, lacks))
    opencv4 = theirs or str(REPO / ".venv-opencv4" / "bin" / "python")
    more: Tuple[Tuple[str, Any], ...] = (("threads", threads),)
    every.append(_there(Peer("OpenCV DetectionModel", opencv4, "with_opencv4.py", ("darknet",), more)))
    for name, folder, kinds in (
        ("OpenVINO Model API", "openvino", ("yolov8",)),
        ("plain onnxruntime", "onnxruntime", both),
        ("ultralytics", "ultralytics", ("yolov8",)),
    ):
        python = str(Path(prefix + folder).resolve() / "bin" / "python")
        script = {"openvino": "with_model_api.py"}.get(folder, f"with_{folder}.py")
        every.append(_there(Peer(name, python, script, kinds, more)))
    lacks = "" if DARKNET.is_file() else f"{DARKNET} is not there; on Debian: apt-get install darknet"
    library = (("library", str(DARKNET)), ("threads", 1))
    python = str(Path(prefix + "onnxruntime").resolve() / "bin" / "python")
    every.append(_there(Peer("darknet, 1 thread", python, "with_darknet.py", ("darknet",), library, lacks)))
    return every


def _there(peer: Peer) -> Peer:
    if peer.lacks or Path(peer.python).is_file():
        return peer
    lacks = f"{peer.python} is not there; make bench-peers makes it, --venvs PREFIX names another"
    return Peer(peer.name, peer.python, peer.script, peer.kinds, peer.more, lacks)


class Process:
    """A peer that is running, or the reason why it is not."""

    def __init__(self, peer: Peer, subject: Subject) -> None:
        self.peer, self.subject, self.reason, self.version = peer, subject, peer.lacks, ""
        self.boxes: List[List[Any]] = []
        file = dict(peer.more).get("file", "onnx")
        if file not in subject.request["files"]:
            self.reason = self.reason or f"there is no {file} file of {subject.name}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        if self.reason:
            return
        request = {**subject.request, **dict(peer.more), "conf": CONF, "iou": IOU}
        self._child = start([peer.python, str(HERE / peer.script), json.dumps(request)], self._errors)
        ready = self._answer()
        self.version, self.boxes = ready.get("version", ""), ready.get("boxes", [])

    def round(self, calls: int) -> Dict[str, Any]:
        """Time so many calls."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{calls}\n")
        self._child.stdin.flush()
        answer = self._answer()
        if not answer:
            raise SystemExit(f"{self.peer.name}: {self.reason}")
        return answer

    def close(self) -> None:
        """End it."""
        if hasattr(self, "_child"):
            end(self._child)
        self._errors.close()

    def _answer(self) -> Dict[str, Any]:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                answer: Dict[str, Any] = json.loads(line)
                return answer
        code = self._child.wait()
        self._errors.seek(0)
        last = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        self.reason = f"ended with code {code}: {''.join(last) or 'it answer nothing'}"
        return {}


@contextlib.contextmanager
def opened(able: Sequence[Peer], subject: Subject) -> Iterator[List[Process]]:
    """All peers with one model or the one in its place, open at once."""
    running: List[Process] = []
    try:
        for peer in able:
            model = subject.read_by(peer.kinds)
            if model is not None:
                running.append(Process(peer, model))
        yield running
    finally:
        for process in running:
            process.close()


def start(command: Sequence[str], errors: Any) -> subprocess.Popen[str]:
    """A child whose errors are kept in the file `said`; edgecsp's own find the checkout."""
    env = {**os.environ, "PYTHONPATH": str(REPO)} if command[0] == sys.executable else {**os.environ, "PYTHONPATH": ""}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=tempfile.gettempdir(),
        env=env,
    )


def end(child: subprocess.Popen[str]) -> None:
    """Kill a child and give back its pipes."""
    child.kill()
    child.communicate()


def seconds_each(ms: float, seconds: float) -> int:
    """Number of calls of a round: as long as requested, three at least."""
    return max(3, min(1000, round(seconds * 1e3 / ms)))
