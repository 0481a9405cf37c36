"""The image of the page in the documents: `edgecsp up` on the demo video, in Chromium.

    python -m benchmarks.page_image [--out FILE.jpg] [--seconds 40]      benchmarks/results/serve.jpg

The site has a line, a zone and an event store, so that the page shows counts and events. Needs Chromium (Debian:
chromium) and Pillow.
"""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import command_line

REPO = Path(__file__).resolve().parents[1]
OUT = REPO / "benchmarks" / "results" / "serve.jpg"
SITE = """
model = "codes"
listen = "127.0.0.1:{port}"

[events]
folder = "events"
before_s = 2
after_s = 2

[[streams]]
name = "table"
title = "A table of codes"
source = "codes.mp4"
editable = true

[[streams.lines]]
name = "middle"
points = [[0.5, 0.05], [0.5, 0.95]]
anchor = "center"

[[streams.zones]]
name = "left side"
points = [[0.05, 0.1], [0.45, 0.1], [0.45, 0.9], [0.05, 0.9]]
dwell_s = 2
cooldown_s = 5
"""


def capture(seconds: float, width: int, height: int) -> bytes:
    """Serve the demo video, open the page, wait; return the page as PNG."""
    sys.path.insert(0, str(REPO / "tests"))
    from support import chromium
    from support.ports import await_port, free_port

    if chromium.PROGRAM is None:
        raise SystemExit("no chromium here (Debian: chromium)")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        # A short name: the page shows where a stream comes from.
        (Path(folder) / "codes.mp4").symlink_to(REPO / "benchmarks" / "codes.mp4")
        (Path(folder) / "site.toml").write_text(SITE.format(port=port))
        words = [sys.executable, "-m", "edgecsp", "up", "site.toml", "--quiet"]
        server = subprocess.Popen(words, cwd=folder, env={**os.environ, "PYTHONPATH": str(REPO)})
        try:
            await_port(port, server)
            with chromium.opened(f"http://127.0.0.1:{port}/", Path(folder) / "profile", width) as page:
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                page.call("Emulation.setDeviceMetricsOverride", **size)
                time.sleep(seconds)
                return base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def main() -> None:
    """Parse, capture, write, say how large it is."""
    options = command_line.parser(
        __doc__, out=(str(OUT), "the file to write"), seconds=(40.0, "that the page is open"), width=1280, height=1100,
        quality=80,
    ).parse_args()  # fmt: skip
    from PIL import Image

    image = Image.open(io.BytesIO(capture(options.seconds, options.width, options.height))).convert("RGB")
    image.save(options.out, quality=options.quality, optimize=True)
    print(f"{options.out}: {image.width}x{image.height}, {Path(options.out).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
