"""What a person reads on the page: the reason of a dead stream, the axis, what a number means, names, all classes.

Debian: chromium
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Iterator, Tuple

import numpy as np
import pytest

from edgecsp.serve.live import StreamState
from edgecsp.types import Detections, Frame, Stream
from support import chromium, served
from support.tiny import Tiny

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
LABELS = ("car", "bus", "van", "cat", "dog", "ox", "elk")
REASON = "cannot open rtsp://10.0.0.9/stream1: Connection refused by the camera; trying again in 8 s"
CARD = "document.querySelectorAll('.card')"


@pytest.fixture(scope="module")
def opened(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuple[chromium.Page, served.Site]]:
    """A page of two streams: one that began twenty seconds ago, one without a signal."""
    now = 10_000.0
    views = [StreamState("0", "door-1", title="Front door", clock=lambda: now), StreamState("1", "yard", title="Yard")]
    image = np.zeros((360, 640, 3), np.uint8)
    boxes = Detections(
        np.tile(np.float32([8, 8, 90, 90]), (9, 1)), np.full(9, 0.9, np.float32), np.int32([0, 0, 0, 1, 2, 3, 4, 5, 6]),
        LABELS,
    )  # fmt: skip
    for second in (0.0, 10.0, 11.0):
        now = 10_000.0 + second
        views[0].publish(
            Frame(image, Stream("door-1", "live", 1.0), int(second), second), boxes[: 6 + 3 * (second > 10)], 3.0
        )
    profile: Path = tmp_path_factory.mktemp("profile")
    with served.served(tiny.model, views) as site:
        views[1].set_state("no signal", REASON)
        with chromium.opened(f"http://127.0.0.1:{site.port}/", profile, 390) as page:
            wait_for(page, f"{CARD}.length === 2 && {CARD}[0].querySelector('img').naturalWidth === 640")
            yield page, site


def wait_for(page: chromium.Page, script: str) -> None:
    end = time.monotonic() + 10
    while not page.value(script):
        assert time.monotonic() < end, script
        time.sleep(0.05)


def text(page: chromium.Page, selector: str, card: int = 0) -> Any:
    return page.value(f"{CARD}[{card}].querySelector('{selector}').innerText")


def test_the_reason_covers_neither_the_image_nor_the_button(opened: Tuple[chromium.Page, served.Site]) -> None:
    page, _ = opened
    assert text(page, ".state", 1) == "no signal"
    assert text(page, ".reason", 1) == REASON
    places = page.value(
        f"""['.pill', '.wide', '.view', '.reason'].map(each => {{
          const box = {CARD}[1].querySelector(each).getBoundingClientRect();
          return [box.left, box.top, box.right, box.bottom];
        }})"""
    )
    pill, button, view, reason = places
    assert pill[2] < button[0] and pill[3] - view[1] < (view[3] - view[1]) * 0.3, "the title begins at a third"
    assert reason[1] >= view[3], "below the image"
    assert page.value(f"{CARD}[0].querySelector('.reason').hidden"), "a live stream has none"


def test_the_chart_has_an_axis_and_is_as_long_as_what_there_is(opened: Tuple[chromium.Page, served.Site]) -> None:
    page, _ = opened
    ticks = page.value(f"[...{CARD}[0].querySelectorAll('.axis span')].map(each => each.textContent)")
    assert ticks == ["4", "2", "0"], "three cars were in view"
    assert text(page, "figcaption") == "Objects in view, last 30 s"
    assert text(page, ".since") == "30 s ago"
    drawn = page.value(f"{CARD}[0].querySelector('.plot path.line').getBBox().width")
    assert drawn > 600 * 0.6, "twenty of thirty seconds"


def test_a_number_says_what_it_is_and_every_class_can_be_read(opened: Tuple[chromium.Page, served.Site]) -> None:
    page, _ = opened
    assert text(page, ".meaning") == "Mean number in view over the last 10 seconds:"
    rows = f"[...{CARD}[0].querySelectorAll('.legend li')].map(each => each.textContent)"
    assert page.value(rows)[0] == "car 3" and len(page.value(rows)) == 5
    more = f"{CARD}[0].querySelector('.more')"
    assert page.value(f"{more}.textContent") == "and 2 more"
    page.value(f"{more}.focus(); {more}.click()")
    assert "elk 0.5" in page.value(rows) and len(page.value(rows)) == 7
    assert page.value(f"{CARD}[0].querySelectorAll('.plot path.line').length") == 7
    time.sleep(1.2)  # the next state came
    assert len(page.value(rows)) == 7 and page.value(f"document.activeElement === {more}")
    assert page.value(f"{more}.getAttribute('aria-expanded')") == "true"
    page.value(f"{more}.click()")
    assert len(page.value(rows)) == 5


def test_the_name_for_the_api_is_there(opened: Tuple[chromium.Page, served.Site]) -> None:
    page, site = opened
    assert text(page, ".api") == "API name: door-1"
    address = page.value(f"{CARD}[0].querySelector('.api a').getAttribute('href')")
    assert site.ask(address).json["name"] == "door-1"


def test_a_page_without_tracks_asks_for_the_state_and_the_images_alone(
    opened: Tuple[chromium.Page, served.Site],
) -> None:
    """Viewers must cost what they did before there were lines and zones."""
    page, _ = opened
    asked = {each["request"]["url"].split("/", 3)[3] for each in page.received("Network.requestWillBeSent")}
    of_streams = {each.split("?")[0] for each in asked if not each.startswith("page/")}
    assert of_streams == {"", "api/state", "api/streams/door-1/video", "api/streams/yard/video"}
    assert page.value("document.getElementById('events').hidden")


def test_the_docs_name_this_server(opened: Tuple[chromium.Page, served.Site]) -> None:
    page, site = opened
    assert page.complaints() == []
    page.call("Page.navigate", url=f"http://127.0.0.1:{site.port}/docs")
    wait_for(page, "document.getElementById('lead')?.textContent")
    assert f" http://127.0.0.1:{site.port}/v1/detect" in page.value("document.getElementById('lead').textContent")
    assert site.ask("/openapi.json", headers={"Host": "localhost:9"}).body.count(b"http://localhost:9/v1/detect") == 1
