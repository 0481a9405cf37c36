"""A pipeline's login is in no process's arguments or environment, and its frames are those of gst-launch."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from edgecsp.errors import SourceError
from edgecsp.media import sources
from edgecsp.media.sources import _gst_launch
from support.ports import free_port

pytestmark = pytest.mark.skipif(
    not shutil.which("gst-launch-1.0"), reason="no gst-launch-1.0 here; Debian: see tests/test_gstreamer.py"
)
SECRET = "hunter2opensesame"
# videotestsrc has no login: the name of an element is a word with a secret as any other.
HIDDEN = f"videotestsrc name=password={SECRET}"
SIZE = "video/x-raw,format=BGR,width=322,height=240,framerate=15/1"


def children() -> List[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(folder.name))
    return found


def seen(secret: str) -> List[str]:
    """Every file of a process of ours, from which others read what it was started with, that has the secret in it."""
    found = []
    for pid in children():
        for name in ("cmdline", "environ", "comm"):
            with suppress(OSError):
                if secret.encode() in (Path("/proc") / str(pid) / name).read_bytes():
                    found.append(f"{pid}/{name}")
    return found


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Any:
    before = set(children())
    yield
    assert set(children()) <= before


def test_a_login_is_in_no_list_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at from before the process is started until its end."""
    looked: List[str] = []
    real = _gst_launch.subprocess.Popen

    def popen(command: Any, **options: Any) -> Any:
        made = real(command, **options)
        looked.append(" ".join(command))
        looked.extend(seen(SECRET))
        return made

    monkeypatch.setattr(_gst_launch.subprocess, "Popen", popen)
    with sources.open(f"gst:{HIDDEN} is-live=true ! {SIZE}", timeout_s=30) as source:
        frames = iter(source)
        next(frames)
        assert len(children()) >= 1
        assert seen(SECRET) == []
        assert SECRET not in source.name
        frames.close()  # type: ignore[attr-defined]
    assert looked
    assert not any(SECRET in word for word in looked)


def test_frames_are_the_same() -> None:
    plain, hidden = "videotestsrc pattern=smpte", f"{HIDDEN} pattern=smpte"
    read = []
    for line in (plain, hidden):
        with sources.open(f"gst:{line} num-buffers=9 ! {SIZE}", timeout_s=30) as source:
            read.append([(frame.index, frame.pts_s, frame.image) for frame in source])
            assert (source.live, dict(source.problems)) == (False, {})
    assert len(read[0]) == len(read[1]) == 9
    for one, other in zip(*read):
        assert one[:2] == other[:2]
        assert np.array_equal(one[2][:150], other[2][:150]), "below it the test picture is noise"


def test_a_live_pipeline_and_one_that_is_closed() -> None:
    with sources.open(f"gst:{HIDDEN} is-live=true ! {SIZE}", timeout_s=30) as source:
        assert source.live
        frames = iter(source)
        assert [next(frames).index for _ in range(5)] == list(range(5))
        frames.close()  # type: ignore[attr-defined]
    begun = time.monotonic()
    sources.open(f"gst:{HIDDEN} is-live=true ! {SIZE}", timeout_s=30).close()
    assert time.monotonic() - begun < 20


def test_one_that_dies_is_told() -> None:
    before = set(children())
    with sources.open(f"gst:{HIDDEN} is-live=true ! {SIZE}", timeout_s=30) as source:
        frames = iter(source)
        next(frames)
        (process,) = set(children()) - before
        os.kill(process, signal.SIGKILL)
        with pytest.raises(SourceError, match="the pipeline stopped"):
            list(frames)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"nosuchelement user-pw={SECRET}", "no element nosuchelement"),
        (f"filesrc name=password={SECRET} location=missing.avi ! decodebin", 'No such file "missing.avi"'),
        (f"audiotestsrc name=password={SECRET}", "could not link"),
    ],
)  # fmt: skip
def test_errors_are_told_without_it(line: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        sources.open(f"gst:{line}", timeout_s=30)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.skipif(not shutil.which("gst-inspect-1.0") or os.system("gst-inspect-1.0 rtspsrc >/dev/null 2>&1") != 0,
                    reason="no rtspsrc here")  # fmt: skip
def test_a_cameras_login() -> None:
    line = f"rtspsrc location=rtsp://eve:{SECRET}@127.0.0.1:{free_port()}/live ! decodebin"
    with pytest.raises(SourceError) as caught:
        sources.open(f"gst:{line}", timeout_s=10)
    assert SECRET not in str(caught.value)
    assert "connect" in str(caught.value).lower()
