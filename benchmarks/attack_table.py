"""The attacks of `benchmarks.attacks`: a function each, one round of it. Bounded in count and time, loopback alone.

A function takes a `Target`; `@attack` puts it in the table. Those that hold connections return when the time is over.
"""

from __future__ import annotations

import contextlib
import functools
import resource
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from typing import Callable, Dict, List, NamedTuple, Sequence
from typing import Counter as CounterOf

import cv2
import numpy as np

HOST = "127.0.0.1"
DETECT, VISION, INFER = "/v1/detect", "/v1/vision/detection", "/v2/models/codes/infer"
FORM, JPEG, JSON = "multipart/form-data; boundary=x", "image/jpeg", "application/json"
MOST_ROUNDS = 2000  # of an attack, whatever its time
MB = 1_000_000


class Target:
    """A server to attack until `end` (monotonic), and the status of each answer: 0 where there was none."""

    def __init__(self, port: int, token: str, seconds: float) -> None:
        self.port, self.token, self.end = port, token, time.monotonic() + seconds
        self.statuses: CounterOf[int] = Counter()
        self._lock = threading.Lock()

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.end - time.monotonic())

    def connect(self) -> socket.socket:
        """A connection, for as long as the attack lasts."""
        return socket.create_connection((HOST, self.port), max(0.1, self.left_s))

    def head(self, method: str, path: str, more: Sequence[str] = (), key: bool = False) -> bytes:
        """A request's header."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *more]
        lines += [f"Authorization: Bearer {self.token}"] if key else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def ask(
        self,
        path: str,
        body: bytes = b"",
        kind: str = "",
        *,
        more: Sequence[str] = (),
        key: bool = False,
        put: bool = False,
    ) -> None:
        """A whole request, on a connection of its own; its status is counted."""
        method = "PUT" if put else "POST" if body else "GET"
        fields = [*more, "Connection: close"]
        fields += [f"Content-Length: {len(body)}"] if body else []
        fields += [f"Content-Type: {kind}"] if kind else []
        answer = b""
        with contextlib.suppress(OSError), contextlib.closing(self.connect()) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(self.head(method, path, fields, key))
                connection.sendall(body)
            answer = connection.recv(1 << 16)
        self.count(answer)

    def count(self, answer: bytes) -> None:
        """Count an answer by its status."""
        words = answer.split(b" ", 2)
        with self._lock:
            self.statuses[int(words[1]) if len(words) > 1 and words[1].isdigit() else 0] += 1

    def hold(self, sent: bytes, count: int, begin: float = 0.5) -> None:
        """Open so many connections, evenly over a part of the time, send the same on each, and hold them to the end."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 100)), hard))
        connections: List[socket.socket] = []
        began, span = time.monotonic(), self.left_s * begin
        with contextlib.suppress(OSError):
            while len(connections) < count and self.left_s:
                time.sleep(max(0.0, began + span * len(connections) / count - time.monotonic()))
                connections.append(self.connect())
                with contextlib.suppress(ConnectionError):
                    connections[-1].sendall(sent)
        time.sleep(self.left_s)
        for each in connections:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self.count(each.recv(1 << 16))
            each.close()


class Attack(NamedTuple):
    """One row: what one round does, and how many go at the same time."""

    run: Callable[[Target], None]
    workers: int
    rounds: int


ATTACKS: Dict[str, Attack] = {}


def attack(name: str, workers: int = 1, rounds: int = MOST_ROUNDS) -> Callable[[Callable[[Target], None]], None]:
    """Put a function in the table."""

    def add(function: Callable[[Target], None]) -> None:
        ATTACKS[name] = Attack(function, workers, rounds)

    return add


def launch(name: str, to: Target) -> None:
    """Attack until the time is over."""
    row = ATTACKS[name]

    def work() -> None:
        for _ in range(row.rounds):
            if not to.left_s:
                return
            row.run(to)

    threads = [threading.Thread(target=work) for _ in range(row.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- A1: forms, without a key --------------------------------------------------------------------------------------


def form(*parts: bytes) -> bytes:
    """A form of parts: each a header, an empty line and a value."""
    return b"".join(b"--x\r\n%b\r\n" % part for part in parts) + b"--x--\r\n"


def part(name: str, value: bytes) -> bytes:
    """A part of a form."""
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value)


@attack("form-part-header", workers=2)
def _part_header(to: Target) -> None:
    to.ask(VISION, form(b'Content-Disposition: form-data; name="' + b";" * 100_000 + b"\r\n\r\n1"), FORM)


@attack("form-content-type", workers=2)
def _content_type(to: Target) -> None:
    to.ask(VISION, b"--x--\r\n", 'multipart/form-data; a="' + ";" * 60_000)


@attack("form-many-parts", workers=2)
def _many_parts(to: Target) -> None:
    to.ask(VISION, form(*[b"a: b\r\n\r\n1"] * 30_000), FORM)


@attack("form-image-first", workers=8)
def _image_first(to: Target) -> None:
    to.ask(VISION, _form_of(_large), FORM)


@functools.lru_cache(maxsize=None)
def _form_of(make: Callable[[], bytes]) -> bytes:
    """A form with an image, made once: its making is no attack."""
    return form(part("image", make()))


def _large() -> bytes:
    return bytes(30 * MB)


# -- A2: cookies and the login -------------------------------------------------------------------------------------


@attack("cookie-octal", workers=2)
def _cookie(to: Target) -> None:
    to.ask("/api/state", more=['Cookie: edgecsp="' + "\\0" * 30_000 + '"'])


@attack("login-pairs", workers=2)
def _login(to: Target) -> None:
    to.ask("/login", b"a=b&" * (8 * MB), "application/x-www-form-urlencoded")


@attack("login-query", workers=2)
def _query(to: Target) -> None:
    to.ask("/?token=x" + "&a=b" * 15_000)


# -- A3: what is held without a key --------------------------------------------------------------------------------


@attack("uploads", workers=8)
def _uploads(to: Target) -> None:
    """Nearly all of 32 MiB, and nothing more."""
    size = 32 << 20
    fields = [f"Content-Type: {FORM}", f"Content-Length: {size}"]
    with contextlib.suppress(OSError), contextlib.closing(to.connect()) as connection:
        connection.sendall(to.head("POST", VISION, fields) + b"--x\r\n" + part("image", b""))
        connection.sendall(_zeros(size - 200))
        to.count(connection.recv(1 << 16))
        return
    to.count(b"")


@attack("one-byte-bodies", rounds=1)
def _one_byte(to: Target) -> None:
    to.hold(to.head("POST", VISION, [f"Content-Type: {FORM}", "Content-Length: 1000"]) + b"-", 4100)


@attack("slow-headers", rounds=1)
def _slow_headers(to: Target) -> None:
    to.hold(b"GET / HTTP/1.1\r\nHost: local", 4100)


@attack("unread-answers", rounds=1)
def _unread(to: Target) -> None:
    to.hold(to.head("GET", "/page/page.js") * 16, 1000)


@attack("viewers-with-token", rounds=1)
def _viewers(to: Target) -> None:
    to.hold(to.head("GET", "/events", key=True), 200)


# -- A4: images, with the token and without it ---------------------------------------------------------------------


def _frame(width: int, height: int) -> bytes:
    """A JPEG's frame header of three components, without the FF before it."""
    return b"\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x01\x22\x00\x02\x11\x00\x03\x11\x00"


@functools.lru_cache(maxsize=None)
def stuffed() -> bytes:
    """A JPEG of 32000x32000 behind a stuffed FF 00. Who takes that for a marker with a length lands at another size."""
    small = cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))[1].tobytes()
    at = small.index(b"\xff\xc0")
    end = at + 2 + int.from_bytes(small[at + 2 : at + 4], "big")
    large = small[2 : at + 5] + struct.pack(">HH", 32000, 32000) + small[at + 9 : -2]
    other = small[at:end] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return b"\xff\xd8\xff\x00" + struct.pack(">H", 2 + len(large)) + large + other + b"\xff\xd9"


@functools.lru_cache(maxsize=None)
def fill_bytes() -> bytes:
    """33 MB of fill bytes before a marker."""
    return b"\xff\xd8" + b"\xff" * (33 * MB)


@functools.lru_cache(maxsize=None)
def comments() -> bytes:
    """30 MB of empty comments before the size."""
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * (30 * MB // 4) + b"\xff" + _frame(64, 64)


@functools.lru_cache(maxsize=None)
def gammas() -> bytes:
    """A PNG of two million gAMA chunks with wrong checksums: libpng warns of each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    bad = struct.pack(">I", 4) + b"gAMA" + b"\x00\x00\x00\x01" + b"\xde\xad\xbe\xef"
    data = chunk(b"IDAT", zlib.compress(bytes(64 * (1 + 64 * 3)))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + bad * 2_000_000 + data


def _image(name: str, make: Callable[[], bytes]) -> None:
    @attack(f"{name}-with-token")
    def _known(to: Target) -> None:
        to.ask(DETECT, make(), JPEG, key=True)

    @attack(name, workers=2)
    def _unknown(to: Target) -> None:
        to.ask(VISION, _form_of(make), FORM)


_image("jpeg-stuffed-32k", stuffed)
_image("jpeg-fill-bytes", fill_bytes)
_image("jpeg-comments", comments)
_image("png-gammas", gammas)


# -- A5: JSON ------------------------------------------------------------------------------------------------------


@attack("json-lists-with-token")
def _lists(to: Target) -> None:
    to.ask(INFER, b"[" + b"[]," * (11 * MB) + b"[]]", JSON, key=True)


@attack("json-few-lists-with-token")
def _few_lists(to: Target) -> None:
    to.ask(INFER, b"[" + b"[]," * (1 * MB) + b"[]]", JSON, key=True)


@attack("json-objects-with-token")
def _objects(to: Target) -> None:
    to.ask(INFER, b"[" + b'{"a":1},' * (MB // 2) + b"1]", JSON, key=True)


@attack("json-strings-with-token")
def _strings(to: Target) -> None:
    to.ask(INFER, b"[" + b'"ab",' * (MB // 2) + b"1]", JSON, key=True)


@attack("json-deep-with-token")
def _deep(to: Target) -> None:
    to.ask(INFER, b"[" * MB + b"]" * MB, JSON, key=True)


@attack("json-digits-with-token")
def _digits(to: Target) -> None:
    to.ask(INFER, b"1" * (4 * MB), JSON, key=True)


@attack("json-put-with-token")
def _put(to: Target) -> None:
    to.ask("/api/streams/cam1", b"[" + b"[]," * (10 * MB) + b"[]]", JSON, key=True, put=True)


@attack("json-without-token", workers=2)
def _unasked(to: Target) -> None:
    to.ask(INFER, b"[" + b"[]," * (10 * MB) + b"[]]", JSON)


@functools.lru_cache(maxsize=None)
def _zeros(size: int) -> bytes:
    return bytes(size)
