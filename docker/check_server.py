"""Ask a server in an image, from outside of it, what a caller and a person ask; exits with 1 at what is wrong.

    python3 docker/check_server.py http://127.0.0.1:PORT TOKEN_FILE [--after EVENT_ID] [--browser]

The site that it serves is docker/check-site.toml: the demo video with a line and a zone, an event store, and a broker
that does not answer. The last line printed is the id of the newest event; `--after` wants that one to be there
still, and the messages that waited for the broker, after a restart. `--browser` opens the page in Chromium.
Only the standard library, and tests/support/chromium.py: docker/check-build runs it with whatever Python is there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Optional, Tuple

REPO = Path(__file__).resolve().parents[1]
WITHIN_S = 120.0
DRAWN = "drawn"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """A server at a URL, and the token that it wants."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self._token = url, token

    def ask(
        self, path: str, body: Optional[bytes] = None, *, kind: str = "", token: bool = True, method: str = ""
    ) -> Tuple[int, bytes]:
        """The status and the body of an answer; 0 when nobody answers."""
        request = urllib.request.Request(self.url + path, body, method=method or None)
        if token:
            request.add_header("Authorization", f"Bearer {self._token}")
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with DIRECT.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def json(self, path: str, body: Optional[bytes] = None, kind: str = "") -> Any:
        """An answer that must be there, as JSON."""
        status, text = self.ask(path, body, kind=kind)
        expect(status == 200, f"{path} answers {status}: {text[:300]!r}")
        return json.loads(text)


def expect(true: Any, otherwise: str) -> None:
    """Exit with 1 and a reason unless something is true."""
    if not true:
        sys.exit(f"docker/check_server.py: {otherwise}")


def eventually(read: Any, otherwise: str) -> Any:
    """The first true value within two minutes; exits when there is none."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        value = read()
        if value:
            return value
        time.sleep(0.25)
    return expect(None, f"{otherwise} within {WITHIN_S:.0f} s")


def check_detection(server: Server) -> None:
    """A frame of the stream goes in as an image, its boxes come out; without the token none do."""
    image = eventually(lambda: first_image(server), "the stream gave no image")
    for path in ("/v1/detect", "/api/state", "/metrics"):
        expect(server.ask(path, token=False)[0] == 401, f"{path} answers without the token")

    def boxes() -> Any:
        return server.json("/v1/detect", image, "image/jpeg")["detections"]

    expect(all({"label", "score", "xyxy"} <= set(each) for each in boxes()), "a box has no label, score or xyxy")
    expect(boxes(), "no object was found in a frame of the demo video")
    print(f"POST /v1/detect: {len(boxes())} boxes")


def first_image(server: Server) -> bytes:
    """The stream's newest image with objects in it; empty while there is none."""
    (stream,) = server.json("/api/streams")["streams"]
    status, image = server.ask(f"/api/streams/{stream['name']}/picture.jpg")
    found = server.json("/v1/detect", image, "image/jpeg")["detections"] if status == 200 else []
    return image if found else b""


def check_stored(server: Server, after: str) -> str:
    """Events are stored and messages wait; with `after`, those of before the restart, too. The newest event's id."""
    if after:
        status, snapshot = server.ask(f"/api/events/{after}/snapshot.jpg")
        expect(status == 200 and snapshot[:2] == b"\xff\xd8", f"event {after} is gone after the restart: {status}")

    def waiting() -> float:
        found = re.search(r"^edgecsp_mqtt_messages_waiting (\S+)", server.ask("/metrics")[1].decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    eventually(waiting, "no message waits for the broker that is away")
    newest = eventually(lambda: server.json("/api/events?limit=1")["events"], "no event of a line or zone was stored")
    print(f"events are stored, {waiting():.0f} messages wait" + (", and those of before the restart" if after else ""))
    return str(newest[0]["id"])


def check_areas(server: Server, after: str) -> None:
    """A line is drawn, and saved: after the restart it is there, though the site file's folder is read-only."""
    path = "/api/streams/demo/areas"
    if not after:
        line = {"name": DRAWN, "points": [[0.0, 0.5], [1.0, 0.5]]}
        shown = server.json(path)
        change = {"lines": [*shown["lines"], line], "zones": shown["zones"]}
        status, text = server.ask(path, json.dumps(change).encode(), kind="application/json", method="PUT")
        expect(status == 200, f"PUT {path} answers {status}: {text[:300]!r}")
    names = [line["name"] for line in server.json(path)["lines"]]
    expect(DRAWN in names, f"the line that was drawn is gone after the restart; there are {names}")
    print("a line was drawn" + (" before the restart and is there" if after else ""))


def check_page(server: Server, token: str) -> None:
    """The page in a browser: logs in, shows the stream and its moving image, complains of nothing."""
    sys.path.insert(0, str(REPO / "tests"))
    from support import chromium

    if chromium.PROGRAM is None:
        print("the page was not opened: no chromium here (Debian: chromium)")
        return
    with tempfile.TemporaryDirectory() as profile, chromium.opened(server.url + "/", Path(profile)) as page:
        eventually(lambda: page.value("!!document.querySelector('form input')"), "the page asks for no token")
        page.value(f"document.querySelector('input').value = {json.dumps(token)}")
        page.value("document.querySelector('form').requestSubmit()")
        shown = "[...document.querySelectorAll('#streams img, #streams video, #streams canvas')]"
        moving = f"{shown}.some(each => (each.naturalWidth || each.videoWidth || each.width) > 100)"
        eventually(lambda: page.value(f"!!document.querySelector('#streams') && {moving}"), "the page shows no image")
        # What the address answers before the login, and a browser's hints about forms, are no complaints.
        wrong = [text for text in page.complaints() if "401" not in text and not text.startswith("[DOM]")]
        expect(not wrong, f"the page complains: {wrong}")
        print(f"the page in Chromium shows {page.value('document.title')!r} and its stream")


def main() -> None:
    """Check, and print the newest event's id."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("token", type=Path)
    parser.add_argument("--after", default="")
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    token = given.token.read_text("utf-8").strip()
    server = Server(given.url, token)
    eventually(lambda: server.ask("/v2/health/ready", token=False)[0] == 200, "the server is not ready")
    check_detection(server)
    if given.browser:
        check_page(server, token)
    check_areas(server, given.after)
    print(check_stored(server, given.after))


if __name__ == "__main__":
    main()
