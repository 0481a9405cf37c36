"""Run gst-launch-1.0: a pipeline in a child process, its frames and its log."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Deque, List, NamedTuple, Optional

import numpy as np

from ...errors import SourceError
from ...system.redaction import SECRET_NAME, redact
from ...types import Array

PROGRAM = "gst-launch-1.0"
CHILD = Path(__file__).with_name("_gst_child.py")  # for pipelines that contain a secret
F_SETPIPE_SZ = 1031  # in fcntl from Python 3.10 on
GRACE_S = 3.0

_SECRET = re.compile(rf"({SECRET_NAME}=).+", re.IGNORECASE)
_CAPS = re.compile(r"edgecsp\.GstPad:sink: caps = ")


class Caps(NamedTuple):
    """Size and rate of a pipeline's frames; fps is None for a variable rate."""

    width: int
    height: int
    fps: Optional[float]


class Silent(Exception):
    """No frame came in time; the text is for people."""


class Launched:
    """A running pipeline: its frames come through one pipe, the log of gst-launch through another.

    `live` and `caps` are known after `wait_for_caps`. Raises `SourceError` when it cannot be started.
    """

    def __init__(self, words: List[str]) -> None:
        ours, theirs = os.pipe()
        sink = ["!", "videoconvert", "!", "video/x-raw,format=BGR", "!", "fdsink", "name=edgecsp", f"fd={theirs}"]
        try:
            with suppress(OSError):  # 1 MiB instead of 64 KiB: fewer reads per frame
                import fcntl

                fcntl.fcntl(ours, F_SETPIPE_SZ, 1 << 20)
            # Process arguments are readable by every user, so secrets go through a pipe.
            secret = any(redact_word(word) != word for word in words)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), str(theirs)] if secret else [PROGRAM, "-v", *words, *sink],
                stdin=subprocess.PIPE if secret else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(theirs,),
                env={**os.environ, "LC_ALL": "C", "LANGUAGE": ""},
                start_new_session=True,  # Ctrl-C is handled here: the frame is finished first
                restore_signals=False,  # a closed pipe is an error, not a signal
            )  # fmt: skip
        except OSError as error:
            os.close(ours)
            why = "is not installed" if isinstance(error, FileNotFoundError) else f"does not start ({error.strerror})"
            raise SourceError(
                f"{PROGRAM} {why}, but GStreamer pipelines need it; on Debian and Ubuntu: "
                "apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
            ) from error
        finally:
            os.close(theirs)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as stdin:  # if it died, its log says why
                stdin.write(json.dumps(words).encode())
        assert self._process.stdout is not None
        self._frames, self._log = ours, self._process.stdout.fileno()
        self._lines: Deque[str] = deque(maxlen=200)
        self._rest = b""
        self._changed = False
        self.live = False
        self.caps = Caps(0, 0, None)

    def wait_for_caps(self, timeout_s: float) -> None:
        """Read the log until the size of the frames is known; raises `Silent`."""
        until = time.monotonic() + timeout_s
        while not self.caps.width:
            left = until - time.monotonic()
            if left <= 0:
                raise Silent(f"no frame for {timeout_s:g} s")
            if select.select([self._log], [], [], left)[0] and not self._listen():
                raise Silent("the pipeline ended before its first frame")

    def read(self, timeout_s: float) -> Optional[Array]:
        """Read the next frame, (H, W, 3) uint8 BGR; None at the end. Raises `Silent`."""
        width, height, _ = self.caps
        row = (width * 3 + 3) // 4 * 4  # GStreamer's rows begin at multiples of four bytes
        image = np.empty((height, row), np.uint8)
        if not self._fill(image.data.cast("B"), timeout_s):
            return None
        if self._changed:
            raise Silent(
                f"the frame size changed from {width} x {height}; end the pipeline with: "
                f"videoscale ! video/x-raw,width={width},height={height}"
            )
        return image.reshape(height, width, 3) if row == width * 3 else _pack(image, width)

    def _fill(self, view: memoryview, timeout_s: float) -> bool:
        """Fill a buffer from the pipe; False when the pipe ends first."""
        until, log_open, got = time.monotonic() + timeout_s, True, 0
        while got < len(view):
            watched = [self._frames, self._log] if log_open else [self._frames]
            ready = select.select(watched, [], [], max(until - time.monotonic(), 0))[0]
            if not ready:
                raise Silent(f"no frame for {timeout_s:g} s")
            if self._log in ready:
                log_open = self._listen()
            if self._frames in ready:
                count = os.readv(self._frames, [view[got:]])
                if not count:
                    return False
                got += count
        return True

    def _listen(self) -> bool:
        """Read available log lines; False at the end of the log."""
        data = os.read(self._log, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines if data else [self._rest]:
            self._understand(line.decode("utf-8", "replace").strip())
        return bool(data)

    def _understand(self, line: str) -> None:
        self._lines.append(line)
        self.live = self.live or line.startswith("Pipeline is live")
        if _CAPS.search(line):
            caps = parse_caps(line)
            self._changed = self._changed or (self.caps.width > 0 and caps[:2] != self.caps[:2])
            self.caps = self.caps if self.caps.width else caps

    def has_ended(self) -> bool:
        """Whether the pipeline ended regularly; call after the last frame."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self._drain()
        return any(line.startswith("Got EOS") for line in self._lines) and self.reason() is None

    def reason(self) -> Optional[str]:
        """First error in the log, None without errors."""
        return reason(list(self._lines))

    def _drain(self) -> None:
        while select.select([self._log], [], [], 0)[0] and self._listen():
            pass

    def stop(self) -> None:
        """Stop the pipeline, with SIGINT first so that cameras are released. A second call does nothing."""
        if self._process.stdout is None or self._process.stdout.closed:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._drain()  # the rest of the log
        self._process.stdout.close()
        os.close(self._frames)


def _pack(rows: Array, width: int) -> Array:
    return np.ascontiguousarray(rows[:, : width * 3]).reshape(len(rows), width, 3)


def parse_caps(line: str) -> Caps:
    """Parse the caps printed by `gst-launch-1.0 -v`; GStreamer 1.14 adds backslashes and quotes."""
    plain = re.sub(r'[\\"]', "", line)
    values = dict(re.findall(r"(width|height|framerate)=\s*\((?:int|fraction)\)\s*([\d/]+)", plain))
    over, _, under = values.get("framerate", "0/1").partition("/")
    fps = int(over) / int(under or 1) if int(over) else None
    return Caps(int(values.get("width", 0)), int(values.get("height", 0)), fps)


def reason(lines: List[str]) -> Optional[str]:
    """Find the first error in gst-launch's log, as one line without secrets; None without errors."""
    for index, line in enumerate(lines):
        element = re.search(r'no element "([^"]+)"', line)
        if element:
            return (
                f"GStreamer has no element {element[1]} here (gst-inspect-1.0 {element[1]}); is its package installed?"
            )
        match = re.match(r"(?:ERROR: (?:pipeline could not be constructed: )?|WARNING: erroneous pipeline: )(.*)", line)
        if match:
            text = re.sub(r"^from element \S*/\w+:(\S+): ", r"\1: ", match[1])
            more = lines[index + 3 : index + 4] if lines[index + 1 : index + 2] == ["Additional debug info:"] else []
            return " ".join(map(redact_word, " ".join([text, *more]).split()))
    return None


def redact_word(word: str) -> str:
    """Redact secrets in a word of a pipeline."""
    return _SECRET.sub(r"\1***", redact(word))
