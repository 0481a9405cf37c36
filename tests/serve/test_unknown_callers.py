"""Callers that show no key, where one is needed: what they send is read once, in small bounds; others lose nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Iterator, List

import numpy as np
import pytest

from edgecsp import serve
from edgecsp.errors import HTTPRequestError
from edgecsp.serve.live import StreamState
from support import served
from support.tiny import Tiny

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
VISION = "/v1/vision/detection"
HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def locked(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "door")], token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> bytes:
    return served.encoded(np.full((40, 60, 3), 90, np.uint8))


def form(*parts: bytes, boundary: bytes = b"x") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


def part(name: str, value: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%b"%b\r\n\r\n%b' % (name.encode(), more, value)


PARAMETERS = b'Content-Disposition: form-data; name="'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


class Silence:
    """The longest time for which a server's loop does nothing else, in seconds of that thread's own CPU.

    Other programs on the machine take time by the clock, not of this.
    """

    def __init__(self, site: served.Site) -> None:
        self._loop, self._stop, self.worst = site.server._loop, threading.Event(), 0.0
        self._ended = threading.Event()

    def _beat(self, last: float) -> None:
        now = time.thread_time()
        self.worst = max(self.worst, now - last)
        if self._stop.is_set():
            self._ended.set()
        else:
            self._loop.call_later(0.005, self._beat, now)

    def __enter__(self) -> Silence:
        self._loop.call_soon_threadsafe(lambda: self._beat(time.thread_time()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._ended.wait(60)


# -- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("multipart/form-data; boundary=x", form(PARAMETERS + b";" * 50_000 + b"\r\n\r\n1")),
        ("multipart/form-data; boundary=x", form(PARAMETERS + b"\\;" * 25_000 + b"\r\n\r\n1")),
        ('multipart/form-data; a="' + ";" * 40_000, b"--x--\r\n"),
        ("multipart/form-data; boundary=x" + ';a="\\' * 8_000, b"--x--\r\n"),
    ],
    ids=["part", "escapes", "content-type", "quotes"],
)
def test_a_header_of_parameters_is_read_once(locked: served.Site, kind: str, data: bytes) -> None:
    with Silence(locked) as silence:
        said = locked.ask(VISION, data, headers={"Content-Type": kind})
    assert said.status in (400, 401) and said.json["success"] is False
    assert silence.worst < 0.3, "half the size that took a second and more"


def test_parameters_as_programs_write_them() -> None:
    from edgecsp.serve.multipart import parameters

    assert parameters('form-data; name="image"; filename="a;b\\"c.jpg"') == {"name": "image", "filename": 'a;b"c.jpg'}
    assert parameters("form-data; NAME=image ;filename = x.jpg;") == {"name": "image", "filename": "x.jpg"}
    assert parameters("multipart/form-data; charset=utf-8; boundary=--a'b/c") == {
        "charset": "utf-8", "boundary": "--a'b/c"}  # fmt: skip
    assert parameters('form-data;;  ; flag; name="unclosed') == {"flag": "", "name": ""}
    assert parameters('form-data; name=""; filename=""') == {"name": "", "filename": ""}
    assert parameters("form-data") == parameters("") == {}


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_the_same_in_any_pieces(step: int) -> None:
    from edgecsp.serve.multipart import Form

    inside = b"\r\n--\r\n--xy\r--x\r\n\r\n--x"[:-5] + bytes(range(256)) * 3 + b"\r\n-"
    data = b"preamble\r\n" + form(
        part("note", b"a" * 1500), part("image", inside, b'; filename="a.jpg"\r\nContent-Type: image/jpeg'),
        part("empty", b""), b"\r\nno name",
        boundary=b"xyz",
    ) + b"epilogue\r\n--xyz\r\n"  # fmt: skip
    seen: List[str] = []
    parser = Form("multipart/form-data; boundary=xyz", lambda name, value: seen.append(name))
    for at in range(0, len(data), step):
        parser.feed(data[at : at + step])
    sent = parser.close()
    assert sent.data == inside and sent.name == "a.jpg"
    assert sent.fields == {"note": "a" * 1000, "empty": ""} and seen == ["note", "empty"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (form(b"X: " + b"y" * 5000 + b"\r\n\r\n1"), "larger than 4096 bytes"),
        (b"--x\r\n" + b"y" * 100_000, "larger than 4096 bytes"),
        (form(*[part(f"f{at}", b"1") for at in range(17)]), "more than 16 parts"),
        (form(part("image", b"1"))[:-5], "before its last boundary"),
        (b"", "before its last boundary"),
        (form(part("picture", b"1")), "no field image; it has picture"),
    ],
)
def test_what_is_no_form_is_told(data: bytes, why: str) -> None:
    from edgecsp.serve.multipart import Form

    with pytest.raises(HTTPRequestError, match=why) as caught:
        parser = Form("multipart/form-data; boundary=x")
        parser.feed(data)
        parser.close()
    assert caught.value.status == 400


def test_a_wrong_key_is_refused_before_the_image_is_sent(locked: served.Site) -> None:
    """Also no key at all, where the body is no form."""
    begin = b"--x\r\n" + part("api_key", b"wrong") + b"\r\n--x\r\n" + part("image", b"\xff\xd8\xff")
    for kind, sent in ((b"multipart/form-data; boundary=x", begin), (b"image/jpeg", b"\xff\xd8\xff")):
        head = b"POST %b HTTP/1.1\r\n%bContent-Type: %b\r\nContent-Length: 20000000\r\n\r\n" % (
            VISION.encode(), HOST, kind)  # fmt: skip
        held, _ = locked.raw(head + sent)
        with contextlib.closing(held):
            answer = served.read_header(held)
            assert answer.startswith(b"HTTP/1.1 401"), answer


def test_the_key_may_come_behind_a_small_image(locked: served.Site, image: bytes) -> None:
    after = form(part("image", image), part("api_key", TOKEN.encode()))
    assert locked.ask(VISION, after, headers=MULTIPART).json["success"] is True
    wrong = form(part("image", image), part("api_key", b"wrong"))
    assert locked.ask(VISION, wrong, headers=MULTIPART).status == 401
    assert locked.ask(VISION, form(part("image", image)), headers=MULTIPART).status == 401
    assert locked.ask(VISION, form(part("image", image)), headers={**MULTIPART, **BEARER}).status == 200
    large = form(part("image", image + bytes(6 << 20)), part("api_key", TOKEN.encode()))
    refused = locked.ask(VISION, large, headers=MULTIPART)
    assert refused.status == 401 and "before its image" in refused.json["error"]
    first = form(part("api_key", TOKEN.encode()), part("image", image + bytes(6 << 20)))
    assert locked.ask(VISION, first, headers=MULTIPART).json["success"] is True, "with the key first it may be large"


# -- cookies and the login -----------------------------------------------------------------------------------------


def test_a_cookie_of_octal_escapes_is_read_once(locked: served.Site) -> None:
    """http.cookies looked for them in quadratic time, in Python up to 3.12.1."""
    for size in (12_000, 60_000):
        bomb = 'edgecsp="' + "\\0" * (size // 2) + '"'
        with Silence(locked) as silence:
            said = locked.ask("/api/state", headers={"Cookie": bomb})
        assert said.status == (401 if size < 16_000 else 431) and "error" in said.json
        assert silence.worst < 0.1
    assert locked.ask("/api/state", headers={**BEARER, "Cookie": bomb}).status == 200, "whoever has the token is served"


def test_the_cookie_is_found_among_others(locked: served.Site) -> None:
    moved = locked.ask(f"/?token={TOKEN}")
    ours = moved.headers["set-cookie"].split(";")[0]
    for cookies in (ours, f"a=b; {ours}", f"{ours};c", f"a=edgecsp=1;  {ours} ; edgecsp2=x", f"x={'y' * 9000}; {ours}"):
        assert locked.ask("/api/state", headers={"Cookie": cookies}).status == 200, cookies
    for cookies in (ours[:-1], f"x{ours}", ours.replace("=", "=="), "edgecsp", ";;;", "a=" + ours):
        assert locked.ask("/api/state", headers={"Cookie": cookies}).status == 401, cookies


def test_a_login_is_small(locked: served.Site) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    with Silence(locked) as silence:
        for body in (b"a=b&" * (1 << 18), b"token=" + b"x" * 5000):
            said = locked.ask("/login", body, headers=kind)
            assert said.status == 413 and "4096" in said.json["error"]
        many = locked.ask("/login", b"a=b&" * 1000, headers=kind)
        assert many.status == 400 and "more than 16 fields" in many.json["error"]
        assert locked.ask("/?token=" + "x" * 5000).status == 413
    assert silence.worst < 0.3
    assert locked.ask("/login", f"a=b&token={TOKEN}".encode(), headers=kind).status == 303


# -- what all of them hold -----------------------------------------------------------------------------------------

LIMITS = serve.Limits(
    body_s=30.0, header_s=30.0, held_bytes=3 << 20, unknown=12, unknown_of_address=6,
    unknown_bytes=1 << 20, unknown_bytes_of_address=512 << 10, unknown_free=16 << 10,
)  # fmt: skip


@pytest.fixture
def small(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "door")], token=TOKEN, limits=LIMITS) as running:
        yield running


def connections(site: served.Site) -> int:
    return len(site.server._uvicorn.server_state.connections)


def fewer(site: served.Site, most: int) -> None:
    end = time.monotonic() + 10
    while connections(site) > most:
        assert time.monotonic() < end, f"{connections(site)} connections are held"
        time.sleep(0.05)


def slow(site: served.Site, sent: bytes = b"x", source: str = "127.0.0.1", path: str = VISION) -> socket.socket:
    """Somebody who sends a part of a body, and no more."""
    held = socket.create_connection(("127.0.0.1", site.port), 10, (source, 0))
    head = b"POST %b HTTP/1.1\r\n%bContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 30000000\r\n\r\n"
    held.sendall(head % (path.encode(), HOST) + sent)
    return held


def test_bodies_byte_by_byte_do_not_hold_the_descriptors(small: served.Site, image: bytes) -> None:
    held: List[socket.socket] = []
    statuses = set()
    try:
        for _ in range(60):
            held.append(slow(small))
            statuses.add(small.ask("/v1/detect", image, headers=BEARER).status)
        fewer(small, LIMITS.unknown_of_address + 1)
        assert statuses == {200}, "from the same address, with the token"
        told = held[0].recv(1 << 16)
        assert told.startswith(b"HTTP/1.1 429") and b"without a valid token" in told
        held[-1].settimeout(0.2)
        with pytest.raises(socket.timeout):
            held[-1].recv(1)  # the newest stay
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            held.extend(slow(small, source=address) for _ in range(6))
        fewer(small, LIMITS.unknown + 1)
    finally:
        for each in held:
            each.close()


def test_connections_that_have_shown_the_key_do_not_count(small: served.Site, image: bytes) -> None:
    known: List[socket.socket] = []
    held: List[socket.socket] = []
    asked = b"GET /v2 HTTP/1.1\r\n%bAuthorization: Bearer %b\r\n\r\n" % (HOST, TOKEN.encode())
    try:
        for _ in range(10):
            each, answer = small.raw(asked)
            assert answer.startswith(b"HTTP/1.1 200")
            known.append(each)
        # One has its key in a form's field, and is slow with its image.
        body = form(part("api_key", TOKEN.encode()), part("image", image))
        each, _ = small.raw(
            b"POST %b HTTP/1.1\r\n%bContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
            % (VISION.encode(), HOST, len(body)) + body[:-30]
        )  # fmt: skip
        held.extend(slow(small) for _ in range(30))
        fewer(small, LIMITS.unknown_of_address + len(known) + 1)
        time.sleep(0.3)
        each.sendall(body[-30:])
        assert served.read_header(each).startswith(b"HTTP/1.1 200")
        each.close()
        for each in known:
            each.sendall(asked)
            assert served.read_header(each).startswith(b"HTTP/1.1 200")
    finally:
        for each in (*known, *held):
            each.close()


def test_large_uploads_without_the_key_take_nothing_from_others(small: served.Site, image: bytes) -> None:
    """Eight addresses send nearly all that bodies may hold, and wait. With the key an image is served meanwhile."""
    image += bytes(300 << 10)
    first = form(part("api_key", TOKEN.encode()), part("image", image))
    held: List[socket.socket] = []
    try:
        for at in range(8):
            held.append(slow(small, b"--x\r\n" + part("image", bytes(380 << 10)), f"127.0.0.{2 + at}"))
            for _ in range(3):
                assert small.ask("/v1/detect", image, headers=BEARER).status == 200, at
                assert small.ask(VISION, first, headers=MULTIPART).status == 200, at
            time.sleep(0.05)
    finally:
        for each in held:
            each.close()


def test_what_is_held_is_given_back(small: served.Site, image: bytes) -> None:
    def uploads(count: int) -> List[Any]:
        return [slow(small, b"--x\r\n" + part("image", bytes(300 << 10))) for _ in range(count)]

    first = form(part("image", image + bytes(200 << 10)), part("api_key", TOKEN.encode()))
    for _ in range(3):
        held = uploads(2)
        assert any(each.recv(1 << 16).startswith(b"HTTP/1.1 401") for each in held[-1:]), "an address has 512 KiB"
        for each in held:
            each.close()
        fewer(small, 0)
        assert small.ask(VISION, first, headers=MULTIPART).status == 200


def test_addresses() -> None:
    from edgecsp.serve.budget import network

    assert network("192.0.2.7") == network("::ffff:192.0.2.7") == "192.0.2.7"
    assert network("2001:db8::1") == network("2001:db8:0:0:ffff::2") != network("2001:db8:0:1::1")
    assert network("fe80::1%eth0") == "fe80::" and network("") == ""


# -- viewers -------------------------------------------------------------------------------------------------------


def test_seats_are_counted_where_they_are_checked(tiny: Tiny) -> None:
    """Ten ask within one turn of the loop."""
    with served.served(tiny.model, [StreamState("0", "door")], limits=serve.Limits(viewers=3)) as site:
        held = [socket.create_connection(("127.0.0.1", site.port), 10) for _ in range(10)]
        site.ask("/v2")  # all are accepted
        busy = threading.Event()
        site.server._loop.call_soon_threadsafe(lambda: (busy.set(), time.sleep(0.5)))  # type: ignore[union-attr]
        assert busy.wait(5)
        for at, each in enumerate(held):
            path = (b"/events", b"/api/streams/door/video")[at % 2]
            each.sendall(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST))
        statuses = sorted(served.read_header(each).split()[1] for each in held)
        assert statuses == [b"200"] * 3 + [b"503"] * 7
        assert site.server._desk.viewers == 3
        for each in held:
            each.close()
        end = time.monotonic() + 10
        while site.server._desk.viewers:
            assert time.monotonic() < end, "whoever has gone still has a seat"
            time.sleep(0.02)
        again, answer = site.raw(b"GET /events HTTP/1.1\r\n%b\r\n" % HOST)
        assert answer.startswith(b"HTTP/1.1 200")
        again.close()


# -- JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[" + b"[]," * (1 << 20) + b"[]]", "lists, objects and keys"),
        (b'{"inputs": [{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "lists, objects and keys"),
        (b"[" + b'{"a":1},' * 200_000 + b"1]", "lists, objects and keys"),
        (b'["' + b'","' * 500_000 + b'"]', "values"),
        (b'{"id": "' + b"x" * (5 << 20) + b'"}', "larger than"),
    ],
    ids=["wide", "deep", "objects", "strings", "long"],
)
def test_json_is_bounded_before_it_is_parsed(
    locked: served.Site, monkeypatch: pytest.MonkeyPatch, body: bytes, why: str
) -> None:
    parsed: List[int] = []
    loads = json.loads
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", lambda text, **more: parsed.append(len(text)) or loads(text, **more))
        for more in ({}, {"Inference-Header-Content-Length": str(len(body))}):
            said = locked.ask("/v2/models/tiny/infer", body, headers={**BEARER, **more})
            assert said.status == 413 and (why in loads(said.body)["error"] or len(body) > 4 << 20), said.body
    assert parsed == []


def test_the_json_of_a_change_is_small(locked: served.Site) -> None:
    before = locked.views[0].settings
    for body in (b'{"conf": 0.5, "x": "' + b"y" * (64 << 10) + b'"}', b"[]," * (64 << 10)):
        said = locked.ask("/api/streams/door", body, "PUT", headers=BEARER)
        assert said.status == 413 and "65536 bytes" in said.json["error"]
    assert locked.views[0].settings == before


def test_a_tensor_as_json_fits(locked: served.Site, tiny: Tiny) -> None:
    given = {"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": tiny.batch.tolist()}
    said = locked.ask("/v2/models/tiny/infer", json.dumps({"inputs": [given]}).encode(), headers=BEARER)
    assert said.status == 200


def test_a_number_of_a_million_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from edgecsp.serve import _json

    for limited in (True, False):
        if not limited:  # as before Python 3.8.14
            monkeypatch.delattr(sys, "get_int_max_str_digits", raising=False)
        with pytest.raises(ValueError, match=r"digits|limit"):
            _json.parse(b"1" * 1_000_000, 4 << 20)
        assert _json.parse(b'{"a": [12, -3, 1.5]}', 100) == {"a": [12, -3, 1.5]}
