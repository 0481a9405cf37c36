"""Lines and zones on the page, in a real browser before a real server with the demo video: drawn by mouse, finger and
keyboard, counted, saved, there after a reload; their events with images and clips.

Debian: chromium
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from edgecsp import pipeline
from edgecsp.serve import site, streams
from edgecsp.serve.areas import StreamAreas
from edgecsp.serve.event_store import EventStore
from edgecsp.serve.live import StreamState
from edgecsp.serve.recorder import Recorder
from support import chromium, served
from support.repository import REPO

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
SITE = f"""
[[streams]]
name = "desk"
title = "Desk"
source = "{(REPO / "benchmarks" / "codes.mp4").as_posix()}"
track = true
editable = true

[events]
folder = "events"
before_s = 1.0
after_s = 1.0
"""
Opened = Tuple[chromium.Page, served.Site, Path]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A page with the demo video, whose lines and zones may be changed, and a stream where they may not."""
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "site.toml").write_text(SITE)
    model, loaded = pipeline.load().model, site.load(folder / "site.toml")
    views = [*loaded.views(model), StreamState("1", "fixed", title="Fixed", areas=StreamAreas("fixed"))]
    with ExitStack() as stack:
        store = EventStore(folder / "events")
        stack.callback(store.close)
        running = stack.enter_context(served.served(model, views, event_store=store))
        recorder = Recorder(store, running.bus, before_s=1.0, after_s=1.0)
        recorder.start()
        stack.callback(recorder.close)
        stack.enter_context(streams.Streams(views[:1], running.pool, running.bus, recorder=recorder))
        url = f"http://127.0.0.1:{running.port}/"
        page = stack.enter_context(chromium.opened(url, folder / "profile", 1280))
        wait_for(page, "document.querySelector('.card img')?.naturalWidth === 640")
        yield page, running, folder


def wait_for(page: chromium.Page, script: str, within_s: float = 20.0) -> Any:
    end = time.monotonic() + within_s
    while not (value := page.value(script)):
        assert time.monotonic() < end, script
        time.sleep(0.1)
    return value


def place(page: chromium.Page, x: float, y: float) -> Tuple[float, float]:
    """The place in the window of a point of the first stream's image."""
    left, top, width, height = page.value(
        "(box => [box.left, box.top, box.width, box.height])(document.querySelector('.stage').getBoundingClientRect())"
    )
    return left + x * width, top + y * height


def click(page: chromium.Page, selector: str, number: int = 0) -> None:
    page.value(f"document.querySelectorAll({selector!r})[{number}].click()")


def edit(page: chromium.Page) -> None:
    page.value("document.querySelector('.areas').open = true")
    click(page, ".edit")
    wait_for(page, "!!document.querySelector('.card.editing')")


def saved(page: chromium.Page) -> None:
    click(page, ".save")
    wait_for(page, "!document.querySelector('.card.editing')")


def areas(running: served.Site) -> Dict[str, Any]:
    answer: Dict[str, Any] = running.ask("/api/streams/desk/areas").json
    return answer


def active(page: chromium.Page) -> str:
    return str(page.value("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))


def near(points: List[List[float]], expected: List[Tuple[float, float]]) -> bool:
    return len(points) == len(expected) and all(
        abs(a - b) < 0.006 for one, other in zip(points, expected) for a, b in zip(one, other)
    )


def test_a_zone_is_drawn_counts_and_is_there_after_a_reload(opened: Opened) -> None:
    page, running, folder = opened
    edit(page)
    click(page, ".add[value=zone]")
    page.drag(place(page, 0.05, 0.1), place(page, 0.5, 0.5), place(page, 0.95, 0.9))
    name = "document.querySelector('.fields input')"
    page.value(f"{name}.value = 'table'; {name}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    saved(page)
    (zone,) = areas(running)["zones"]
    assert zone["name"] == "table"
    assert near(zone["points"], [(0.05, 0.1), (0.95, 0.1), (0.95, 0.9), (0.05, 0.9)])
    assert "table" in (folder / "site.areas.json").read_text("utf-8")
    row = "document.querySelector('.counts li').innerText"
    seen = set()
    wait_for(page, "Number(document.querySelector('.counts li dd:last-child')?.textContent) >= 0")
    end = time.monotonic() + 25
    while len(seen) < 2 and time.monotonic() < end:
        seen.add(page.value("document.querySelectorAll('.counts dd')[1].textContent"))
        time.sleep(0.3)
    assert len(seen) >= 2 and page.value(row).startswith("table"), "the count of those that entered changes"
    page.call("Page.reload")
    wait_for(page, "document.querySelector('.stage .shape.zone')?.getAttribute('d')")
    assert wait_for(page, "document.querySelector('.stage .tag').textContent").startswith("table: ")
    wait_for(page, f"{row}.startsWith('table')")


def test_by_keyboard_alone(opened: Opened) -> None:
    page, running, _ = opened
    page.value("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(25):
        page.press("Tab")
        if page.value("document.activeElement.className").startswith("edit"):
            break
    assert active(page) == "Edit"
    page.press("Enter")
    wait_for(page, "document.activeElement.value === 'line'")
    page.press("Enter")  # a line from 40 % to 60 %
    assert active(page).startswith("Cursor at 50 % across, 50 % down")
    page.press("ArrowLeft", 10)
    page.press("Enter")
    page.press("ArrowRight", 20)
    page.press("Enter")
    assert active(page).startswith("line line-1")
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus can be seen"
    page.press("ArrowDown", 5)
    page.press("Tab")
    assert active(page) == "line-1, start: 40 % across, 55 % down"
    page.press("ArrowUp", 3)
    page.press("Escape")
    assert active(page) == "line-1, start: 40 % across, 55 % down", "back where it was"
    page.press("ArrowLeft")
    page.press("Delete")
    assert "needs 2 points" in page.value("document.querySelector('.hint').textContent")
    for _ in range(30):
        page.press("Tab")
        if active(page) == "Save":
            break
    page.press("Enter")
    wait_for(page, "!document.querySelector('.card.editing')")
    assert active(page) == "Edit", "the focus is not lost"
    lines = areas(running)["lines"]
    assert [each["name"] for each in lines] == ["line-1"] and near(lines[0]["points"], [(0.39, 0.55), (0.6, 0.55)])
    assert [each["name"] for each in areas(running)["zones"]] == ["table"], "the other one stays"
    edit(page)
    page.value("document.querySelector('button.tag').focus()")
    page.press("Delete")
    assert page.value("document.querySelectorAll('.shape.line').length") == 0
    page.value("document.querySelector('.discard').focus()")
    page.press("Enter")
    assert page.value("document.querySelectorAll('.shape.line').length") == 1, "nothing was saved"


def test_with_a_finger_on_a_phone(opened: Opened) -> None:
    page, running, _ = opened
    page.resize(390, touch=True)
    edit(page)
    scrolled = page.value("scrollY")
    click(page, ".add[value=zone]")
    corners = [(0.1, 0.2), (0.4, 0.2), (0.4, 0.6)]
    for corner in corners:
        page.touch(place(page, *corner))
    page.press("Escape")
    assert "Nothing was added" in page.value("document.querySelector('.hint').textContent")
    click(page, ".add[value=zone]")
    for corner in corners:
        page.touch(place(page, *corner))
    click(page, ".finish")
    page.touch(place(page, *corners[2]), place(page, 0.3, 0.7), place(page, 0.25, 0.75))
    page.touch(place(page, 0.25, 0.2), place(page, 0.25, 0.1))  # between two corners: a corner more
    assert page.value("document.documentElement.scrollWidth") <= 390
    assert page.value("scrollY") == scrolled, "a finger that draws does not scroll"
    saved(page)
    zone = next(each for each in areas(running)["zones"] if each["name"] == "zone-1")
    assert near(zone["points"], [(0.1, 0.2), (0.25, 0.1), (0.4, 0.2), (0.25, 0.75)])
    page.resize(1280)


def test_events_come_and_a_clip_plays(opened: Opened) -> None:
    page, running, _ = opened
    first = wait_for(page, "document.querySelector('#events-list li')?.dataset.id")
    wait_for(page, f"document.querySelector('#events-list li').dataset.id !== '{first}'")  # without a reload
    times = page.value("[...document.querySelectorAll('#events-list time')].map(each => each.dateTime)")
    assert times == sorted(times, reverse=True) and len(times) >= 2
    assert "table" in page.value("document.querySelector('#events-list').innerText")
    wait_for(page, "[...document.querySelectorAll('.thumb img')].some(each => each.naturalWidth > 0)")
    wait_for(page, "!!document.querySelector('.thumb.has-clip')", 30)
    click(page, ".thumb.has-clip")
    video = "document.querySelector('#player video')"
    wait_for(page, f"{video}.currentTime > 0.2 && {video}.videoWidth === 640")
    assert page.value("document.querySelector('#player .wrong').textContent") == ""
    page.press("Escape")
    wait_for(page, f"!document.querySelector('#player').open && !{video}.hasAttribute('src')")
    kind = "document.querySelector('#events-kind')"
    page.value(f"{kind}.value = 'leave'; {kind}.dispatchEvent(new Event('change'))")
    wait_for(page, "[...document.querySelectorAll('.what')].every(each => each.textContent.includes(' left '))")
    asked = [each["request"]["url"] for each in page.received("Network.requestWillBeSent")]
    assert {each.split("/")[2] for each in asked if each.startswith("http")} == {f"127.0.0.1:{running.port}"}, (
        "nothing comes from elsewhere"
    )
    assert {each.split("/", 3)[3] for each in asked if "/events?" in each and "/api/" not in each} == {
        "events?type=area"
    }, "not every detection of every stream"
    assert page.complaints() == []


def test_a_fixed_site_file_gives_its_text(opened: Opened, tmp_path: Path) -> None:
    page, running, _ = opened
    card = "document.querySelectorAll('.card')[1]"
    page.value(f"{card}.querySelector('.areas').open = true; {card}.querySelector('.edit').click()")
    wait_for(page, f"{card}.classList.contains('editing')")
    page.value(f"{card}.querySelector('.add').click()")
    page.press("Enter")
    page.press("ArrowRight", 4)
    page.press("Enter")
    page.value(f"{card}.querySelector('.save').click()")
    text = wait_for(page, f"{card}.querySelector('.paste textarea').value")
    place_of_text = tmp_path / "site.toml"
    place_of_text.write_text(f'[[streams]]\nname = "fixed"\nsource = "1"\ntrack = true\n{text}')
    (line,) = site.load(place_of_text).stream_configs[0].lines
    assert (line["name"], [list(each) for each in line["points"]]) == ("line-1", [[0.5, 0.5], [0.54, 0.5]])
    assert "editable = true" in page.value(f"{card}.querySelector('.area-wrong').textContent")
    page.value(f"{card}.querySelector('.copy').click()")
    wait_for(page, f"{card}.querySelector('.copy').textContent !== 'Copy'")
    assert page.value("getSelection().toString() || document.activeElement.value").strip() == text.strip()
    assert running.ask("/api/streams/fixed/areas").json["lines"] == []
