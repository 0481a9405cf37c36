"""A server in this process, and the plainest of clients."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from edgecsp import pipeline, serve
from edgecsp.serve.events import Bus
from edgecsp.serve.inference_pool import InferencePool
from edgecsp.serve.live import StreamState
from edgecsp.serve.metrics import Metrics
from edgecsp.types import Frame, Model, Stream


class Answer(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site(NamedTuple):
    """A running server."""

    server: serve.Server
    pool: InferencePool
    views: Sequence[StreamState]
    bus: Bus
    port: int

    def ask(
        self,
        path: str,
        body: Optional[bytes] = None,
        method: Optional[str] = None,
        headers: Optional[Dict[str, str]] = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes, timeout_s: float = 10.0) -> Tuple[socket.socket, bytes]:
        """Send bytes as they are; the socket, and what came within the time up to the end of a header."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout_s)
        connection.sendall(data)
        return connection, read_header(connection) if data.endswith(b"\r\n\r\n") else b""


def read_header(connection: socket.socket) -> bytes:
    header = b""
    while b"\r\n\r\n" not in header:
        piece = connection.recv(1 << 16)
        if not piece:
            break
        header += piece
    return header


@contextmanager
def served(
    model: Model,
    views: Sequence[StreamState] = (),
    *,
    engine: str = "ort",
    threads: int = 1,
    at_once: int = 1,
    queue: int = 64,
    hung_s: float = 10.0,
    open_detector: Optional[Callable[[], pipeline.Detector]] = None,
    **options: Any,
) -> Iterator[Site]:
    opened = open_detector or (lambda: pipeline.load(model, engine, threads=threads, concurrency=at_once))
    pool = InferencePool(opened, queue=queue, hung_s=hung_s)
    bus = Bus()
    listener = serve.bind("127.0.0.1", 0)
    facts = {"engine": engine, "device": "cpu", "precision": "fp32", "threads": threads}
    metrics = Metrics(pool, views, bus, facts={key: str(value) for key, value in facts.items()})
    server = serve.Server(pool, views, bus, metrics, listener=listener, facts=facts, **options)
    try:
        with server:
            yield Site(server, pool, views, bus, listener.getsockname()[1])
    finally:
        pool.close()


def encoded(image: np.ndarray, kind: str = ".png") -> bytes:
    done, data = cv2.imencode(kind, image)
    assert done
    return data.tobytes()


def multipart(**fields: Any) -> Tuple[bytes, Dict[str, str]]:
    """A form as requests and browsers send it: bytes are files."""
    parts: List[bytes] = []
    for name, value in fields.items():
        more = b'; filename="x.jpg"\r\nContent-Type: image/jpeg' if isinstance(value, bytes) else b""
        data = value if isinstance(value, bytes) else str(value).encode()
        parts.append(
            b'--b0unD\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), more, data)
        )
    return b"".join(parts) + b"--b0unD--\r\n", {"Content-Type": "multipart/form-data; boundary=b0unD"}


class Camera:
    """Publishes an image and what is in it to a view, so many times a second."""

    def __init__(
        self, view: StreamState, pool: InferencePool, draw: Callable[[int], np.ndarray], fps: float = 20.0
    ) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(view, pool, draw, fps), daemon=True)

    def _run(self, view: StreamState, pool: InferencePool, draw: Callable[[int], np.ndarray], fps: float) -> None:
        number = 0
        stream = Stream(view.name, "live", fps)
        while not self._stop.wait(1 / fps):
            begun = time.monotonic()
            frame = Frame(draw(number), stream, number, number / fps)
            view.publish(frame, pool.detect(frame.image, view.settings), (time.monotonic() - begun) * 1e3)
            number += 1

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
