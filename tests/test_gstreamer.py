"""Real GStreamer pipelines: every frame, true pixels, live or not, and every way in which they end.

Debian: gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import List

import numpy as np
import pytest

from edgecsp.errors import SourceError
from edgecsp.media import sources
from support import media

pytestmark = pytest.mark.skipif(
    not shutil.which("gst-launch-1.0"), reason="no gst-launch-1.0 here; Debian: see the top of this file"
)


def running() -> List[int]:
    """The gst-launch processes that are our children, by the system's own list."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and (folder / "cmdline").read_bytes().startswith(b"gst-launch-1.0"):
                found.append(int(folder.name))
    return found


# Rows of 322 * 3 bytes are padded by GStreamer, rows of 320 * 3 are not.
@pytest.mark.parametrize("width", [320, 322])
def test_every_frame_with_true_pixels(tmp_path: Path, width: int) -> None:
    """What the pipeline gives is what the same test picture is in a PNG of GStreamer's own."""
    drawn = (
        f"videotestsrc num-buffers=30 pattern=smpte ! video/x-raw,format=BGR,width={width},height=241,framerate=15/1"
    )
    subprocess.run(
        ["gst-launch-1.0", "-q", *drawn.replace("num-buffers=30", "num-buffers=1").split(), "!", "videoconvert", "!",
         "pngenc", "!", "filesink", f"location={tmp_path / 'true.png'}"], check=True, timeout=60
    )  # fmt: skip
    with sources.open(f"gst:{drawn}", timeout_s=60) as source:
        frames = list(source)
    assert (source.live, source.moving, dict(source.problems)) == (False, True, {})
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 15 for index in range(30)])
    assert {frame.image.shape for frame in frames} == {(241, width, 3)}
    assert frames[0].image.flags.c_contiguous
    true = next(iter(sources.open(str(tmp_path / "true.png")))).image
    # Below two thirds it is coloured bars; the rest is noise, of another seed in another run.
    assert np.array_equal(frames[0].image[:160], true[:160])
    assert len(np.unique(true[100].reshape(-1, 3), axis=0)) >= 7
    assert not running()


def test_a_file_loses_no_frame_to_a_slow_reader(tmp_path: Path) -> None:
    """A decoder in the pipeline, a stride, and a reader that sleeps; `appsink`, as OpenCV's pipelines end."""
    clip = media.video(tmp_path / "a clip.avi", 40, codec="mjpeg", options={"strict": "unofficial"})
    line = f"filesrc location='{clip}' ! avidemux ! jpegdec ! videoconvert ! appsink drop=true"
    seen = []
    with sources.open(f"gst:gst-launch-1.0 {line}", stride=3, timeout_s=60) as source:
        for frame in source:
            seen.append(frame)
            time.sleep(0.02)
    assert [frame.index for frame in seen] == list(range(0, 40, 3))
    plain = [frame.image for frame in sources.open(str(clip), stride=3)]
    # Two decoders differ in what they take black and white for, not in which picture it is.
    off = [[np.abs(frame.image.astype(int) - image).mean() for image in plain] for frame in seen]
    assert np.argmin(off, axis=1).tolist() == list(range(14))


def test_a_live_pipeline() -> None:
    with sources.open("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1") as source:
        frames = [frame for frame, _ in zip(source, range(10))]
    assert source.live
    assert frames[0].stream.kind == "live"
    assert frames[0].pts_s == 0
    assert 0.2 < frames[-1].pts_s < 5
    assert not running()


def test_closed_before_it_is_read_and_by_another_thread() -> None:
    sources.open("gst:videotestsrc ! video/x-raw,width=64,height=48").close()
    assert not running()
    with sources.open("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48") as source:
        threading.Timer(0.3, source.close).start()
        assert sum(1 for _ in source) > 0
    assert not running()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nosuchelement ! videoconvert", "no element nosuchelement"),
        ("filesrc location=missing.avi ! decodebin", 'Resource not found. No such file "missing.avi"'),
        ("audiotestsrc", "could not link"),
        ("videotestsrc ! fakesink", "could not link"),
    ],
)
def test_a_pipeline_that_cannot_run(line: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        sources.open(f"gst:{line}", timeout_s=60)
    assert words in str(caught.value)
    assert not running()


def test_a_pipeline_without_a_frame() -> None:
    with pytest.raises(SourceError, match="broke off after 0 frames"), sources.open(
        "gst:videotestsrc num-buffers=0", timeout_s=60
    ) as source:
        list(source)


def test_a_jetsons_camera_on_another_machine() -> None:
    with pytest.raises(SourceError, match=r"nvarguscamerasrc.*--runtime nvidia"):
        sources.open("csi://0", timeout_s=60)


def test_silence_ends_in_time() -> None:
    """A source that never gives a frame, and one that falls silent."""
    begun = time.monotonic()
    with pytest.raises(SourceError, match="no frame for 2 s"):
        sources.open("gst:udpsrc port=0 ! video/x-raw,format=BGR,width=64,height=48,framerate=30/1", timeout_s=2)
    assert time.monotonic() - begun < 12
    with sources.open("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48", timeout_s=2) as source:
        frames = iter(source)
        next(frames)
        os.kill(*running(), signal.SIGSTOP)
        with pytest.raises(SourceError, match=r"broke off after .* no frame for 2 s"):
            list(frames)
    assert not running()


def test_a_pipeline_that_dies() -> None:
    with sources.open("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48") as source:
        frames = iter(source)
        next(frames)
        os.kill(*running(), signal.SIGKILL)
        with pytest.raises(SourceError, match=r"broke off after .* the pipeline stopped"):
            list(frames)
