"""Run a function in a child process, so that its crash becomes an error message.

    answer = isolated.call("edgecsp.backends._trt_build:serve", {"onnx": "..."}, doing="building a plan")

An engine's builder can take more memory than there is. The kernel then kills the process, without a word; when
that is a child, its parent can still say what happened.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from .. import errors
from ..errors import BuildFailed, EdgecspError, UnknownName, UsageError
from . import memory
from .redaction import RedactionFilter

PACKAGE = "edgecsp"  # the logger above all of ours
CHILD = "import sys; from edgecsp.system import isolation as isolated; isolated.serve(int(sys.argv[1]))"


def call(target: str, request: Mapping[str, Any], *, doing: str, hint: str = "") -> Dict[str, Any]:
    """Call `target`, "module:function", with `request` in a child process and return its answer, both JSON.

    `doing` begins the sentence about a child that died, `hint` ends it. The child's stderr is ours, and what it logs
    is logged here, by the loggers of the same names. Raises the `EdgecspError` that the function raised, or
    `BuildFailed`.
    """
    kills = memory.kernel_kills()
    child, reader = spawn(CHILD)
    with os.fdopen(reader, "rb") as answers:
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError), child.stdin:  # dead already: its code says how
                child.stdin.write(json.dumps({"target": target, "request": request, "level": log_level()}).encode())
            message = _listen(answers)
            code = child.wait()
        finally:  # also on Ctrl-C: nobody would wait for what it builds
            child.kill()
            child.wait()
    if message is None and code < 0:
        raise BuildFailed(describe_death(doing, -code, kills, hint), docs="out-of-memory" if code == -9 else "")
    if message is None:
        raise RuntimeError(f"{doing}: the process ended with code {code}; its traceback is above")
    if "error" in message:
        raise rebuild_error(*message["error"])
    answer: Dict[str, Any] = message["answer"]
    return answer


def spawn(code: str, stderr: Any = None) -> Tuple[subprocess.Popen[bytes], int]:
    """Start a child that runs Python code with a file to answer on as its argument: the child, and the file to read.

    It imports what this process would. Its stdout is dropped: libraries print there.
    """
    reader, writer = os.pipe()
    try:
        number, options = _pass_on(writer)
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            **options,
        )
    finally:
        os.close(writer)
    return child, reader


def _pass_on(file: int) -> Tuple[int, Dict[str, Any]]:
    """Let a child inherit an open file: what it opens it by, and options of Popen."""
    if sys.platform == "win32":
        import msvcrt

        handle = msvcrt.get_osfhandle(file)
        os.set_handle_inheritable(handle, True)
        return handle, {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})}
    else:  # noqa: RET505 - a type checker of another platform skips the branch
        return file, {"pass_fds": (file,)}


def open_answers(number: int, buffering: int = -1) -> BinaryIO:
    """In a child: open the file to answer on, which `spawn` gave as its argument."""
    if sys.platform == "win32":
        import msvcrt

        number = msvcrt.open_osfhandle(number, os.O_BINARY)
    return os.fdopen(number, "wb", buffering)


def is_readable(reader: int, timeout_s: float) -> bool:
    """Wait for bytes, or the end, of the file that `spawn` returned; False after `timeout_s`."""
    if sys.platform == "win32":
        import msvcrt

        end, count = time.monotonic() + timeout_s, ctypes.c_ulong()
        while True:  # there, select knows sockets only
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(reader))
            is_open = ctypes.windll.kernel32.PeekNamedPipe(handle, None, 0, None, ctypes.byref(count), None)
            if not is_open or count.value:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.002)
    else:
        return bool(select.select([reader], [], [], timeout_s)[0])


@contextmanager
def without_sigint() -> Iterator[None]:
    """Block Ctrl-C, here and in children that are started meanwhile, where signals can be blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(handle: int) -> None:
    """The child's side: read a request from stdin, write the log and one answer to the file `handle`, a line each."""
    leave_signals_to_parent()
    request = json.load(sys.stdin)
    module, name = request["target"].split(":")
    with open_answers(handle, buffering=0) as file:

        def send(kind: str, value: Any) -> None:
            file.write(json.dumps({kind: value}).encode() + b"\n")

        forward_log(lambda record: send("log", record), request["level"])
        try:
            function = getattr(importlib.import_module(module), name)
            send("answer", function(request["request"]))
        except EdgecspError as raised:
            send("error", [type(raised).__name__, str(raised)])


def log_level() -> int:
    """Return the level of what the package logs here."""
    return logging.getLogger(PACKAGE).getEffectiveLevel()


def forward_log(send: Callable[[List[Any]], None], level: int) -> None:
    """In a child: have what the package logs sent to the parent as name, level and text."""

    class Sent(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            send([record.name, record.levelno, "\n".join(filter(None, (record.getMessage(), record.exc_text)))])

    handler, logger = Sent(), logging.getLogger(PACKAGE)
    handler.addFilter(RedactionFilter())
    logger.handlers[:] = [handler]
    logger.setLevel(level)


def leave_signals_to_parent() -> None:
    """Leave Ctrl-C and a closed terminal to the parent, and die with it however it dies; for a child."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # the parent may have blocked it: `without_sigint`
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    die_with_parent()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends; on Linux."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "prctl"):
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _listen(answers: BinaryIO) -> Optional[Dict[str, Any]]:
    """Log the child's log records until its answer arrives; None when it ended without one."""
    for line in answers:
        if not line.endswith(b"\n"):
            return None
        message: Dict[str, Any] = json.loads(line)
        if "log" not in message:
            return message
        log_forwarded(message["log"])
    return None


def log_forwarded(record: Sequence[Any]) -> None:
    """Log what a child has sent with `forward_log`."""
    name, level, text = record
    logging.getLogger(name).log(level, "%s", text)


def rebuild_error(name: str, text: str) -> EdgecspError:
    """Rebuild the error that a child raised, from its class name and message."""
    kind = getattr(errors, name, EdgecspError)
    error: EdgecspError = (UsageError if kind is UnknownName else kind)(text)
    return error


def describe_death(doing: str, number: int, kills: Optional[int], hint: str = "") -> str:
    """Describe how a signal ended a process; `kills` is `memory.kernel_kills` from before it started."""
    if number != signal.SIGKILL:
        return f"{doing} crashed with {signal.Signals(number).name} (signal {number}). {hint}".rstrip()
    now = memory.kernel_kills()
    surely = kills is not None and now is not None and now > kills
    by = "by the kernel, because memory ran out" if surely else "most likely by the kernel because memory ran out"
    free = memory.free()
    left = f"; now {free}" if free else ""
    return f"{doing} was killed (signal 9), {by}{left}. {hint}".rstrip()
