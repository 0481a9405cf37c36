"""What needs no GStreamer: a Jetson's camera in words, what gst-launch says, secrets."""

from __future__ import annotations

import pytest

from edgecsp.errors import SourceError
from edgecsp.media import sources
from edgecsp.media.sources import _gst_launch, gstreamer


def test_a_jetsons_camera_as_a_pipeline() -> None:
    """NVIDIA's elements, the sensor, and a format that leaves the graphics memory."""
    words = " ".join(gstreamer.csi_words("csi://1?width=1920&height=1080&fps=60&flip=2"))
    assert words == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    )
    assert "sensor-id=0 ! video/x-raw(memory:NVMM),format=NV12,width=1280," in " ".join(gstreamer.csi_words("csi://0"))


@pytest.mark.parametrize(
    "uri", ["csi://", "csi://x", "csi://0?width=wide", "csi://0?depth=3", "csi://0?width=", "csi:0"]
)
def test_a_camera_that_cannot_be_meant(uri: str) -> None:
    with pytest.raises(SourceError, match=r"csi://0\?width=1280&height=720&fps=30&flip=0"):
        sources.open(uri)


SINK = "/GstPipeline:pipeline0/GstFdSink:edgecsp.GstPad:sink: caps = "
NOW = "video/x-raw, width=(int)322, height=(int)241, framerate=(fraction)30000/1001, format=(string)BGR"
OF_1_14 = r"\"video/x-raw\,\ width\=\(int\)322\,\ height\=\(int\)241\,\ framerate\=\(fraction\)30000/1001\""


@pytest.mark.parametrize("line", [SINK + NOW, SINK + OF_1_14], ids=["now", "1.14"])
def test_caps_of_two_ages(line: str) -> None:
    caps = _gst_launch.parse_caps(line)
    assert caps[:2] == (322, 241)
    assert caps.fps == pytest.approx(29.97, abs=0.001)
    assert (
        _gst_launch.parse_caps("caps = video/x-raw, width=(int)8, height=(int)6, framerate=(fraction)0/1").fps is None
    )


def test_an_error_is_told_in_a_line_and_without_a_login() -> None:
    said = [
        "Setting pipeline to PAUSED ...",
        "ERROR: from element /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0: Unauthorized",
        "Additional debug info:",
        "../gst/rtsp/gstrtspsrc.c(1): gst_rtspsrc_send (): /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0:",
        "Bad credentials for rtsp://watcher:hunter2@camera/main",
    ]
    assert _gst_launch.reason(said) == "rtspsrc0: Unauthorized Bad credentials for rtsp://camera/main"
    assert _gst_launch.reason(["Got EOS from element"]) is None


@pytest.mark.parametrize(
    ("word", "safe"),
    [
        ("location=rtsp://watcher:hunter2@camera/main", "location=rtsp://camera/main"),
        ("user-id=watcher", "user-id=***"),
        ("user-pw=hunter2", "user-pw=***"),
        ("sensor-id=0", "sensor-id=0"),
        ("video/x-raw,width=322", "video/x-raw,width=322"),
    ],
)
def test_secrets_of_a_pipeline(word: str, safe: str) -> None:
    assert _gst_launch.redact_word(word) == safe


@pytest.mark.parametrize(
    ("uri", "words"), [("gst:", "is empty"), ("gst: ! ", "is empty"), ("gst:a 'b", "unbalanced quotes")]
)
def test_a_pipeline_that_cannot_be_meant(uri: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        sources.open(uri)


def test_without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match=r"gst-launch-1\.0 is not installed.*apt-get install gstreamer1.0-tools"):
        sources.open("gst:videotestsrc")
