"""Lines, zones, events and clips over HTTP: changed where the site file allows it, in bounds, behind the token."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Dict, Iterator, List

import pytest

from edgecsp.errors import OutputError
from edgecsp.serve import area_schemas, areas, events, schemas
from edgecsp.serve.areas import StreamAreas
from edgecsp.serve.event_store import EventStore
from edgecsp.serve.live import StreamState
from edgecsp.serve.schema import find_mismatch
from edgecsp.track import Line, Zone
from edgecsp.track.areas import SETTLE_S
from edgecsp.types import Tracks
from support import crossing, served
from support.tiny import Tiny
from support.watching import detections, frame

LINE = {"name": "gate", "points": [[0.1, 0.5], [0.9, 0.5]]}
ZONE = {"name": "yard", "points": [[0, 0], [0.5, 0], [0.5, 1]], "classes": ["class1"], "dwell_s": 2.5, "max_count": 3}


class Saves:
    """What is to be saved; it fails when told to."""

    def __init__(self) -> None:
        self.kept: List[Any] = []
        self.fails = False

    def __call__(self, lines: Any, zones: Any) -> None:
        if self.fails:
            raise OutputError("cannot write site.areas.json: No space left on device")
        self.kept.append((tuple(lines), tuple(zones)))


@pytest.fixture(scope="module")
def saves() -> Saves:
    return Saves()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    made = EventStore(tmp_path_factory.mktemp("events"))
    for kind in ("cross", "enter"):
        event = crossing.event(kind=kind)
        made.add(event)
        made.add_file([event["id"]], "clip", lambda path: path.write_bytes(bytes(range(200))))
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(tiny: Tiny, saves: Saves, store: EventStore) -> Iterator[served.Site]:
    views = [
        StreamState("0", "door", areas=crossing.areas(saves)),
        StreamState("1", "yard", areas=crossing.areas(stream="yard")),
        StreamState("2", "attic"),
    ]
    with served.served(tiny.model, views, event_store=store) as running:
        yield running


def put(site: served.Site, stream: str, change: Any) -> served.Answer:
    body = change if isinstance(change, bytes) else json.dumps(change).encode()
    return site.ask(f"/api/streams/{stream}/areas", body, "PUT")


def test_lines_and_zones_are_read_with_their_counts(site: served.Site) -> None:
    answer = site.ask("/api/streams/yard/areas").json
    assert find_mismatch(area_schemas.AREAS, answer, "") == ""
    assert (answer["track"], answer["editable"]) == (True, False)
    assert answer["lines"] == [{
        "name": "gate", "points": [[0, 0.5], [1, 0.5]], "classes": None, "anchor": "center", "cooldown_s": 0,
        "settle_s": SETTLE_S,
    }]  # fmt: skip
    assert answer["zones"][0]["dwell_s"] is None
    assert answer["counts"]["lines"] == {"gate": {"in": {}, "out": {}}}
    untracked = site.ask("/api/streams/attic/areas").json
    assert untracked == {
        "track": False, "editable": False, "lines": [], "zones": [], "counts": {"lines": {}, "zones": {}},
    }  # fmt: skip
    for name, track, editable in (("door", True, True), ("yard", True, False), ("attic", False, False)):
        stream = site.ask(f"/api/streams/{name}").json
        assert (stream["track"], stream["editable"], stream["areas"] is not None) == (track, editable, track)


def test_points_in_pixels_are_shares_once_the_size_is_known(tiny: Tiny) -> None:
    view = StreamState("0", "door", areas=StreamAreas("door", [Line("gate", ((16, 12), (160, 12)))]))
    with served.served(tiny.model, [view]) as site:
        points = lambda: site.ask("/api/streams/door/areas").json["lines"][0]["points"]  # noqa: E731
        assert points() == [[16, 12], [160, 12]]
        view.publish(frame(hw=(120, 160)), detections(1), 1.0)
        assert points() == [[0.1, 0.1], [1, 0.1]]


def test_changes_are_saved_and_counted_from_then_on(site: served.Site, saves: Saves) -> None:
    door = site.views[0].areas
    assert door is not None
    tracks = lambda y: Tracks.of(detections(1, box=(40, y, 60, y + 10)), [1])  # noqa: E731
    for index, y in enumerate(range(0, 110, 5)):
        door.update(frame(index * 3), tracks(y))
    assert door.counts()["lines"]["gate"]["in"] == {"thing": 1}
    unchanged = site.ask("/api/streams/door/areas").json["lines"][0]
    answer = put(site, "door", {"lines": [unchanged, {**LINE, "name": "far gate"}], "zones": [ZONE]})
    assert answer.status == 200, answer.body
    assert answer.json == site.ask("/api/streams/door/areas").json
    assert [each["name"] for each in answer.json["lines"]] == ["gate", "far gate"]
    assert answer.json["lines"][1] == {
        **LINE, "name": "far gate", "classes": None, "anchor": "bottom", "cooldown_s": areas.COOLDOWN_S,
        "settle_s": SETTLE_S,
    }  # fmt: skip
    assert answer.json["counts"]["lines"]["gate"]["in"] == {"thing": 1}, "what did not change goes on"
    assert answer.json["zones"][0]["classes"] == ["class1"]
    assert saves.kept[-1] == (door.lines, door.zones)
    # What is missing stays as it is.
    assert put(site, "door", {"zones": []}).json["lines"] == answer.json["lines"]
    assert put(site, "door", {}).json["zones"] == []


def test_a_disk_that_fails_changes_nothing(site: served.Site, saves: Saves) -> None:
    before = site.ask("/api/streams/door/areas").json
    saves.fails = True
    try:
        answer = put(site, "door", {"lines": []})
    finally:
        saves.fails = False
    assert answer.status == 503 and "No space left on device" in answer.json["error"]
    assert site.ask("/api/streams/door/areas").json["lines"] == before["lines"]


@pytest.mark.parametrize(
    ("stream", "hint"), [("yard", "editable = true"), ("attic", "track = true and editable = true")]
)
def test_where_it_is_not_allowed_there_is_the_text_to_paste(site: served.Site, stream: str, hint: str) -> None:
    answer = put(site, stream, {"lines": [LINE], "zones": [ZONE]})
    assert answer.status == 403
    assert find_mismatch(area_schemas.AREAS_REFUSED, answer.json, "") == ""
    assert hint in answer.json["error"]
    toml: Any = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    pasted = toml.loads(f'[[streams]]\nsource = "0"\n{answer.json["toml"]}')["streams"][0]
    assert pasted == {"source": "0", "lines": [LINE], "zones": [{**ZONE, "points": [[0, 0], [0.5, 0], [0.5, 1]]}]}
    kept = site.ask(f"/api/streams/{stream}/areas").json
    assert [each["name"] for each in kept["zones"]] == ["yard"] * (stream == "yard")


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (b"{", 400, "not valid JSON"),
        ([], 400, "must be a JSON object with lines, zones"),
        ({"line": []}, 400, "unknown list 'line'; known: lines, zones"),
        ({"lines": [{"name": "x"}]}, 400, "lines[0].points is required"),
        ({"lines": [{**LINE, "points": [[0, 0]]}]}, 400, "lines[0].points must be a list of 2"),
        ({"lines": [{**LINE, "points": [[0, 0], [0, 0]]}]}, 400, "line gate: a line has two points that differ"),
        ({"lines": [{**LINE, "points": [[0, 0], [0, "1"]]}]}, 400, "must be a number"),
        ({"lines": [{**LINE, "points": [[0, 0], [0, -1]]}]}, 400, "of at least 0"),
        ({"lines": [{**LINE, "name": "a/+/b"}]}, 400, "a name has letters"),
        ({"lines": [{**LINE, "anchor": "top"}]}, 400, "lines[0].anchor must be one of bottom, center"),
        ({"lines": [{**LINE, "dwell_s": 1}]}, 400, "unknown field of a line 'dwell_s'"),
        ({"lines": [{**LINE, "classes": ["class99"]}]}, 400, "no class of tiny is called 'class99'"),
        ({"lines": [LINE, LINE]}, 400, "two lines or zones are called 'gate'"),
        ({"zones": [{**ZONE, "points": [[0, 0], [1, 1], [0.5, 0.5]]}]}, 400, "an area between them"),
        ({"zones": [{**ZONE, "points": [[0, 0]] * 65}]}, 400, "zones[0].points must be a list"),
        ({"lines": [LINE] * 33}, 400, "lines must be a list"),
        (b"[" * 300_000, 413, "the body is larger than 262144 bytes"),
    ],
)  # fmt: skip
def test_changes_that_are_wrong_are_refused(site: served.Site, change: Any, status: int, words: str) -> None:
    for stream in ("door", "yard"):
        answer = put(site, stream, change)
        assert answer.status == status and words in answer.json["error"], answer.body


def test_events_are_listed_newest_first(site: served.Site, store: EventStore) -> None:
    def ids(query: str) -> List[str]:
        answer = site.ask(f"/api/events{query}")
        assert answer.status == 200 and find_mismatch(area_schemas.EVENTS, answer.json, "") == ""
        return [each["kind"] for each in answer.json["events"]]

    assert ids("") == ["enter", "cross"]
    assert ids("?limit=1") == ["enter"] and ids("?kind=cross&stream=door") == ["cross"]
    assert ids("?stream=yard") == [] and ids("?since=2099-01-01T00:00:00Z") == []
    second, _, fraction = store.latest(1)[0]["time"].partition(".")
    assert ids(f"?since={second}Z&kind=enter") == ["enter"] * (fraction != "000Z")
    assert ids(f"?since={second}.{fraction}") == ids(f"?since={second}.{fraction[:3]}999Z") == []
    for query, words in (
        ("?limit=0", "must be an integer from 1 to 500"), ("?limit=501", "must be"),
        ("?kind=x", "must be one of cross"),
        ("?since=yesterday", "must be only later ones"), ("?streams=door", "unknown parameter 'streams'"),
    ):  # fmt: skip
        answer = site.ask(f"/api/events{query}")
        assert answer.status == 400 and words in answer.json["error"], answer.body


def test_a_clip_comes_whole_or_by_ranges(site: served.Site, store: EventStore) -> None:
    clip = store.latest(1)[0]["clip"]
    whole = site.ask(clip)
    assert (whole.status, whole.headers["content-type"], whole.body) == (200, "video/mp4", bytes(range(200)))
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, status, expected in (
        ("bytes=10-19", 206, bytes(range(10, 20))), ("bytes=190-", 206, bytes(range(190, 200))),
        ("bytes=-5", 206, bytes(range(195, 200))), ("bytes=0-999", 206, bytes(range(200))),
        ("bytes=200-", 416, None), ("bytes=-0", 416, None), ("bytes=0-1,5-9", 200, bytes(range(200))),
        ("bytes=x", 200, bytes(range(200))), ("lines=1-2", 200, bytes(range(200))),
    ):  # fmt: skip
        answer = site.ask(clip, headers={"Range": asked})
        assert answer.status == status, asked
        assert answer.body == expected if expected is not None else "behind the end" in answer.json["error"]
    assert site.ask(clip, headers={"Range": "bytes=10-19"}).headers["content-range"] == "bytes 10-19/200"


@pytest.mark.parametrize("path", ["/api/events/nothing/clip.mp4", "/api/events/..%2f..%2fx/snapshot.jpg"])
def test_what_is_not_there_is_said(site: served.Site, path: str) -> None:
    answer = site.ask(path)
    assert answer.status == 404 and "error" in answer.json


def test_an_event_without_a_snapshot_has_none(site: served.Site, store: EventStore) -> None:
    event_id = store.latest(1)[0]["id"]
    assert store.latest(1)[0]["snapshot"] is None
    answer = site.ask(f"/api/events/{event_id}/snapshot.jpg")
    assert answer.status == 404 and "has no snapshot, or none yet" in answer.json["error"]


def test_all_of_it_is_behind_the_token(tiny: Tiny, store: EventStore) -> None:
    token = "correct-horse-battery-staple"
    view = StreamState("0", "door", areas=crossing.areas())
    with served.served(tiny.model, [view], token=token, event_store=store) as site:
        for path in ("/api/streams/door/areas", "/api/events", str(store.latest(1)[0]["clip"])):
            assert site.ask(path).status == 401
            assert site.ask(path, headers={"Authorization": f"Bearer {token}"}).status == 200
        assert put(site, "door", {}).status == 401


def test_events_reach_listeners_of_the_server(site: served.Site) -> None:
    held, text = site.raw(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    site.bus.publish(events.area({**crossing.event(), "snapshot": None, "clip": None}))
    while b"event: area" not in text or not text.endswith(b"\n\n\r\n"):
        text += held.recv(1 << 16)
    held.close()
    message = json.loads(text.split(b"event: area\ndata: ")[1].split(b"\n")[0])
    from edgecsp.serve import channels

    assert find_mismatch(channels.AREA_MESSAGE, message, "") == ""


def test_the_routes_are_described(site: served.Site) -> None:
    document = site.ask("/openapi.json").json
    for path in ("/api/streams/{name}/areas", "/api/events", "/api/events/{id}/clip.mp4"):
        assert path in document["paths"]
    assert schemas.EVENT_QUERY["limit"].most == 500


def test_toml_and_json_have_the_same_fields() -> None:
    line = Line("gate", ((0.0, 0.0), (1.0, 1.0)), classes=("a", "b"), cooldown_s=areas.COOLDOWN_S)
    zone = Zone("yard", ((0.0, 0.0), (9.0, 1.0), (1.0, 9.5)), anchor="center", dwell_s=3)
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    read: Dict[str, Any] = toml.loads(f"[[streams]]\n{areas.to_toml([line], [zone])}")["streams"][0]
    assert areas.from_dict(Line, read["lines"][0]) == line
    assert areas.from_dict(Zone, {**read["zones"][0], "cooldown_s": 0}) == zone
