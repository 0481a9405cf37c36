"""The HTTP client against real servers: connections are kept, logins stay at home, nothing waits or grows for ever."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import socketserver
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from edgecsp.cache import download
from edgecsp.errors import SourceError
from edgecsp.media import sources
from edgecsp.system import _http_connections, http
from edgecsp.system.http import Client, RequestFailed
from support import media, web


class Host:
    """A server of HTTP/1.1. `accepted` counts its connections, `seen` are method, path, headers and bodies."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.accepted = 0
        self.seen: List[Tuple[str, str, Dict[str, str], bytes]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def setup(self) -> None:
                host.accepted += 1
                super().setup()

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                host.seen.append((self.command, self.path, dict(self.headers), body))
                answer(self)

            do_POST = do_CONNECT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def at(self, path: str = "/x", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{path}"


@contextmanager
def hosted(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Host]:
    host = Host(answer)
    thread = threading.Thread(target=host.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.server.shutdown()
        host.server.server_close()
        thread.join()


@contextmanager
def raw_server(talk: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """A server that does what `talk` does with each connection and its number; yields its port."""
    numbers = iter(range(1000))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            talk(self.request, next(numbers))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = Client()
    yield client
    client.close()


def send(request: BaseHTTPRequestHandler, body: bytes = b"hello", code: int = 200, **headers: str) -> None:
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def get(client: Client, url: str, limit: int = 1 << 20, **more: Any) -> bytes:
    with client.open(url, **{"timeout_s": 5.0, **more}) as response:
        assert response.status == 200, response.status_text
        return response.read(limit)


def request_in(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        if not piece:
            break
        data += piece
    return data


# -- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_one_connection_serves_many_requests(client: Client, framing: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if framing == "length":
            return send(request)
        request.send_response(200 if framing == "chunks" else 204)
        if framing == "chunks":
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        if framing == "chunks":
            request.wfile.write(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        return None

    with hosted(answer) as host:
        for _ in range(5):
            with client.open(host.at(), timeout_s=5) as response:
                assert response.read(100) == (b"" if framing == "none" else b"hello")
        assert (host.accepted, len(host.seen)) == (1, 5)


def test_a_body_that_was_not_read_is_not_the_next_answer(client: Client) -> None:
    """The rest of it comes when the next request is sent."""

    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345%d6789" % number
        sock.sendall(answer[:-5])
        if number == 0:
            request_in(sock)
        sock.sendall(answer[-5:])

    with raw_server(talk) as port:
        url = f"http://127.0.0.1:{port}/"
        with client.open(url, timeout_s=5) as response:
            assert response.status == 200
        assert get(client, url, method="POST") == b"1234516789"


@pytest.mark.parametrize("head", [b"Content-Length: 5\r\n\r\n", b"Connection: close\r\n\r\n"])
def test_nobody_waits_long_for_a_body_that_nobody_wants(client: Client, head: bytes) -> None:
    over = threading.Event()

    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        over.wait(20)

    with raw_server(talk) as port:
        begun = time.monotonic()
        response = client.open(f"http://127.0.0.1:{port}/", "POST", body=b"event", timeout_s=20)
        response.finish()
        assert time.monotonic() - begun < 10 and client._idle._entries == []
        over.set()


def test_threads_share_the_client_and_few_connections_stay(client: Client) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.05)
        send(request, request.path.encode())

    with hosted(answer) as host:
        bodies: Dict[int, bytes] = {}

        def ask(number: int) -> None:
            bodies[number] = get(client, host.at(f"/{number}"))

        for _ in range(2):
            asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            assert bodies == {number: b"/%d" % number for number in range(8)}
            assert len(client._idle._entries) == _http_connections.IDLE_OF_SERVER
        assert host.accepted == 12, "eight connections, of which four are kept; then those and four more"


def test_an_idle_connection_is_given_up_after_its_time() -> None:
    client = Client(proxies=False, idle_s=0.05)
    with hosted(send) as host:
        get(client, host.at())
        time.sleep(0.1)
        get(client, host.at())
        assert host.accepted == 2
    client.close()
    assert client._idle._entries == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_the_server_closed_meanwhile_is_replaced(client: Client, method: str) -> None:
    closed = threading.Event()

    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        sock.close()
        closed.set()

    with raw_server(talk) as port:
        for number in (b"0", b"1"):
            with client.open(f"http://127.0.0.1:{port}/", method, timeout_s=5) as response:
                assert response.read(10) == number
            assert closed.wait(5)
            time.sleep(0.05)  # the end arrives


@pytest.mark.parametrize(("method", "repeatable", "comes"), [("GET", False, True), ("POST", False, False),
                                                             ("POST", True, True)])  # fmt: skip
def test_a_request_is_sent_twice_only_where_that_does_no_harm(
    client: Client, method: str, repeatable: bool, comes: bool
) -> None:
    """The first connection ends when its second request has arrived: nobody knows whether that was carried out."""
    requests: List[bytes] = []

    def talk(sock: socket.socket, number: int) -> None:
        while True:
            data = request_in(sock)
            if not data:
                return
            requests.append(data)
            if number == 0 and len(requests) == 2:
                sock.shutdown(socket.SHUT_RDWR)
                return
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(talk) as port:
        url = f"http://127.0.0.1:{port}/"
        get(client, url)
        if comes:
            assert get(client, url, method=method, repeatable=repeatable) == b"ok"
            assert len(requests) == 3
        else:
            with pytest.raises(RequestFailed, match="the connection broke") as caught:
                client.open(url, method, timeout_s=5, repeatable=repeatable)
            assert (caught.value.kind, len(requests)) == ("broken", 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_does_not_use_the_connections_of_its_parent(client: Client) -> None:
    with hosted(lambda request: send(request, request.path.encode())) as host:
        get(client, host.at("/parent"))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, get(client, host.at("/child")))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read, "rb") as answer:
            assert answer.read() == b"/child"
        assert get(client, host.at("/parent")) == b"/parent"
        assert host.accepted == 2


# -- redirects and logins --------------------------------------------------------------------------------------------

SECRETS = {"Authorization": "Bearer swordfish", "Cookie": "swordfish", "X-Mine": "1"}


def test_a_redirect_to_another_server_drops_what_identifies_us(client: Client) -> None:
    with hosted(send) as other:
        to = {"/home": "/end", "/away": other.at("/end", "eve:hunter2@")}

        def answer(request: BaseHTTPRequestHandler) -> None:
            send(request, code=302, Location=to[request.path]) if request.path in to else send(request)

        with hosted(answer) as host:
            for path in to:
                get(client, host.at(path), headers=SECRETS)
            assert [headers.get("Authorization") for _, _, headers, _ in host.seen] == ["Bearer swordfish"] * 3
            ((_, path, headers, _),) = other.seen
            assert path == "/end" and headers["X-Mine"] == "1"
            assert "swordfish" not in str(headers) and "Authorization" not in headers
            assert host.accepted == 1, "the body of a redirect is read, so its connection is kept"


def test_a_login_of_the_url_is_not_for_another_server(client: Client) -> None:
    def demand(request: BaseHTTPRequestHandler) -> None:
        send(request, b"who?", 401, WWW_Authenticate='Basic realm="x"')

    with hosted(demand) as other, hosted(lambda request: send(request, b"", 307, Location=other.at())) as host:
        with client.open(host.at(login="eve:hunter2@"), timeout_s=5) as response:
            assert response.status == 401
        assert len(other.seen) == 1 and "Authorization" not in other.seen[0][2]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_post_is_not_led_elsewhere(client: Client, code: int) -> None:
    with hosted(lambda request: send(request, code=code, Location="/other")) as host:
        with client.open(host.at(), "POST", body=b"event", timeout_s=5) as response:
            assert response.status == code
        assert [(method, path, body) for method, path, _, body in host.seen] == [("POST", "/x", b"event")]


def test_https_never_becomes_http(certificate: Path, monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    for site in web.serve_trusted(b"data", certificate, monkeypatch):
        with hosted(send) as plain:
            site.to = {"/a": plain.at(), "/b": "/file"}
            assert get(client, site.at("/b")) == b"data"
            with pytest.raises(RequestFailed, match="only URLs of https") as caught:
                client.open(site.at("/a"), timeout_s=5)
            assert (caught.value.kind, caught.value.url, plain.seen) == ("redirect", plain.at(), [])


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[bad/", "gopher:x", "http://"])
def test_redirects_lead_to_web_servers_alone(client: Client, location: str) -> None:
    with hosted(lambda request: send(request, code=302, Location=location)) as host:
        with pytest.raises(RequestFailed) as caught:
            client.open(host.at(), timeout_s=5)
        assert caught.value.kind == "redirect"


def test_redirects_that_go_round_end(client: Client) -> None:
    with hosted(lambda request: send(request, code=302, Location=request.path + "x")) as host:
        with pytest.raises(RequestFailed, match="its redirects lead nowhere"):
            client.open(host.at(), timeout_s=5)
        assert len(host.seen) == http.REDIRECTS + 1


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def test_digest_is_answered_for_the_page_that_asks(client: Client) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("Authorization", "")))
        if fields:
            expected = md5(
                md5("eve", "door", "hun@ter2"),
                "n0nce",
                fields["nc"],
                fields["cnonce"],
                "auth",
                md5("GET", request.path),
            )
            if fields["response"] == expected and fields["uri"] == request.path:
                return send(request)
        return send(request, b"who?", 401, WWW_Authenticate='Digest realm="door", nonce="n0nce", qop="auth"')

    with hosted(answer) as host:
        assert get(client, host.at("/snap.jpg?n=1", "eve:hun%40ter2@")) == b"hello"
        assert [len(host.seen), host.accepted] == [2, 1]
        with client.open(host.at(login="eve:wrong@"), timeout_s=5) as response:
            assert response.status == 401
        assert len(host.seen) == 4, "a wrong login is sent once"


# -- proxies ---------------------------------------------------------------------------------------------------------


def test_the_proxy_of_the_environment_is_asked(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with hosted(lambda request: send(request, b"by proxy")) as proxy, hosted(send) as host:
        monkeypatch.setenv("http_proxy", f"http://me:swordfish@127.0.0.1:{proxy.port}")
        assert get(client, "http://example.invalid/a?b=1") == b"by proxy"
        ((_, path, headers, _),) = proxy.seen
        assert path == "http://example.invalid/a?b=1" and headers["Host"] == "example.invalid"
        assert headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:swordfish").decode()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert get(client, host.at()) == b"hello"
        monkeypatch.delenv("no_proxy")
        near = Client(proxies=False)
        assert get(near, host.at()) == b"hello"
        near.close()
        assert len(proxy.seen) == 1


def test_https_goes_through_a_tunnel_that_the_proxy_opens(
    client: Client, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    with hosted(lambda request: send(request, b"no", 403)) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        with pytest.raises(RequestFailed, match=r"example.invalid by the proxy 127.0.0.1 cannot be reached .*403"):
            client.open("https://example.invalid/secret?key=swordfish", headers=SECRETS, timeout_s=5)
        ((method, path, headers, _),) = proxy.seen
        assert (method, path) == ("CONNECT", "example.invalid:443")
        assert "swordfish" not in str(headers)


def test_a_tunnel_leads_to_the_server_itself_and_is_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    asked: List[bytes] = []

    def relay(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # either end may be gone by then
            while True:
                data = source.recv(1 << 16)
                if not data:
                    return target.shutdown(socket.SHUT_WR)
                target.sendall(data)

    def talk(sock: socket.socket, number: int) -> None:
        asked.append(request_in(sock))
        host, _, port = asked[-1].split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=relay, args=(far, sock), daemon=True)
            back.start()
            relay(sock, far)
            back.join()

    monkeypatch.setattr(web.Handler, "protocol_version", "HTTP/1.1")
    for site in web.serve_trusted(b"data", certificate, monkeypatch):
        with raw_server(talk) as proxy:
            monkeypatch.delenv("no_proxy")
            monkeypatch.setenv("https_proxy", f"http://me:swordfish@127.0.0.1:{proxy}")
            for _ in range(3):
                assert get(client, site.at(), headers=SECRETS) == b"data"
            client.close()
        assert len(asked) == 1 and len(site.requests) == 3
        assert b"Bearer" not in asked[0] and b"Proxy-Authorization: Basic" in asked[0]
        assert all("Proxy-Authorization" not in headers for headers in site.requests)


# -- bounds and failures ---------------------------------------------------------------------------------------------


def test_too_large_a_body_is_refused(client: Client) -> None:
    with hosted(lambda request: send(request, bytes(1000))) as host:
        with pytest.raises(RequestFailed, match="the body has 1,000 bytes; the limit is 999") as caught:
            get(client, host.at(), 999)
        assert caught.value.kind == "size" and len(get(client, host.at(), 1000)) == 1000

    def endless(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(bytes(1 << 16))

    words = "larger than the limit of 1,000,000 bytes"
    with raw_server(endless) as port, pytest.raises(RequestFailed, match=words):
        get(client, f"http://127.0.0.1:{port}/", 1_000_000)


def test_a_body_that_is_cut_is_no_body(client: Client) -> None:
    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")

    with raw_server(talk) as port, pytest.raises(RequestFailed, match="cut after 5 of 10 bytes"):
        get(client, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("words", "said"),
    [(b"", "did not answer in time: no response for 0.3 s"), (b"HTTP/1.1 200 OK\r\n\r\n1", "nothing came for 0.3 s")],
)
def test_a_silent_server_is_given_up(client: Client, words: bytes, said: str) -> None:
    over = threading.Event()

    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(words)
        over.wait(10)

    with raw_server(talk) as port:
        begun = time.monotonic()
        with pytest.raises(RequestFailed, match=said) as caught:
            get(client, f"http://127.0.0.1:{port}/", timeout_s=0.3)
        assert caught.value.kind == "timeout" and time.monotonic() - begun < 5
        over.set()


OK, CHUNKED = b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b"1"),
        (OK + b"\r\n", b"1"),
        (OK, b"a: b\r\n"),
        (OK + b"a: ", b"b"),
        (b"", b"H"),
        (OK + CHUNKED, b"1\r\n1\r\n"),
        (OK + CHUNKED + b"1;", b"x"),
        (OK + CHUNKED + b"0\r\n", b"a: b\r\n"),
    ],
    ids=["body", "no length", "fields", "field", "status line", "chunks", "chunk size", "trailer"],
)
def test_a_server_that_trickles_is_given_up(client: Client, begin: bytes, more: bytes) -> None:
    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(begin)
        for _ in range(500):
            sock.sendall(more)
            time.sleep(0.02)

    with raw_server(talk) as port:
        begun = time.monotonic()
        with pytest.raises(RequestFailed, match=r"only \d+ bytes came in") as caught:
            get(client, f"http://127.0.0.1:{port}/", timeout_s=0.3)
        assert caught.value.kind == "timeout" and time.monotonic() - begun < 5


def test_what_is_wrong_with_tls_is_a_sentence(
    client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    for site in web.serve(web.Site(b"data"), certificate):
        with pytest.raises(
            RequestFailed, match=r"certificate of localhost is not to be trusted .*clock right\?"
        ) as caught:
            client.open(site.at("/x?token=swordfish"), timeout_s=5)
        assert caught.value.kind == "certificate" and "swordfish" not in str(caught.value) and not site.requests
    with hosted(send) as plain:
        with pytest.raises(RequestFailed, match=r"no connection with 127.0.0.1 \(.*SSL") as caught:
            client.open(plain.at().replace("http:", "https:"), timeout_s=5)
        assert caught.value.kind == "broken"


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        (
            "http://eve:hunter2@127.0.0.1:1/hunter2",
            "unreachable",
            r"127.0.0.1 cannot be reached \(Connection refused\)",
        ),
        ("http://eve:hunter2@nowhere.invalid/hunter2", "host", "no host nowhere.invalid was found"),
        ("http://eve:hunter2@[bad/", "address", "the URL is invalid"),
        ("http://eve:hunter2@x:hunter2/", "address", "the URL is invalid"),
        ("http://eve:hunter2@ho st/", "address", "only URLs of https and http with a host"),
        ("file:///hunter2", "address", "only URLs of https and http with a host"),
        ("hunter2", "address", "only URLs of https and http with a host"),
        ("http://", "address", "only URLs of https and http with a host"),
        ("http://" + "ä" * 70, "address", "the URL is invalid"),
    ],
)
def test_failures_quote_no_login(client: Client, url: str, kind: str, said: str) -> None:
    with pytest.raises(RequestFailed, match=said) as caught:
        client.open(url, timeout_s=5)
    assert caught.value.kind == kind
    assert "hunter2" not in str(caught.value) and "eve" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200]
)
def test_what_is_no_http_is_a_sentence(client: Client, answer: bytes) -> None:
    def talk(sock: socket.socket, number: int) -> None:
        request_in(sock)
        sock.sendall(answer)

    with raw_server(talk) as port:
        with pytest.raises(RequestFailed, match="the connection broke") as caught:
            get(client, f"http://127.0.0.1:{port}/")
        assert caught.value.kind == "broken"


def test_a_header_cannot_be_smuggled_in(client: Client) -> None:
    with hosted(send) as host:
        with pytest.raises(RequestFailed, match="the connection broke"):
            client.open(host.at(), headers={"X": "1\r\nY: 2"}, timeout_s=5)
        get(client, host.at("/ä b%20c?x=\r\nEvil:1"))
        assert [(path, "Evil" in headers) for _, path, headers, _ in host.seen][-1][1] is False


# -- its users -------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_client(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client of the process, of this test alone."""
    http.shared_client.cache_clear()
    monkeypatch.setenv("no_proxy", "*")
    return http.shared_client()


def test_images_of_a_web_server_come_over_one_connection(own_client: Client) -> None:
    with hosted(lambda request: send(request, media.jpeg(media.scene(0)))) as host:
        for number in range(3):
            (frame,) = sources.open(host.at(f"/{number}.jpg"))
            assert frame.image.shape == (120, 160, 3)
        assert (host.accepted, len(host.seen)) == (1, 3)
    own_client.close()


def test_images_follow_the_rules_of_redirects_and_size(own_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg = media.jpeg(media.scene(0))
    with hosted(lambda request: send(request, jpeg)) as other:
        with hosted(lambda request: send(request, code=302, Location=other.at("/b.jpg"))) as host:
            (frame,) = sources.open(host.at("/a.jpg", "eve:hunter2@"))
            assert frame.image.shape == (120, 160, 3) and "Authorization" not in other.seen[0][2]
        to_file = hosted(lambda request: send(request, code=302, Location="file:///etc/passwd"))
        with to_file as host, pytest.raises(SourceError, match="only URLs of"):
            sources.open(host.at("/a.jpg"))
        monkeypatch.setattr("edgecsp.media.sources.network.MAX_BYTES", len(jpeg) - 1)
        with pytest.raises(SourceError, match=r"cannot open http://127.0.0.1:\d+/c.jpg: the body has .* the limit is"):
            sources.open(other.at("/c.jpg"))
    own_client.close()


def test_files_of_one_server_are_downloaded_over_one_connection(
    own_client: Client, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(web.Handler, "protocol_version", "HTTP/1.1")
    connections: List[Any] = []
    real = _http_connections.connect
    monkeypatch.setattr(http, "connect", lambda *words: connections.append(words) or real(*words))
    for site in web.serve_trusted(bytes(100_000), certificate, monkeypatch):
        for name in "abc":
            download.download(site.at(f"/{name}"), tmp_path / name)
            assert (tmp_path / name).read_bytes() == bytes(100_000)
        assert (len(connections), len(site.requests)) == (1, 3)
    own_client.close()


def test_errors_of_a_download_quote_no_login(own_client: Client, tmp_path: Path) -> None:
    url = "https://eve:hunter2@127.0.0.1:1/weights/x.weights?token=hunter2"
    with pytest.raises(
        SourceError, match=r"cannot download https://127.0.0.1:1/weights/x.weights\?token=\*\*\*"
    ) as caught:
        download.download(url, tmp_path / "x", patience=download.Patience(timeout_s=1, tries=1))
    assert "hunter2" not in str(caught.value)
