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
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from edgecsp import backends
from edgecsp.system.isolation import die_with_parent

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


BOTH = ("darknet", "yolov8")


def peers(prefix: str, threads: Optional[int]) -> List[Peer]:
    """All of them, edgecsp first; `prefix` is what the environments' folders begin with.

    With `threads` all compute with so many and in fp32 but for rows that say otherwise; None leaves both to each.
    """
    every = _edgecsp(threads)
    opencv4 = os.environ.get("EDGECSP_OPENCV4_PYTHON") or str(REPO / ".venv-opencv4" / "bin" / "python")
    for name, python, script, kinds, file in (
        ("OpenCV 4 DetectionModel", opencv4, "with_opencv4.py", ("darknet",), "cfg"),
        ("OpenCV 5 dnn", _python(prefix, "opencv5"), "with_opencv5.py", ("darknet",), "onnx"),
        ("OpenVINO Model API", _python(prefix, "openvino"), "with_model_api.py", ("yolov8",), "onnx"),
        ("plain onnxruntime", _python(prefix, "onnxruntime"), "with_onnxruntime.py", BOTH, "onnx"),
        ("ncnn", _python(prefix, "ncnn"), "with_ncnn.py", ("darknet",), "param"),
        ("ultralytics", _python(prefix, "ultralytics"), "with_ultralytics.py", ("yolov8",), "onnx"),
        ("ultralytics openvino", _python(prefix, "ultralytics"), "with_ultralytics.py", ("yolov8",), "openvino"),
    ):
        every.append(_there(Peer(name, python, script, kinds, (("threads", threads), ("file", file)))))
    lacks = "" if DARKNET.is_file() else f"{DARKNET} is not there; on Debian: apt-get install darknet"
    library = (("library", str(DARKNET)), ("threads", 1))
    python = _python(prefix, "onnxruntime")
    every.append(_there(Peer("darknet, 1 thread", python, "with_darknet.py", ("darknet",), library, lacks)))
    return every


def _edgecsp(threads: Optional[int]) -> List[Peer]:
    """edgecsp on each engine; with its defaults, and those but for fp32, where threads are None."""
    rows: List[Tuple[str, Dict[str, Any], Tuple[str, ...]]]
    if threads is None:
        rows = [("edgecsp", {"engine": "auto"}, BOTH), ("edgecsp fp32", {"engine": "auto", "precision": "fp32"}, BOTH)]
    else:
        fp32 = {"precision": "fp32"}
        rows = [
            ("edgecsp openvino", {"engine": "openvino", **fp32}, BOTH),
            ("edgecsp openvino int8", {"engine": "openvino", "file": "int8"}, ("darknet",)),
            ("edgecsp ort", {"engine": "ort", **fp32}, BOTH),
            ("edgecsp opencv", {"engine": "opencv", **fp32}, BOTH),
            ("edgecsp ncnn", {"engine": "ncnn", **fp32}, ("darknet",)),
        ]
    every = []
    for name, words, kinds in rows:
        lacks = "" if words["engine"] == "auto" else backends.unavailable_reason(words["engine"]) or ""
        more = {"file": "onnx", "threads": threads, **words}
        every.append(Peer(name, sys.executable, "with_edgecsp.py", kinds, tuple(more.items()), lacks))
    return every


def _python(prefix: str, name: str) -> str:
    return str(Path(prefix + name).resolve() / "bin" / "python")


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
    """A child whose errors are kept in the file `errors`; edgecsp's own find the checkout. It ends with its parent."""
    env = {**os.environ, "PYTHONPATH": str(REPO)} if command[0] == sys.executable else {**os.environ, "PYTHONPATH": ""}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=tempfile.gettempdir(),
        env=env,
        preexec_fn=die_with_parent,  # a training would go on for hours beside the next measurement
    )


def end(child: subprocess.Popen[str]) -> None:
    """Kill a child and give back its pipes."""
    child.kill()
    child.communicate()


def seconds_each(ms: float, seconds: float) -> int:
    """Number of calls of a round: as long as requested, three at least."""
    return max(3, min(1000, round(seconds * 1e3 / ms)))
