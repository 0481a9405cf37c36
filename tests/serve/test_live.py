"""What there is to be seen, and what happens: once for all who look and listen."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any, List

import cv2
import numpy as np
import pytest

from edgecsp.media import draw
from edgecsp.options import Thresholds
from edgecsp.serve import events
from edgecsp.serve.address import redact_source, short_name
from edgecsp.serve.live import StreamState
from edgecsp.types import Classes
from support.waiting import eventually
from support.watching import LABELS, detections, frame


def decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_the_latest_shot_is_what_is_seen() -> None:
    view = StreamState("clip.mp4", "cam1")
    assert (view.state, view.latest(), view.fps, view.latency_ms) == ("connecting", None, 0.0, None)
    first = view.publish(frame(0), detections(1), 12.0)
    second = view.publish(frame(1), detections(2), 14.0)
    assert view.latest() is second
    assert second.number > first.number
    assert (view.state, view.reason, view.frames) == ("live", "", 2)
    assert view.latency_ms == pytest.approx(13.0)
    assert view.label_counts == {"thing": 2, "other thing": 1}
    assert view.wait(first.number, 0) is second
    begun = time.monotonic()
    assert view.wait(second.number, 0.1) is None
    assert time.monotonic() - begun >= 0.09


def test_waiting_ends_with_the_next_shot() -> None:
    view = StreamState("clip.mp4", "cam1")
    got: List[Any] = []
    thread = threading.Thread(target=lambda: got.append(view.wait(view.number, 10)))
    thread.start()
    shot = view.publish(frame(), detections(0), 1.0)
    thread.join(5)
    assert got == [shot]


def test_whoever_subscribes_hears_of_shots_and_states() -> None:
    view, heard, states = StreamState("clip.mp4", "cam1"), [], []
    view.on_state_change = lambda state, reason: states.append((state, reason))
    view.subscribe(heard.append)
    view.publish(frame(), detections(0), 1.0)
    view.publish(frame(), detections(0), 1.0)
    assert view.set_state("no signal", "pulled out")
    assert not view.set_state("no signal", "pulled out"), "said once"
    view.publish(frame(), detections(0), 1.0)
    assert heard == [1, 2, 3, 4] == list(range(1, view.number + 1))
    assert states == [("live", ""), ("no signal", "pulled out"), ("live", "")]
    view.unsubscribe(heard.append)
    view.publish(frame(), detections(0), 1.0)
    assert len(heard) == 4


def test_a_picture_is_encoded_once_however_many_look() -> None:
    view, encodings = StreamState("clip.mp4", "cam1"), []
    view.observe = lambda stage, seconds: encodings.append(stage)
    view.publish(frame(hw=(720, 1280)), detections(1), 1.0)
    got: List[Any] = []
    threads = [threading.Thread(target=lambda: got.append(view.jpeg())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 10
    assert len({data for _, data in got}) == 1
    assert encodings == ["encode"]
    number = got[0][0]
    view.publish(frame(), detections(1), 1.0)
    assert view.jpeg()[0] > number
    assert encodings == ["encode"] * 2


def test_the_picture_has_the_boxes_and_no_signal_has_no_picture() -> None:
    view = StreamState("clip.mp4", "cam1", title="Front door")
    view.publish(frame(value=200, hw=(720, 1280)), detections(1, box=(100, 100, 600, 500)), 1.0)
    image = decoded(view.jpeg()[1])
    assert image.shape == (720, 1280, 3)
    line = image[490:510, 300:400].reshape(-1, 3).astype(int)  # the lower edge of the box
    assert np.abs(line - draw.colour(0)).sum(1).min() < 90
    assert np.abs(image[520:, 620:].astype(int) - 200).max() < 12, "elsewhere the frame as it was"
    view.set_state("no signal", "the cable was pulled out")
    card = decoded(view.jpeg()[1])
    assert card.shape == image.shape
    assert np.median(card) < 60, "no old picture"
    assert card.max() > 120, "words"
    assert view.latest() is None
    view.publish(frame(value=200), detections(0), 1.0)
    assert np.median(decoded(view.jpeg()[1])) == pytest.approx(200, abs=8)


@pytest.mark.parametrize("hw", [(1, 1), (3000, 20), (64, 4000), (480, 640)])
def test_a_card_for_any_size_of_picture(hw: Any) -> None:
    view = StreamState("clip.mp4", "cam1", title="ä camera with a name that is longer than any picture is wide" * 4)
    view.publish(frame(hw=hw), detections(1), 1.0)
    assert decoded(view.jpeg()[1]).size
    view.set_state("failed", "a reason that goes on and on " * 9)
    assert decoded(view.jpeg()[1]).size


def test_large_pictures_are_made_smaller_and_their_boxes_with_them() -> None:
    view = StreamState("clip.mp4", "cam1")
    view.publish(frame(hw=(2160, 3840), value=0), detections(1, box=(1920, 1080, 3000, 2000)), 1.0)
    image = decoded(view.jpeg()[1])
    assert image.shape == (720, 1280, 3)
    rows, columns = np.nonzero(image.max(2) > 60)
    assert columns.min() == pytest.approx(640, abs=8)
    assert columns.max() == pytest.approx(1000, abs=8)
    assert rows.max() == pytest.approx(667, abs=8)


def test_counts_are_means_by_ten_seconds() -> None:
    now = [1000.0]
    view = StreamState("clip.mp4", "cam1", clock=lambda: now[0])
    view.publish(frame(), detections(1), 1.0)
    view.publish(frame(), detections(3), 1.0)
    now[0] = 1025.0
    view.publish(frame(), detections(0), 1.0)
    counts = view.counts(1)
    assert counts["step_s"] == 10
    assert counts["frames"] == [0, 0, 0, 2, 0, 1]
    assert counts["counts"] == {"thing": [0, 0, 0, 1.5, 0, 0], "other thing": [0, 0, 0, 0.5, 0, 0]}
    now[0] = 9000.0
    assert view.counts(60)["counts"] == {}
    assert len(view.counts(10_000)["frames"]) == 360, "an hour at most"
    for _ in range(2000):
        now[0] += 10
        view.publish(frame(), detections(1), 1.0)
    assert len(view._buckets) == 360, "and no more is kept"


def test_rates_are_those_of_the_last_seconds() -> None:
    now = [0.0]
    view = StreamState("clip.mp4", "cam1", clock=lambda: now[0])
    for _ in range(100):
        now[0] += 0.1
        view.publish(frame(), detections(1), 5.0)
    assert view.fps == pytest.approx(10.0)
    now[0] += 10
    assert (view.fps, view.latency_ms) == (0.0, None)


def test_a_classifier_counts_its_best_class() -> None:
    view = StreamState("clip.mp4", "cam1")
    view.publish(frame(), Classes(np.array([0.8, 0.1], np.float32), np.array([1, 0], np.int32), LABELS), 1.0)
    assert view.label_counts == {"other thing": 1}
    assert decoded(view.jpeg()[1]).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("uri", "says", "title"),
    [
        ("rtsp://eve:hunter2@10.0.0.9/live?password=hunter2", "rtsp://10.0.0.9/live?password=***", "10.0.0.9/live"),
        ("rtsp://eve:hun/ter2@10.0.0.9/live", "rtsp://10.0.0.9/live", "10.0.0.9/live"),
        (
            "gst:rtspsrc location=rtsp://eve:hunter2@cam/s ! decodebin",
            "gst:rtspsrc location=rtsp://cam/s ! decodebin",
            None,
        ),
        ('gst:rtspsrc location=rtsp://c/s user-id=eve user-pw="hun ter2"', None, None),
        ("https://api.example/hook?token=hunter2&x=1", "https://api.example/hook?token=***&x=1", None),
        ("films/street.mp4", "films/street.mp4", "street.mp4"),
        ("0", "0", "camera 0"),
    ],
)
def test_logins_are_not_shown(uri: str, says: Any, title: Any) -> None:
    if says is not None:
        assert redact_source(uri) == says
    if title is not None:
        assert short_name(uri) == title
    view = StreamState(uri, "cam1")
    told = json.dumps(view.to_dict()) + repr(view) + view.title + view.source
    assert not any(secret in told for secret in ("eve", "hunter2", "hun/ter2", "ter2"))


def test_a_name_is_fit_for_a_path() -> None:
    for wrong in ("", "a b", "../x", "-a", "x" * 64, "ä"):
        with pytest.raises(ValueError, match="letters, digits"):
            StreamState("0", wrong)


def test_what_is_described_is_json() -> None:
    view = StreamState("clip.mp4", "cam1", settings=Thresholds(conf=0.4, classes=(1,)))
    view.publish(frame(), detections(1), 1.25)
    said = json.loads(json.dumps(view.to_dict(), allow_nan=False))
    assert said["state"] == "live"
    assert (said["conf"], said["iou"], said["class_ids"]) == (0.4, None, [1])
    assert (said["width"], said["height"], said["latency_ms"]) == (160, 120, 1.25)


# -- events ----------------------------------------------------------------------------------------------------------


def test_events_are_the_rows_of_run_with_a_number_and_a_name() -> None:
    bus = events.Bus()
    with bus.subscribe() as heard:
        bus.publish(events.detections("cam1", frame(7), detections(2)))
        bus.publish(events.state("cam1", "no signal", "gone"))
        first, second = heard.take(), heard.take()
    assert first is not None
    assert second is not None
    assert second["id"] == first["id"] + 1
    assert (first["type"], first["stream"], first["frame"], first["schema"]) == ("detections", "cam1", 7, "edgecsp/1")
    assert first["detections"][0] == {"class_id": 0, "label": "thing", "score": 0.9, "xyxy": [10.0, 20.0, 60.0, 70.0]}
    assert (second["type"], second["state"], second["reason"]) == ("state", "no signal", "gone")


def test_who_is_slow_loses_its_own_oldest() -> None:
    bus = events.Bus()
    slow, quick = bus.subscribe(limit=3), bus.subscribe(limit=100)
    for number in range(10):
        bus.publish({"type": "state", "stream": "cam1", "number": number})
    assert [event["number"] for event in iter(slow.take, None)] == [7, 8, 9]
    assert slow.lost == 7
    assert [event["number"] for event in iter(quick.take, None)] == list(range(10))
    assert quick.lost == 0
    slow.close()
    quick.close()
    assert bus.listeners == 0


def test_an_iteration_ends_when_it_is_closed() -> None:
    bus, got = events.Bus(), []
    listener = bus.subscribe()
    thread = threading.Thread(target=lambda: got.extend(listener))
    thread.start()
    bus.publish({"type": "state", "stream": "cam1"})
    eventually(lambda: got)
    bus.close()
    thread.join(5)
    assert not thread.is_alive()
    bus.publish({"type": "state", "stream": "cam1"})
    assert len(got) == 1
    assert bus.subscribe().closed


def blocks(bus: events.Bus, count: int, **options: Any) -> List[str]:
    async def listen() -> List[str]:
        got: List[str] = []
        stream = events.sse(bus, **options)
        async for block in stream:
            got.append(block)
            if len(got) == count:
                break
        await stream.aclose()
        return got

    return asyncio.run(listen())


def test_server_sent_events_have_id_event_and_data() -> None:
    bus = events.Bus()
    for number in range(3):
        bus.publish({"type": "detections", "stream": "cam1", "number": number})
    first = bus._recent[0]["id"]
    hello, one, two, heartbeat = blocks(bus, 4, after=first, heartbeat_s=0.05)
    assert hello == ": events of edgecsp\nretry: 3000\n\n"
    lines = one.split("\n")
    assert lines[:2] == [f"id: {first + 1}", "event: detections"]
    assert json.loads(lines[2][len("data: ") :])["number"] == 1
    assert lines[3:] == ["", ""]
    assert f"id: {first + 2}\n" in two
    assert heartbeat.startswith(":")
    assert bus.listeners == 0, "who has left is forgotten"


def test_server_sent_events_of_one_type() -> None:
    bus = events.Bus()
    for kind in ("detections", "area", "detections", "area"):
        bus.publish({"type": kind, "stream": "cam1"})
    first = bus._recent[0]["id"]
    _, one, two, heartbeat = blocks(bus, 4, after=first - 1, event_type="area", limit=2, heartbeat_s=0.05)
    assert f"id: {first + 1}\nevent: area\n" in one and f"id: {first + 3}\nevent: area\n" in two
    assert heartbeat.startswith(":"), "the others do not take its room"


def test_server_sent_events_come_from_other_threads_and_end_with_the_bus() -> None:
    bus = events.Bus()

    def happen() -> None:
        eventually(lambda: bus.listeners)
        bus.publish({"type": "state", "stream": "cam1"})
        time.sleep(0.1)
        bus.close()

    thread = threading.Thread(target=happen)
    thread.start()
    got = blocks(bus, 99, heartbeat_s=30)
    thread.join()
    assert len(got) == 2


def test_a_client_that_is_too_slow_is_told_what_it_lost() -> None:
    bus = events.Bus()
    for _ in range(9):
        bus.publish({"type": "state", "stream": "cam1"})
    got = blocks(bus, 4, after=0, limit=2, heartbeat_s=0.05)
    assert 'event: lost\ndata: {"lost": 7}' in got[1]
    assert got[2].startswith("id: ")
