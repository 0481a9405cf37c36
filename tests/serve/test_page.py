"""The page in a real browser without a network: streams move, figures and plots are there, controls take effect.

Debian: chromium
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import cv2
import numpy as np
import pytest

from edgecsp import pipeline
from edgecsp.media import draw, sources
from edgecsp.serve import streams
from edgecsp.serve.live import StreamState
from edgecsp.types import Detections
from support import chromium, served
from support.repository import REPO
from support.tiny import Tiny

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
TOKEN = "correct-horse-battery-staple"


def scene(number: int) -> np.ndarray:
    """A street at dusk, more or less, on which something moves."""
    image = np.full((360, 640, 3), (90, 70, 60), np.uint8)
    image[220:] = (60, 60, 62)
    for lane, colour in enumerate(((60, 60, 200), (200, 160, 60), (70, 170, 90))):
        x = (number * (6 + 3 * lane) + lane * 230) % 760 - 100
        cv2.rectangle(image, (x, 230 + lane * 40), (x + 90, 262 + lane * 40), colour, cv2.FILLED)
    return image


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    views = [StreamState("0", "door", title="Front door"), StreamState("1", "yard", title="Yard")]
    with served.served(tiny.model, views) as running:
        for view in views:
            running.ask(f"/api/streams/{view.name}", b'{"conf": 0.02}', "PUT")
        with served.Camera(views[0], running.pool, scene, 10):
            yield running


def url(site: served.Site, path: str = "/") -> str:
    return f"http://127.0.0.1:{site.port}{path}"


def settled(page: Any, script: str, within_s: float = 15.0) -> Any:
    """The value of an expression once it is true."""
    end = time.monotonic() + within_s
    while True:
        value = page.value(script)
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


def keep(page: Any, name: str) -> None:
    """For people who want to look: EDGECSP_SHOTS=folder."""
    import base64

    if os.environ.get("EDGECSP_SHOTS"):
        data = page.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        (Path(os.environ["EDGECSP_SHOTS"]) / f"{name}.png").write_bytes(base64.b64decode(data))


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_streams_are_shown(site: served.Site, tmp_path: Path, width: int, dark: bool) -> None:
    with chromium.opened(url(site), tmp_path / "profile", width, dark) as page:
        assert settled(page, "document.querySelectorAll('.card').length") == 2
        assert settled(page, "document.querySelector('.card img').naturalWidth") == 640, "it moves"
        assert settled(page, "document.querySelector('.fps').textContent.match(/^[0-9.]+$/) && 1") == 1
        assert page.value("[...document.querySelectorAll('h2')].slice(0, 2).map(each => each.textContent)") == [
            "Front door",
            "Yard",
        ]
        assert settled(page, "document.querySelectorAll('.card .plot path.line').length > 0")
        assert page.value("document.querySelectorAll('.state')[1].textContent") == "connecting"
        assert "ort" in page.value("document.getElementById('facts').textContent")
        assert "tiny" in page.value("document.getElementById('facts').textContent")
        assert page.value("document.documentElement.scrollWidth") <= width
        time.sleep(1.0)
        keep(page, f"page-{width}-{'dark' if dark else 'light'}")
        asked = {said["request"]["url"].split("/")[2] for said in page.received("Network.requestWillBeSent")}
        assert asked == {f"127.0.0.1:{site.port}"}, "nothing comes from elsewhere"
        assert page.complaints() == []


# The colour of the picture on the page at some places of the frame: [[r, g, b], ...].
SAMPLES = """(places => {
  const image = document.querySelector(".card img"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const paint = canvas.getContext("2d", {willReadFrequently: true});
  paint.drawImage(image, 0, 0);
  return places.map(([x, y]) => [...paint.getImageData(x, y, 1, 1).data].slice(0, 3));
})(%s)"""


def sides(found: Detections) -> Tuple[List[List[int]], np.ndarray]:
    """The middles of each box's sides that are within the picture, and the colours they are painted in."""
    places, colours = [], []
    for each in found:
        x0, y0, x1, y1 = (round(v) for v in each.xyxy)
        x, y = (x0 + x1) // 2, (y0 + y1) // 2
        blue, green, red = draw.colour(each.class_id)
        for place in ([x, y1], [x0, y], [x1, y]):  # above is the tag
            places.append(place)
            colours.append((red, green, blue))
    return places, np.array(colours)


def painted(page: Any, places: List[List[int]], colours: np.ndarray) -> float:
    """The share of the places that have their colour, JPEG's blur allowed for."""
    there = np.array(page.value(SAMPLES % json.dumps(places)))
    return float((np.abs(there - colours).max(axis=1) < 90).mean())


def test_boxes_are_where_the_codes_are_and_go_with_the_slider(tmp_path: Path) -> None:
    """The model in the box, and a frame of the demo video."""
    frames = [
        frame.image for frame in itertools.islice(sources.open(str(REPO / "benchmarks" / "codes.mp4")), 0, 60, 10)
    ]
    with pipeline.load(engine="ort", threads=1) as detector:
        results = [detector(frame) for frame in frames]
    at = max(range(len(frames)), key=lambda each: len(results[each]))
    assert len(results[at]) >= 2
    places, colours = sides(results[at])
    view = StreamState("0", "door", title="Front door")
    with served.served(pipeline.load().model, [view]) as site, served.Camera(
        view, site.pool, lambda number: frames[at], 8
    ), chromium.opened(url(site), tmp_path / "profile", 1400) as page:
        wait_for(lambda: page.value("document.querySelector('.card img')?.naturalWidth") == frames[at].shape[1])
        wait_for(lambda: painted(page, places, colours) > 0.9)
        slide = "document.querySelector('[name=conf]')"
        page.value(f"{slide}.value = '1'; {slide}.dispatchEvent(new Event('input', {{bubbles: true}}))")
        wait_for(lambda: painted(page, places, colours) < 0.1)
        assert page.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_film_moves(tmp_path: Path, dark: bool) -> None:
    views = streams.views([str(REPO / "benchmarks" / "codes.mp4")])
    with served.served(pipeline.load().model, views, threads=2, at_once=2) as site, streams.Streams(
        views, site.pool, site.bus
    ), chromium.opened(url(site), tmp_path / "profile", 1280, dark) as page:
        wait_for(lambda: page.value("document.querySelector('.card img')?.naturalWidth") == 640)
        wait_for(lambda: page.value("document.querySelector('.state').textContent") == "live")
        places = [[x, y] for x in range(20, 640, 60) for y in range(20, 480, 60)]
        seen = set()
        for _ in range(6):
            seen.add(json.dumps(page.value(SAMPLES % json.dumps(places))))
            time.sleep(0.4)
        assert len(seen) >= 4, "pixels change"
        wait_for(lambda: page.value("document.querySelectorAll('.legend li:not(.none)').length") >= 1)
        if os.environ.get("EDGECSP_SHOTS"):
            time.sleep(float(os.environ.get("EDGECSP_SHOTS_S", "1")))
        keep(page, f"film-{'dark' if dark else 'light'}")
        assert page.complaints() == []


def test_controls_take_effect_on_the_next_frame(site: served.Site, tmp_path: Path) -> None:
    with chromium.opened(url(site), tmp_path / "profile") as page:
        settled(page, "document.querySelectorAll('.card').length")
        before = site.views[0].settings
        page.value("document.querySelector('.filters').open = true")
        slide = "document.querySelector('[name=conf]')"
        page.value(f"{slide}.value = '0.9'; {slide}.dispatchEvent(new Event('input', {{bubbles: true}}))")
        assert page.value(f"{slide}.previousElementSibling.textContent") == "0.90"
        wait_for(lambda: site.views[0].settings.conf == 0.9)
        page.value("[...document.querySelectorAll('.card:first-child .classes input')][0].click()")
        wait_for(lambda: site.views[0].settings.classes == (1, 2))
        page.value("document.querySelector('.card:first-child .all').click()")
        wait_for(lambda: site.views[0].settings.classes is None)
        page.value("document.querySelector('.card:first-child [type=reset]').click()")
        wait_for(lambda: site.views[0].settings.conf is None)
        keep(page, "controls")
        assert page.complaints() == []
    site.views[0].settings = before


def wait_for(true: Any) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


NAMELESS = """[...document.querySelectorAll("button, input, summary, a, [role=img], img, article")].filter(each =>
  !each.closest("template") && !(each.innerText?.trim() || each.getAttribute("aria-label") || each.labels?.length ||
  each.hasAttribute("alt") || each.textContent.trim())).map(each => each.outerHTML)"""


def test_it_is_used_by_keyboard_and_read_aloud(site: served.Site, tmp_path: Path) -> None:
    with chromium.opened(url(site), tmp_path / "profile") as page:
        settled(page, "document.querySelectorAll('.card').length")
        assert page.value(NAMELESS) == [], "everything has a name"
        tree = page.call("Accessibility.getFullAXTree")["nodes"]
        said = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]}
        assert ("slider", "Confidence threshold") not in said, "closed until it is wanted"
        assert any(role == "image" and "Front door" in name for role, name in said)
        reached = []
        for _ in range(12):
            for kind in ("keyDown", "keyUp"):
                page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            reached.append(page.value("document.activeElement.className || document.activeElement.tagName"))
        assert "wide" in reached and "SUMMARY" in reached and reached[0] == "skip", reached
        assert settled(page, "document.getElementById('announcement').textContent").startswith("Front door: ")
        assert page.value("document.getElementById('announcement').getAttribute('aria-live')") == "polite"


def test_a_picture_is_tried(site: served.Site, tmp_path: Path) -> None:
    with chromium.opened(url(site), tmp_path / "profile") as page:
        settled(page, "document.querySelectorAll('.card').length")
        place = tmp_path / "x.png"
        place.write_bytes(served.encoded(scene(3)))
        node = page.call("DOM.querySelector", nodeId=page.call("DOM.getDocument")["root"]["nodeId"], selector="#file")[
            "nodeId"
        ]
        page.call("DOM.setFileInputFiles", nodeId=node, files=[str(place)])
        said = "document.getElementById('trial-status').textContent"
        assert "640\u00d7360" in settled(page, f"{said}.includes('ms') && {said}")
        assert settled(page, "document.getElementById('canvas').width === 640") is True  # drawn once it is decoded
        assert page.complaints() == []


def test_the_server_goes_and_the_page_says_so(tiny: Tiny, tmp_path: Path) -> None:
    with served.served(tiny.model) as site, chromium.opened(url(site), tmp_path / "profile") as page:
        settled(page, "document.getElementById('facts').textContent")
        keep(page, "empty")
        site.server.close()
        assert settled(page, "!document.getElementById('alarm').hidden") is True


def test_a_token_is_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    with served.served(tiny.model, token=TOKEN) as site, chromium.opened(url(site), tmp_path / "profile") as page:
        assert page.value("document.querySelector('input').type") == "password"
        keep(page, "login")
        page.value(f"document.querySelector('input').value = '{TOKEN}'; document.querySelector('form').requestSubmit()")
        assert settled(page, "document.getElementById('facts')?.textContent.includes('tiny')") is True
        assert TOKEN not in page.value("location.href + document.cookie")


def test_the_docs_are_drawn(site: served.Site, tmp_path: Path) -> None:
    with chromium.opened(url(site, "/docs"), tmp_path / "profile") as page:
        assert settled(page, "document.querySelectorAll('.docs details').length") > 15
        page.value("document.querySelector('.docs details').open = true")
        keep(page, "docs")
        assert page.complaints() == []


def test_more_streams_than_a_browser_has_connections(tiny: Tiny, tmp_path: Path) -> None:
    """Six to a server: the first four streams move, the others are fetched in turns, and there is room to ask."""
    views = [StreamState(str(number), f"cam{number}") for number in range(7)]
    with served.served(tiny.model, views) as site, served.Camera(views[6], site.pool, scene, 8), chromium.opened(
        url(site), tmp_path / "profile", 1400
    ) as page:
        loaded = "[...document.querySelectorAll('.card img')].filter(each => each.naturalWidth).length"
        wait_for(lambda: page.value(loaded) == 7)
        addresses = page.value("[...document.querySelectorAll('.card img')].map(each => each.src.includes('/video'))")
        assert addresses == [True] * 4 + [False] * 3
        places, seen = [[x, 245] for x in range(0, 640, 20)], set()
        last = SAMPLES.replace('querySelector(".card img")', 'querySelector(".card:last-child img")')
        wait_for(lambda: seen.add(json.dumps(page.value(last % json.dumps(places)))) or len(seen) > 3)
        slide = "document.querySelector('.card:last-child [name=conf]')"
        page.value(f"{slide}.value = '0.8'; {slide}.dispatchEvent(new Event('input', {{bubbles: true}}))")
        wait_for(lambda: views[6].settings.conf == 0.8)
        assert page.complaints() == []
