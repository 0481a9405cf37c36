"""Who may ask and how much: tokens, other sites' pages, large and slow bodies, bombs, idle connections."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest

from edgecsp import serve
from edgecsp.errors import UsageError
from edgecsp.serve import guard
from edgecsp.serve.live import StreamState
from support import served
from support.processes import resident_bytes
from support.tiny import Tiny

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LIMITS = serve.Limits(body_bytes=1 << 20, held_bytes=3 << 20, body_s=1.0, header_s=1.0, idle=50, pixels=1_000_000)


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "door")], limits=LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "door")], token=TOKEN) as running:
        yield running


# -- who -----------------------------------------------------------------------------------------------------------


def test_without_a_token_only_own_names_are_answered(site: served.Site) -> None:
    for host in ("localhost", f"127.0.0.1:{site.port}", "[::1]:80", "LOCALHOST:1"):
        assert site.ask("/v2", headers={"Host": host}).status == 200, host
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[::1",
        "a@localhost.x",
    ):
        assert site.ask("/v2", headers={"Host": host}).status == 403, host


def test_another_sites_page_may_not_ask(site: served.Site) -> None:
    change, here = b'{"conf": 0.5}', f"http://127.0.0.1:{site.port}"
    for origin in (
        "http://evil.example",
        "null",
        f"http://localhost:{site.port + 1}",
        "http://[",
        here.replace("127", "128"),
    ):
        said = site.ask("/api/streams/door", change, "PUT", {"Origin": origin})
        assert said.status == 403 and site.views[0].settings.conf is None, origin
        assert site.ask("/v1/detect", b"x", headers={"Origin": origin}).status == 403
    for where in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": where, "Sec-Fetch-Mode": "no-cors"}
        assert site.ask("/api/streams/door/picture.jpg", headers=headers).status == 403
        assert site.ask("/", headers={**headers, "Sec-Fetch-Mode": "navigate"}).status == 200, "a link is no harm"
    said = site.ask("/api/streams/door", change, "PUT", {"Origin": here, "Sec-Fetch-Site": "same-origin"})
    assert said.status == 200 and site.views[0].settings.conf == 0.5


def test_every_answer_has_its_headers(site: served.Site) -> None:
    for path in ("/", "/docs", "/page/login.html", "/page/page.js", "/api/state", "/nothing", "/v1/detect"):
        headers = site.ask(path).headers
        assert (
            headers["x-content-type-options"] == "nosniff" and headers["cross-origin-resource-policy"] == "same-origin"
        )
        assert "server" not in headers and headers["cache-control"] in ("no-store", "no-cache")
        policy = headers.get("content-security-policy", "")
        if headers["content-type"].startswith("text/html"):
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_with_a_token_nothing_is_told_without_it(locked: served.Site) -> None:
    paths = (
        "/",
        "/docs",
        "/openapi.json",
        "/api/state",
        "/api/streams/door/video",
        "/events",
        "/metrics",
        "/v2",
        "/v2/models/tiny",
    )
    for path in paths:
        said = locked.ask(path)
        assert said.status == 401 and "Bearer" in said.headers["www-authenticate"], path
        assert said.json == {"error": "a token is needed; send the header  Authorization: Bearer TOKEN"}
    for path in ("/v1/detect", "/v2/models/tiny/infer", "/v1/vision/detection"):
        assert locked.ask(path, b"x").status in (401, 415), path
    form, headers = served.multipart(image=b"\xff\xd8\xff")
    assert locked.ask("/v1/vision/detection", form, headers=headers).status == 401
    assert locked.ask("/api/streams/door", b"{}", "PUT").status == 401
    for path in guard.ALIVE:
        assert locked.ask(path).status == 200, "watched over by who has no token"


def test_the_token_opens(locked: served.Site) -> None:
    assert locked.ask("/v2", headers=BEARER).status == 200
    assert locked.ask("/v2", headers={**BEARER, "Host": "box.lan"}).status == 200, "other names are fine then"
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", "\u00e9"):
        assert locked.ask("/v2", headers={"Authorization": f"Bearer {wrong}".encode().decode("latin-1")}).status == 401
    form, headers = served.multipart(api_key=TOKEN, image=served.encoded(np.zeros((8, 8, 3), np.uint8)))
    assert locked.ask("/v1/vision/detection", form, headers=headers).json["success"] is True, "as Frigate sends it"


def test_a_browser_logs_in(locked: served.Site) -> None:
    page = {"Accept": "text/html,*/*"}
    asked = locked.ask("/", headers=page)
    assert asked.status == 401 and b'name="token"' in asked.body
    assert locked.ask("/?token=wrong", headers=page).status == 401
    moved = locked.ask(f"/?token={TOKEN}", headers=page)
    assert moved.status == 303 and moved.headers["location"] == "/", "the address with the token is left"
    words = moved.headers["set-cookie"]
    assert "HttpOnly" in words and "SameSite=Strict" in words and TOKEN not in words
    cookie = {"Cookie": words.split(";")[0]}
    assert locked.ask("/", headers={**page, **cookie}).status == 200
    assert locked.ask("/api/state", headers=cookie).status == 200
    assert locked.ask("/api/streams/door", b"{}", "PUT", {**cookie, "Origin": "http://evil.example"}).status == 403
    for wrong in ("edgecsp=" + TOKEN, "edgecsp=", "x", 'edgecsp="', "a=b; edgecsp=0"):
        assert locked.ask("/api/state", headers={"Cookie": wrong}).status == 401
    posted = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    assert locked.ask("/login", f"token={TOKEN}".encode(), headers=posted).headers["set-cookie"] == words
    wrong_one = locked.ask("/login", b"token=x", headers=posted)
    assert wrong_one.status == 401 and b"Invalid token" in wrong_one.body
    assert locked.ask("/page/page.css").status == 200, "the login page has its colours"


def test_tokens_that_are_guessed(tmp_path: Path) -> None:
    for token in ("", "short", "fifteen-letters", "with a space in it", "caf\u00e9" * 6):
        with pytest.raises(UsageError, match="openssl rand -hex 16"):
            serve.check_token(token, "x")
    assert serve.check_token(TOKEN + "\n", "x") == TOKEN


def test_loopback_names() -> None:
    assert all(serve.is_loopback(name) for name in ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"))
    assert not any(serve.is_loopback(name) for name in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""))


# -- how much ------------------------------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A PNG that says of itself that it is large, and is small."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_a_picture_of_400_megapixels_is_refused_at_its_header(tiny: Tiny) -> None:
    with served.served(tiny.model) as site:
        before, begun = resident_bytes(), time.monotonic()
        said = site.ask("/v1/detect", bomb(20000, 20000))
        assert said.status == 413 and "20000x20000, 400 megapixels" in said.json["error"]
        form, headers = served.multipart(image=bomb(20000, 20000))
        assert site.ask("/v1/vision/detection", form, headers=headers).status == 413
        assert time.monotonic() - begun < 5 and resident_bytes() - before < 50 << 20


def test_a_jpeg_of_a_thousand_scans(site: served.Site) -> None:
    data = served.encoded(np.zeros((16, 16, 3), np.uint8), ".jpg")
    begin = data.index(b"\xff\xda")
    assert site.ask("/v1/detect", data[:-2] + data[begin:-2] * 1000 + data[-2:]).status in (200, 400), "read as one"
    for kind in (b"\xff\xc0", b"\xff\xc2"):  # a scan a component; and a progressive one
        head = data[:begin].replace(b"\xff\xc0", kind)
        scan = b"\xff\xda\0\x08\x01" + data[begin + 5 : -2]
        said = site.ask("/v1/detect", head + scan * 1000 + data[-2:])
        assert said.status == 413 and "scans" in said.json["error"]


def test_a_body_that_says_it_is_too_large(site: served.Site) -> None:
    held, answer = site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer.lower()
    held.close()
    for length in (b"-1", b"x", b"9" * 30):
        held, answer = site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %b\r\n\r\n" % length)
        assert answer.split()[1] in (b"400", b"413")
        held.close()


def test_a_gigabyte_in_chunks_is_refused_in_bounded_memory(site: served.Site) -> None:
    before, chunk, sent = resident_bytes(), b"40000\r\n" + b"x" * 0x40000 + b"\r\n", 0
    held, _ = site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")
    held.sendall(b"\r\n")
    highest = before
    with contextlib.suppress(ConnectionError):
        for _ in range(4096):
            held.sendall(chunk)
            sent += 1
            highest = max(highest, resident_bytes())
    with contextlib.suppress(ConnectionError):
        answer = served.read_header(held)
        assert answer.startswith(b"HTTP/1.1 413")
    held.close()
    assert sent < 4096, "it was cut off before a gigabyte"
    assert highest - before < 60 << 20, f"{(highest - before) >> 20} MiB"
    assert site.ask("/v2").status == 200


def test_a_slow_body_is_cut_off(site: served.Site) -> None:
    held, _ = site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
    held.sendall(b"\r\nxx")
    begun = time.monotonic()
    answer = served.read_header(held)
    assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - begun < 5
    held.close()


def test_a_slow_header_is_cut_off(site: served.Site) -> None:
    held = socket.create_connection(("127.0.0.1", site.port), 10)
    held.sendall(b"GET / HTTP/1.1\r\nHost: ")
    begun = time.monotonic()
    assert held.recv(100) == b"" and time.monotonic() - begun < 5
    held.close()


HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def told(site: served.Site, *pieces: bytes) -> bytes:
    """What is answered to bytes that are sent as they are, up to the connection's end."""
    found = b""
    with contextlib.closing(socket.create_connection(("127.0.0.1", site.port), 10)) as held:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                held.sendall(piece)
        with contextlib.suppress(ConnectionError):
            while True:
                piece = held.recv(1 << 16)
                if not piece:
                    break
                found += piece
    return found


@pytest.mark.parametrize(
    "begin, more",
    [
        (HEAD + b"X: ", b"x" * 4096),
        (HEAD + b"X", b"x" * 4096),
        (HEAD, b"a: b\r\n" * 10),
        (b"GET /", b"x" * 4096),
        (b"", b"\r\n" * 2048),
        (CHUNKED + b"1;x=", b"x" * 4096),
        (CHUNKED, b"1\r\nx\r\n" * 1000),
        (CHUNKED + b"0\r\nX: ", b"x" * 4096),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 1000),
    ],
    ids=["value", "name", "fields", "target", "lines", "extension", "chunks", "trailer", "trailers"],
)
def test_what_is_no_body_is_bounded(site: served.Site, begin: bytes, more: bytes) -> None:
    before, sent, began = resident_bytes(), 0, time.monotonic()
    held = socket.create_connection(("127.0.0.1", site.port), 10)
    answer = b""
    with contextlib.closing(held), contextlib.suppress(ConnectionError):
        held.sendall(begin)
        while sent < 64 << 20:
            held.sendall(more)
            sent += len(more)
        answer = served.read_header(held)
    assert sent < 16 << 20, "it was cut off"
    assert answer.split()[1:2] in ([], [b"431"], [b"400"]) and time.monotonic() - began < 5
    assert resident_bytes() - before < 30 << 20
    assert site.ask("/v2").status == 200


def test_too_long_a_header_is_told(site: served.Site) -> None:
    for more in (b"a: b\r\n" * 120, b"X: " + b"x" * 66000 + b"\r\n"):
        answer = told(site, HEAD + more)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large") and b"connection: close" in head
        assert json.loads(body) == {"error": "the request header exceeds 100 fields or 64 KiB"}
    most = b"".join(b"x%d: y\r\n" % at for at in range(90)) + b"x: " + b"y" * 60000 + b"\r\n"
    assert told(site, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + most + b"\r\n")[9:12] == b"200"


@pytest.mark.parametrize(
    "asked",
    [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: +5\r\n\r\nhello",
        HEAD + b"Content-Length: 0x5\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"5x\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Host: localhost\r\nContent-Length: 0\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/3.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2 HTTP/1.1\nHost: localhost\rX: y\r\n\r\n",
        b"GET  /v2\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"WHAT /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(site: served.Site, asked: bytes) -> None:
    """Request smuggling: what follows is never taken for a request of its own."""
    answer = told(site, asked + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer
    assert answer.count(b"HTTP/1.1 400") == 1 and b"HTTP/1.1 200" not in answer and b'{"error": ' in answer


def test_a_trailer_is_no_header(locked: served.Site) -> None:
    asked = b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert told(locked, asked + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()).startswith(b"HTTP/1.1 401")


def test_requests_that_come_together_are_answered_in_turn(site: served.Site) -> None:
    def get(path: bytes, more: bytes = b"") -> bytes:
        return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (path, more)

    last = get(b"/v2/health/ready", b"Connection: close\r\n")
    answer = told(site, get(b"/v2") + HEAD + b"Content-Length: 1\r\n\r\nx" + get(b"/none") + last)
    assert [piece[:3] for piece in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"415", b"404", b"200"]
    before = resident_bytes()
    answer = told(site, get(b"/v2") * 20000)
    assert answer.count(b"HTTP/1.1 ") <= 20 and resident_bytes() - before < 30 << 20, "then the connection is closed"
    assert site.ask("/v2").status == 200


def test_an_upgrade_that_is_not_taken_is_a_request_as_any_other(site: served.Site) -> None:
    """As Java's client asks every time."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    picture = served.encoded(np.zeros((8, 8, 3), np.uint8))
    whole = HEAD + upgrade + b"Content-Length: %d\r\n\r\n" % len(picture) + picture
    held, _ = site.raw(whole)
    assert served.read_header(held).startswith(b"HTTP/1.1 200")
    for at in (10, 60, 200, len(whole) - 5):
        held.sendall(whole[:at])
        time.sleep(0.02)
        held.sendall(whole[at:])
        assert served.read_header(held).startswith(b"HTTP/1.1 200"), at
    held.sendall(
        HEAD + upgrade + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(picture) + picture + b"\r\n0\r\n\r\n"
    )
    assert served.read_header(held).startswith(b"HTTP/1.1 200")
    held.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert served.read_header(held).startswith(b"HTTP/1.1 200")
    held.close()


def test_who_waits_for_100_is_told_to_go_on(site: served.Site) -> None:
    picture = served.encoded(np.zeros((8, 8, 3), np.uint8))
    held, answer = site.raw(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(picture))
    assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
    held.sendall(picture)
    assert served.read_header(held).startswith(b"HTTP/1.1 200")
    held.close()
    held, answer = site.raw(HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413"), "before it is sent"
    held.close()


def test_listeners_have_the_header_before_the_first_event(site: served.Site) -> None:
    held, answer = site.raw(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 2.0)
    assert answer.startswith(b"HTTP/1.1 200") and b"text/event-stream" in answer
    held.close()


def test_a_thousand_idle_connections_do_not_stop_the_page(site: served.Site) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held: List[socket.socket] = []
    try:
        held.extend(socket.create_connection(("127.0.0.1", site.port), 10) for _ in range(1000))
        begun = time.monotonic()
        assert site.ask("/").status == site.ask("/api/state").status == 200
        assert time.monotonic() - begun < 2
        end = time.monotonic() + 5
        while len(site.server._uvicorn.server_state.connections) > LIMITS.idle + 5:
            assert time.monotonic() < end, "the oldest are let go"
            time.sleep(0.05)
    finally:
        for each in held:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_page_moves_meanwhile(tiny: Tiny) -> None:
    """A bomb, broken pictures, a body without an end and idle connections at once: somebody looks, and sees."""
    view, stop = StreamState("0", "door"), threading.Event()
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with served.served(tiny.model, [view], limits=LIMITS) as site, served.Camera(view, site.pool, lambda _: image, 20):
        looker = site.raw(b"GET /api/streams/door/video HTTP/1.1\r\nHost: localhost\r\n\r\n")[0]

        def trouble(body: bytes) -> None:
            while not stop.is_set():
                site.ask("/v1/detect", body)

        def flood() -> None:
            while not stop.is_set():
                with contextlib.suppress(ConnectionError), contextlib.closing(
                    site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")[0]
                ) as held:
                    held.sendall(b"\r\n")
                    while not stop.is_set():
                        held.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        broken = served.encoded(image, ".jpg")[:-200]
        threads = [threading.Thread(target=trouble, args=(body,)) for body in (bomb(20000, 20000), broken, b"GIF89a")]
        threads.append(threading.Thread(target=flood))
        idle = [socket.create_connection(("127.0.0.1", site.port), 10) for _ in range(100)]
        for thread in threads:
            thread.start()
        try:
            seen, end = [], time.monotonic() + 4
            while time.monotonic() < end:
                if b"Content-Type: image/jpeg" in looker.recv(1 << 18):
                    seen.append(time.monotonic())
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
            for each in (*idle, looker):
                each.close()
        assert len(seen) > 12 and max(np.diff(seen)) < 1.5, np.diff(seen).max()
        assert site.pool.healthy


def test_more_than_fits_is_told_to_come_again(tiny: Tiny) -> None:
    gate = threading.Event()
    with served.served(tiny.model, queue=2) as site:
        for _ in range(len(site.pool._workers) + 2):
            site.pool.ask(lambda context: gate.wait(30))
            time.sleep(0.05)
        said = site.ask("/v1/detect", served.encoded(np.zeros((8, 8, 3), np.uint8)))
        assert said.status == 503 and int(said.headers["retry-after"]) >= 1 and "--queue" in said.json["error"]
        form, headers = served.multipart(image=served.encoded(np.zeros((8, 8, 3), np.uint8)))
        vision = site.ask("/v1/vision/detection", form, headers=headers)
        assert vision.status == 503 and vision.json["success"] is False and "retry-after" in vision.headers
        assert site.ask("/api/state").json["waiting"] == 2
        gate.set()


def test_bodies_together_are_bounded(site: served.Site) -> None:
    held = []
    try:
        for _ in range(3):
            each, _ = site.raw(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n")
            each.sendall(b"\r\n" + b"x" * 1048575)
            held.append(each)
        # All of them first: a request that is read between their pieces takes the place of one, which is then refused.
        time.sleep(0.2)
        end = time.monotonic() + 0.6
        statuses = set()
        while time.monotonic() < end and 503 not in statuses:
            statuses.add(site.ask("/v1/detect", b"\xff\xd8\xff" * 30000).status)
        assert 503 in statuses
    finally:
        for each in held:
            each.close()


def test_lookers_are_bounded_and_closing_ends_them(tiny: Tiny) -> None:
    view = StreamState("0", "door")
    limits = serve.Limits(viewers=3)
    with served.served(tiny.model, [view], limits=limits) as site:
        held = [site.raw(b"GET /api/streams/door/video HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] for _ in range(2)]
        held.append(site.raw(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")[0])
        said = site.ask("/api/streams/door/video")
        assert said.status == 503 and "retry-after" in said.headers
        begun = time.monotonic()
        site.server.close()
        assert time.monotonic() - begun < 2
        for each in held:
            each.settimeout(2)
            while each.recv(1 << 16):
                pass
            each.close()


def test_nobody_is_served_by_a_name_of_ours_for_elsewhere(site: served.Site) -> None:
    """No request makes the server open anything: every word that looks like a source is just a word."""
    for path in ("/v1/detect?source=file:///etc/passwd", "/v1/detect?url=http://127.0.0.1:9/"):
        assert site.ask(path, b"http://127.0.0.1:9/x.jpg").status == 400
    assert site.ask("/v1/detect", b"http://127.0.0.1:9/x.jpg").status == 415
    said = site.ask("/api/streams/door", json.dumps({"source": "rtsp://x"}).encode(), "PUT")
    assert said.status == 400 and "unknown setting 'source'" in said.json["error"]


def test_a_port_in_use_and_a_host_that_is_not_ours() -> None:
    with contextlib.closing(serve.bind("127.0.0.1", 0)) as held:
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}: .*--port"):
            serve.bind("127.0.0.1", port)
    for host in ("192.0.2.1", "no.such.host.invalid", "x" * 300):
        with pytest.raises(UsageError):
            serve.bind(host, 0)


def test_nothing_is_left_when_it_is_closed(tiny: Tiny) -> None:
    def count() -> Any:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    with served.served(tiny.model) as site:  # what is imported and opened once
        site.ask("/")
    before = count()
    for _ in range(3):
        with served.served(tiny.model, [StreamState("0", "door")]) as site:
            assert site.ask("/api/streams/door/picture.jpg").status == 200
    time.sleep(0.2)
    assert count() == before
