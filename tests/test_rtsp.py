"""A real RTSP server: a camera's stream is read, its login stays secret, its end is told.

Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
gstreamer1.0-plugins-ugly
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import av
import numpy as np
import pytest

from edgecsp.errors import SourceError
from edgecsp.media import sinks, sources
from edgecsp.media.sources.packets import RecentPackets
from edgecsp.types import Detections
from support.repository import TESTS

SERVER = TESTS / "support" / "rtsp_server.py"
USER, PASSWORD = "watcher", "hunter2"


@pytest.fixture
def server() -> Iterator[Tuple[subprocess.Popen, str]]:
    """The server's process and the URL of its stream, login included."""
    python = "/usr/bin/python3"
    if not os.path.exists(python):
        pytest.skip(f"no {python} to run the RTSP server")
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "G_DEBUG": ""}
    process = subprocess.Popen(
        [python, str(SERVER), USER, PASSWORD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    try:
        port = process.stdout.readline().strip()
        if not port:
            reason = (process.stderr.read().strip().splitlines() or ["it ended"])[-1]
            pytest.skip(f"no RTSP server here ({reason}); Debian: see the top of this file")
        yield process, f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{port}/live"
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(error)


def test_a_camera_is_read_and_recorded(server: Any, tmp_path: Path) -> None:
    _, url = server
    frames: List[Any] = []
    packets = RecentPackets(10.0)
    with sources.open(url) as source, sinks.open(out=tmp_path, json=tmp_path / "x.jsonl") as sink:
        assert (source.live, source.frames) == (True, None)
        assert source.name == url.replace(f"{USER}:{PASSWORD}@", "")
        begun = time.monotonic()
        source.on_packet = packets.add
        for frame in source:
            sink.write(frame, Detections.empty())
            frames.append(frame)
            if len(frames) == 40:
                break
        took = time.monotonic() - begun
    assert took < 5, "40 frames at 30 a second"
    assert {f.hw for f in frames} == {(240, 320)}
    assert {f.stream.kind for f in frames} == {"live"}
    # A clip of its packets, whose parameters are not as those of an mp4.
    seconds = packets.write(tmp_path / "clip.mp4", frames[10].pts_s, frames[30].pts_s)
    with sources.open(str(tmp_path / "clip.mp4")) as clip:
        assert len(list(clip)) == pytest.approx(30 * seconds, abs=1) and not clip.problems
    steps = np.diff([f.pts_s for f in frames])
    assert np.median(steps) == pytest.approx(1 / 30, abs=0.005)
    assert any((a.image != b.image).any() for a, b in zip(frames, frames[1:])), "the ball moves"
    assert dict(source.problems) == {}
    everything = repr(source) + str(frames[0].stream) + (tmp_path / "x.jsonl").read_text() + str(sink.paths)
    assert PASSWORD not in everything
    assert USER not in everything
    with av.open(str(sink.paths[0])) as container:
        assert container.duration / 1e6 == pytest.approx(frames[-1].pts_s - frames[0].pts_s + 1 / 30, abs=0.1)


def test_a_wrong_login_and_a_wrong_path(server: Any) -> None:
    _, url = server
    for wrong, words in ((url.replace(PASSWORD, "swordfish"), "401"), (url.replace("/live", "/dead"), "404")):
        with pytest.raises(SourceError, match=words) as caught:
            sources.open(wrong)
        assert not any(secret in told(caught.value) for secret in (USER, PASSWORD, "swordfish"))


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSTOP])
def test_a_camera_that_dies_is_an_error_in_time(server: Any, death: signal.Signals) -> None:
    """Killed, the connection breaks; stopped (a cable pulled), nothing is ever heard again."""
    process, url = server
    seen = 0
    with sources.open(url, timeout_s=3.0) as source:
        begun = 0.0
        with pytest.raises(SourceError, match=r"failed after \d+ frames: ") as caught:
            for _ in source:
                seen += 1
                if seen == 30:
                    process.send_signal(death)
                    begun = time.monotonic()
        assert time.monotonic() - begun < 5
    assert seen >= 30
    assert PASSWORD not in told(caught.value)
    if death == signal.SIGSTOP:
        assert "no response for 3 s" in str(caught.value)
