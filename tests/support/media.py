"""Real images and videos, made on the fly and by other means than the code under test."""

from __future__ import annotations

import http.server
import struct
import threading
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

CLOCK = 90000


def scene(index: int, width: int = 160, height: int = 120) -> Any:
    """A frame that differs in its four quarters (so turns show) and from its neighbours in time."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (40, 40, 220)
    image[: height // 2, width // 2 :] = (40, 200, 40)
    image[height // 2 :, : width // 2] = (220, 60, 40)
    image[height // 2 :, width // 2 :] = (230, 230, 230)
    x = (index * 4) % max(width - 12, 1)
    image[height // 2 - 6 : height // 2 + 6, x : x + 12] = 0
    return image


def noise(seed: int, width: int = 160, height: int = 120) -> Any:
    """Noise, which takes bytes to encode."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_coarse(paths: Sequence[Path]) -> None:
    """Write images of coarse noise, 72x56, each another: what int8 is calibrated on where no content is needed."""
    import cv2

    rng = np.random.default_rng(0)
    for path in paths:
        image = cv2.resize(rng.integers(0, 256, (7, 9, 3), np.uint8), (72, 56), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), image)


def video(
    path: Path,
    count: int = 30,
    *,
    size: Sequence[int] = (160, 120),
    times: Optional[Sequence[float]] = None,
    draw: Callable[..., Any] = scene,
    codec: str = "libx264",
    options: Optional[Dict[str, str]] = None,
    title: str = "",
) -> Path:
    """A video of `count` frames at 30 fps, or at `times` seconds; the index of an mp4 is in front."""
    import av

    muxer = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=muxer) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=30, options=options or {"preset": "veryfast", "g": "10"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(draw(index, *size), format="bgr24").reformat(format="yuv420p")
            frame.pts = round((times[index] if times else index / 30) * CLOCK)
            frame.time_base = Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path, matrix: Sequence[int]) -> Path:
    """Set the display matrix (a, b, c, d) of an mp4, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def atoms(path: Path) -> List[str]:
    """The names of the outermost boxes of an mp4, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode("latin1"))
        at += size if size > 1 else int.from_bytes(data[at + 8 : at + 16], "big") if size else len(data)
    return names


def jpeg(image: Any, orientation: int = 1) -> bytes:
    """JPEG bytes that say by EXIF how they want to be turned."""
    import cv2

    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a reader that hangs up is what the tests are about


@contextmanager
def served(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[int]:
    """A web server on 127.0.0.1 whose GET is `answer`; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(request: http.server.BaseHTTPRequestHandler, body: bytes, kind: str = "application/octet-stream") -> None:
    """A whole answer."""
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
