"""A function in a process of its own: its answer, its errors, and its death as a sentence."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import pytest

from edgecsp.errors import BuildFailed, IntegrityError, UsageError
from edgecsp.system import isolation, memory
from support.repository import REPO

CHILD = """
import logging, os, signal, sys, time
from edgecsp.errors import IntegrityError, UnknownName

LOG = logging.getLogger("edgecsp.childish")

def answers(request):
    print("not for stdout")
    LOG.debug("not wanted")
    LOG.info("first")
    LOG.warning("%s at rtsp://eve:hunter2@door/x", "second")
    return {"pid": os.getpid(), **request}

def raises(request):
    raise IntegrityError("not ours")

def unknown(request):
    raise UnknownName("engine", "otr", ["ort"])

def breaks(request):
    raise ZeroDivisionError("a bug")

def dies(request):
    LOG.info("alive")
    os.kill(os.getpid(), request["signal"])

def eats(request):
    taken = []
    while True:
        taken.append(bytearray(1 << 20))

def sleeps(request):
    open(request["file"], "w").write(str(os.getpid()))
    LOG.info("asleep")
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "childish.py").write_text(CHILD)
    monkeypatch.syspath_prepend(str(tmp_path))


def call(name: str, **request: object) -> dict:
    return isolation.call(f"childish:{name}", request, doing="building a plan", hint="Take less.")


def test_answer_and_log(capfd: pytest.CaptureFixture[str], log_lines: List[str]) -> None:
    said = isolation.call("childish:answers", {"name": "Ä"}, doing="")
    assert said["name"] == "Ä" and said["pid"] != os.getpid() and log_lines == ["first", "second at rtsp://door/x"]
    assert capfd.readouterr().out == ""  # stdout is data


def test_errors_come_as_they_are() -> None:
    with pytest.raises(IntegrityError, match=r"^not ours$"):
        call("raises")
    with pytest.raises(UsageError, match="Did you mean 'ort'"):
        call("unknown")


def test_a_bug_stays_a_bug(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended with code 1; its traceback is above"):
        call("breaks")
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err


def test_killed_by_the_kernel_is_a_sentence() -> None:
    with pytest.raises(BuildFailed) as caught:
        call("dies", signal=int(signal.SIGKILL))
    wanted = (
        r"building a plan was killed \(signal 9\), most likely by the kernel because memory ran out; now \d+ MB of "
    )
    assert re.match(wanted + r"memory and \d+ MB of swap are free\. Take less\.$", str(caught.value))
    assert caught.value.exit_code == 6


def test_when_the_kernel_counts_it_surely_was_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter((4, 5))
    monkeypatch.setattr(memory, "kernel_kills", lambda: next(counts))
    with pytest.raises(BuildFailed, match=r"was killed \(signal 9\), by the kernel, because memory ran out; now"):
        call("dies", signal=int(signal.SIGKILL))


def test_other_deaths() -> None:
    with pytest.raises(BuildFailed, match=r"building a plan crashed with SIGSEGV \(signal 11\)\. Take less\."):
        call("dies", signal=int(signal.SIGSEGV))


def test_ctrl_c_ends_the_child_too(tmp_path: Path) -> None:
    code = "from edgecsp.system import isolation; from edgecsp.cli import _signals; _signals.leave_on_signals()\n"
    code += f"isolation.call('childish:sleeps', {{'file': {str(tmp_path / 'pid')!r}}}, doing='')"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), str(tmp_path), *filter(None, sys.path)])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True, stderr=subprocess.PIPE)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None, parent.communicate()[1]
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to both
    _, said = parent.communicate(timeout=30)
    assert parent.returncode == 130 and b"Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
