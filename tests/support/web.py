"""A web server in a thread, over TLS, that misbehaves as it is told."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import pytest


class Site:
    """Serves `data` at any path, by these rules; `requests` are the headers that came.

    `cuts`: the next responses end after so many bytes. `answers`: the next responses are these codes. `to`: redirects
    by path. `page`: sent in the file's place unless the query says confirm. `pace_s`: seconds between
    pieces of `piece` bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.etag: Optional[str] = '"one"'
        self.ranges = True
        self.length = True
        self.cuts: List[int] = []
        self.answers: List[int] = []
        self.headers: Dict[str, str] = {}
        self.to: Dict[str, str] = {}
        self.page = b""
        self.piece, self.pace_s = 1 << 14, 0.0
        self.requests: List[Dict[str, str]] = []
        self.stopped = threading.Event()
        self.url = ""

    def at(self, path: str = "/x.weights") -> str:
        return self.url + path

    @property
    def requested_ranges(self) -> List[Optional[str]]:
        """The ranges that were asked for, None for the whole file."""
        return [headers.get("Range") for headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.requests.append(dict(self.headers))
        if self.path in site.to:
            return self.start(302, {"Location": site.to[self.path]})
        if site.answers:
            return self.start(site.answers.pop(0), site.headers)
        if site.page and "confirm=yes" not in self.path:
            self.start(200, {"Content-Type": "text/html; charset=utf-8"})
            self.wfile.write(site.page)
            return None
        return self.send()

    def start(self, code: int, headers: Dict[str, str]) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def send(self) -> None:
        site, size = self.site, len(self.site.data)
        first = self.first()
        if first is not None and first >= size:
            return self.start(416, {"Content-Range": f"bytes */{size}"})
        headers = {"Content-Type": "application/octet-stream", **({"ETag": site.etag} if site.etag else {})}
        body = site.data[first or 0 :]
        if site.length:
            headers["Content-Length"] = str(len(body))
        if first is not None:
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self.start(200 if first is None else 206, headers)
        body = body[: site.cuts.pop(0)] if site.cuts else body
        for at in range(0, len(body), site.piece):
            self.wfile.write(body[at : at + site.piece])
            if site.pace_s and site.stopped.wait(site.pace_s):
                return None
        return None

    def first(self) -> Optional[int]:
        requested, version = self.headers.get("Range"), self.headers.get("If-Range")
        if not (requested and self.site.ranges) or (version and version != self.site.etag):
            return None
        return int(requested[len("bytes=") : -1])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that hangs up is what these tests are about


def serve(site: Site, certificate: Optional[Path]) -> Iterator[Site]:
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(certificate), str(certificate.with_suffix(".key")))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield site
    site.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


def serve_trusted(data: bytes, certificate: Path, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve over TLS to a client that trusts the certificate and asks no proxy."""
    patch.setenv("SSL_CERT_FILE", str(certificate))
    patch.setenv("no_proxy", "*")
    yield from serve(Site(data), certificate)


def make_certificate(folder: Path) -> Path:
    """A certificate for localhost that signs itself; beside it, its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl command to make a certificate with")
    pem = folder / "localhost.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3",
         "-subj", "/CN=localhost", "-addext", names, "-keyout", str(pem.with_suffix(".key")), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    return pem
