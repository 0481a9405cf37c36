"""Headless Chromium, driven through its debugging pipe: no port, no driver, nothing but what Debian's package has."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITHIN_S = 60.0


class Page:
    """An open page. `events` is everything the browser has told, in its protocol's words."""

    def __init__(self, out: int, back: int) -> None:
        self._out, self._back, self._rest, self._number = out, back, b"", 0
        self.session: Optional[str] = None
        self.events: List[Dict[str, Any]] = []
        self._answers: Dict[int, Dict[str, Any]] = {}  # that nobody has taken yet

    def call(self, method: str, **params: Any) -> Dict[str, Any]:
        """Ask, and wait for the answer."""
        return self._answer(self._ask(method, params))

    def _ask(self, method: str, params: Dict[str, Any]) -> Tuple[int, str]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._number, method

    def _answer(self, question: Tuple[int, str]) -> Dict[str, Any]:
        number, method = question
        while number not in self._answers:
            answer = self._next()
            if "id" in answer:
                self._answers[answer["id"]] = answer
            else:
                self.events.append(answer)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def until(self, method: str) -> None:
        """Wait for an event."""
        while all(event["method"] != method for event in self.events):
            self.events.append(self._next())

    def value(self, script: str) -> Any:
        """Evaluate an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def received(self, method: str) -> List[Dict[str, Any]]:
        """The events of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]

    def complaints(self) -> List[str]:
        """Messages of the console, and exceptions that nobody caught."""
        self.value("new Promise(done => setTimeout(done, 50))")  # what is on its way arrives
        logged = [event["entry"]["text"] for event in self.received("Log.entryAdded")]
        spoken = [str(event["args"]) for event in self.received("Runtime.consoleAPICalled")]
        thrown = [str(event["exceptionDetails"]) for event in self.received("Runtime.exceptionThrown")]
        return logged + spoken + thrown

    # -- what a person does

    def press(self, key: str, times: int = 1) -> None:
        """Press a key, by its name in KeyboardEvent.key, so many times; the browser takes them in their order.

        They are all sent before the first is waited for: each is answered when the page has had it, which is a frame
        later, and a page with a video has few frames on a busy machine.
        """
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "Delete": 46, " ": 32}.get(key, 0)
        text = {"text": {"Enter": "\r"}.get(key, key)} if key == "Enter" or len(key) == 1 else {}
        down = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, **text}
        up = {"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}
        for question in [self._ask("Input.dispatchKeyEvent", each) for _ in range(times) for each in (down, up)]:
            self._answer(question)

    def drag(self, *places: Tuple[float, float]) -> None:
        """Press the mouse at the first place, move it over the others, release it at the last."""
        (x, y), (end_x, end_y) = places[0], places[-1]
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        for x, y in places[1:]:
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end_x, y=end_y, button="left", clickCount=1)

    def touch(self, *places: Tuple[float, float]) -> None:
        """The same with a finger; one place is a tap."""
        for number, (x, y) in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def resize(self, width: int, touch: bool = False) -> None:
        """Another width of the window; `touch`: of a device with a touch screen."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def _next(self) -> Dict[str, Any]:
        end = time.monotonic() + WITHIN_S
        while b"\0" not in self._rest:
            if not select.select([self._back], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"chromium told nothing within {WITHIN_S:.0f} s")
            data = os.read(self._back, 1 << 16)
            assert data, "chromium has gone"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)


@contextlib.contextmanager
def opened(place: Union[Path, str], profile: Path, width: int = 1200, dark: bool = False) -> Iterator[Page]:
    """A file in a browser that has no network, or a URL in one that has; everything it says is kept."""
    assert PROGRAM
    theirs, out = os.pipe()
    back, writer = os.pipe()
    # The browser reads the protocol on 3 and writes it on 4: ours are moved there, by way of numbers far off.
    script = (
        f"import fcntl, os, sys; a, b = (fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in ({theirs}, {writer})); "
        "os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [
        sys.executable, "-c", script, PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
    ]  # fmt: skip
    quiet: Dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    browser = subprocess.Popen(command, start_new_session=True, pass_fds=(theirs, writer), **quiet)
    os.close(theirs)
    os.close(writer)
    try:
        page = Page(out, back)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        if isinstance(place, Path):
            none = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            page.call("Network.emulateNetworkConditions", **none)
        page.resize(width)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.call("Page.navigate", url=place.as_uri() if isinstance(place, Path) else place)
        page.until("Page.loadEventFired")
        yield page
    finally:
        os.killpg(browser.pid, signal.SIGKILL)  # its helpers too, before the profile is cleared
        browser.wait()
        os.close(out)
        os.close(back)
