"""The mp4 of `--out` in a real browser: it plays, seeks, is as long as it was, and its colours are right.

Debian: chromium
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from edgecsp.media import sinks
from edgecsp.types import Detections, Frame, Stream
from support import media

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")

PAGE = b"""<!doctype html><video muted playsinline src="/clip.mp4"></video><canvas></canvas><script>
const video = document.querySelector("video"), canvas = document.querySelector("canvas"), told = {};
const tell = () => fetch("/told?" + encodeURIComponent(JSON.stringify(told)));
const once = name => new Promise(done => video.addEventListener(name, done, {once: true}));
video.onerror = () => { told.error = video.error.message || "code " + video.error.code; tell(); };
(async () => {
  await once("loadeddata");
  Object.assign(told, {duration: video.duration, width: video.videoWidth, height: video.videoHeight});
  const ended = once("ended");
  await video.play();
  await ended;
  told.played = video.currentTime;
  const seeked = once("seeked");
  video.currentTime = 0.5;
  await seeked;
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const paint = canvas.getContext("2d");
  paint.drawImage(video, 0, 0);
  told.colours = [[40, 20], [120, 20], [40, 100], [120, 100]].map(
    ([x, y]) => [...paint.getImageData(x, y, 1, 1).data].slice(0, 3));
  tell();
})();
</script>"""


def test_chromium_plays_what_we_write(tmp_path: Path) -> None:
    stream = Stream("clip.mov", "video", 30.0, 30)
    with sinks.AnnotatedSink(tmp_path) as sink:
        for index in range(30):
            sink.write(Frame(media.scene(index, 161, 120), stream, index, index / 30), Detections.empty())
    film = sink.paths[0].read_bytes()
    told: queue.Queue = queue.Queue()

    def answer(request: Any) -> None:
        if request.path == "/":
            media.send(request, PAGE, "text/html")
        elif request.path == "/clip.mp4":
            _send_range(request, film)
        elif request.path.startswith("/told?"):
            told.put(json.loads(unquote(request.path.partition("?")[2])))
            media.send(request, b"")
        else:
            request.send_error(404)

    with media.served(answer) as port:
        command = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={tmp_path / 'profile'}",
            "--remote-debugging-port=0", f"http://127.0.0.1:{port}/",
        ]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, start_new_session=True, **quiet) as browser:
            try:
                seen = told.get(timeout=60)
            except queue.Empty:
                pytest.fail("chromium told nothing within 60 s")
            finally:
                os.killpg(browser.pid, signal.SIGKILL)  # its helpers too, before tmp_path is cleared
    assert "error" not in seen, seen
    assert (seen["width"], seen["height"]) == (162, 120)
    assert seen["duration"] == pytest.approx(1.0, abs=0.01)
    assert seen["played"] == pytest.approx(1.0, abs=0.05)
    expected = [(220, 40, 40), (40, 200, 40), (40, 60, 220), (230, 230, 230)]
    assert np.abs(np.array(seen["colours"]) - expected).max() <= 14, (
        "RGB of the four quarters; the wrong matrix is 23 off"
    )


def _send_range(request: Any, data: bytes) -> None:
    """Browsers seek by byte ranges."""
    first, _, last = (request.headers.get("Range") or "bytes=0-").partition("=")[2].partition("-")
    begin, end = int(first or 0), int(last or len(data) - 1)
    request.send_response(206)
    for name, value in {
        "Content-Type": "video/mp4", "Accept-Ranges": "bytes", "Content-Length": str(end - begin + 1),
        "Content-Range": f"bytes {begin}-{end}/{len(data)}",
    }.items():  # fmt: skip
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data[begin : end + 1])
