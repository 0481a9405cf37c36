"""Streams are watched for ever: paced, opened again, alone in their troubles, and gone without a trace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from edgecsp import pipeline
from edgecsp.errors import EngineFailed, SourceError, UsageError
from edgecsp.media import sources
from edgecsp.options import Thresholds
from edgecsp.serve import events, streams
from edgecsp.serve.inference_pool import InferencePool
from edgecsp.serve.live import StreamState
from edgecsp.serve.retry import Backoff
from support import media
from support.waiting import eventually
from support.watching import Camera, Finds, handles, threads

QUICK: Dict[str, Any] = {"stale_s": 0.4, "backoff": lambda: Backoff(0.02, 0.1)}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.video(tmp_path_factory.mktemp("film") / "street.mp4", 15)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = threads(), handles()
    yield
    eventually(lambda: threads() == before[0])
    assert handles() <= before[1]


def opener(cameras: Dict[str, List[Any]]) -> Callable[[str], sources.Source]:
    """What opens `cameras`: each URI's next one; an error is raised."""

    def opened(uri: str) -> sources.Source:
        if uri not in cameras:
            return sources.open(uri)
        if not cameras[uri]:
            raise SourceError(f"{uri} is away")
        camera = cameras[uri].pop(0)
        if isinstance(camera, Exception):
            raise camera
        return camera

    return opened


def test_a_film_is_paced_and_begins_again(film: Path) -> None:
    """15 frames of a 30th of a second each: half a second. In 1.6 s that is three times, and not faster."""
    (view,), finds, bus = streams.views([str(film)]), Finds(), events.Bus()
    assert (view.name, view.title) == ("cam1", "street.mp4")
    with streams.Streams([view], finds, bus):
        eventually(lambda: view.frames)
        begun, first = time.monotonic(), view.frames + view.dropped
        time.sleep(1.6)
        passed = view.frames + view.dropped - first
        took = time.monotonic() - begun
        assert view.state == "live"
        assert passed <= took * 30 + 3, "a film as fast as a film"
        assert passed > 16, "and again from its beginning"
    assert (view.state, view.reason) == ("ended", "the server is shutting down")
    assert view.reconnects == 0, "a film that begins again was not lost"


def test_a_film_that_is_not_to_begin_again_ends(film: Path) -> None:
    (view,), bus = streams.views([str(film)]), events.Bus()
    with bus.subscribe() as heard, streams.Streams([view], Finds(), bus, loop=False):
        eventually(lambda: view.state == "ended")
        assert view.reason == "the video ended"
        assert view.frames + view.dropped >= 14, "the last frame may have been dropped unseen"
        told = [event for event in iter(heard.take, None) if event["type"] == "state"]
        assert [event["state"] for event in told] == ["live", "ended"]


def test_an_engine_that_is_slow_drops_frames_and_shows_the_newest(film: Path) -> None:
    class Slow(Finds):
        def detect(self, image: Any, settings: Thresholds) -> Any:
            time.sleep(0.2)
            return super().detect(image, settings)

    (view,), bus = streams.views([str(film)]), events.Bus()
    with streams.Streams([view], Slow(), bus):
        eventually(lambda: view.frames >= 5)
        assert view.dropped >= view.frames, "6 frames come while one is computed"
        assert view.latency_ms is not None
        assert view.latency_ms < 1000, "what is shown is the newest, not the next in a queue"


def test_pictures_are_looked_at_a_second_each(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(media.jpeg(media.scene(0)))
    (view,), bus = streams.views([str(tmp_path)]), events.Bus()
    with streams.Streams([view], Finds(), bus, loop=False):
        begun = time.monotonic()
        eventually(lambda: view.state == "ended")
        assert 1.8 < time.monotonic() - begun < 4
        assert view.frames == 2


def test_settings_take_effect_on_the_next_frame() -> None:
    camera, finds = Camera(), Finds()
    view = StreamState("cam", "cam1")
    with streams.Streams([view], finds, events.Bus(), open_source=opener({"cam": [camera]})):
        camera.give()
        eventually(lambda: view.frames == 1)
        view.settings = Thresholds(conf=0.9)
        camera.give()
        eventually(lambda: view.frames == 2)
    assert [settings.conf for settings in finds.settings] == [None, 0.9]


def test_a_dead_camera_leaves_the_rest_alone(film: Path) -> None:
    views = [
        StreamState("rtsp://eve:hunter2@127.0.0.1:1/x", "dead"),
        StreamState(str(film), "film"),
        StreamState("bug", "odd"),
    ]
    bus = events.Bus()
    with bus.subscribe() as heard, streams.Streams(
        views, Finds(), bus, open_source=opener({"bug": [ZeroDivisionError("oops")] * 999}), **QUICK
    ):
        eventually(lambda: [view.state for view in views] == ["no signal", "live", "no signal"])
        assert views[0].reason.startswith("cannot open rtsp://127.0.0.1:1/x: ")
        assert "oops" in views[2].reason
        before = views[1].frames
        eventually(lambda: views[1].frames > before + 5)
        told = str(list(iter(heard.take, None))) + str([view.to_dict() for view in views])
    assert "hunter2" not in told
    assert "eve" not in told


def test_a_camera_that_breaks_off_comes_back() -> None:
    cameras = [Camera(), SourceError("still away"), SourceError("still away"), Camera()]
    first, last = cameras[0], cameras[3]
    view, bus = StreamState("cam", "cam1"), events.Bus()
    with bus.subscribe() as heard, streams.Streams(
        [view], Finds(), bus, open_source=opener({"cam": list(cameras)}), **QUICK
    ):
        first.give()  # type: ignore[union-attr]
        eventually(lambda: view.state == "live")
        first.breaks(SourceError("it broke off"))  # type: ignore[union-attr]
        eventually(lambda: view.state == "no signal")
        assert view.latest() is None
        last.give()  # type: ignore[union-attr]
        eventually(lambda: view.state == "live")
        assert view.reconnects == 1
        told = [(event["state"], event["reason"]) for event in iter(heard.take, None) if event["type"] == "state"]
    assert told == [("live", ""), ("no signal", "it broke off"), ("no signal", "still away"), ("live", "")]


def test_a_picture_that_grows_old_is_taken_away() -> None:
    camera, view = Camera(), StreamState("cam", "cam1")
    with streams.Streams([view], Finds(), events.Bus(), open_source=opener({"cam": [camera]}), **QUICK):
        camera.give()
        eventually(lambda: view.state == "live")
        began = time.monotonic()
        eventually(lambda: view.state == "no signal")
        assert 0.2 < time.monotonic() - began < 2
        assert view.reason == "no frame for 0.4 s"
        assert view.latest() is None
        camera.give()
        eventually(lambda: view.state == "live")


def test_an_engine_that_fails_is_told_and_the_next_frame_is_tried() -> None:
    camera, view, finds = Camera(), StreamState("cam", "cam1"), Finds()
    with streams.Streams([view], finds, events.Bus(), open_source=opener({"cam": [camera]})):
        finds.error = EngineFailed("the engine failed (RuntimeError: rtsp://eve:hunter2@x/y)")
        camera.give()
        eventually(lambda: view.state == "failed")
        assert view.reason == "the engine failed (RuntimeError: rtsp://x/y)"
        finds.error = None
        camera.give()
        eventually(lambda: view.state == "live")
        assert view.frames == 1


def test_a_session_that_hangs_is_replaced_and_the_stream_goes_on(tmp_path: Path) -> None:
    """End to end, with the real pool: the third call of the engine does not come back."""
    calls: List[float] = []

    def detector() -> pipeline.Detector:
        made = pipeline.load("codes", "null")
        run = made.session.run

        def hangs(batch: Any) -> Any:
            calls.append(time.monotonic())
            if len(calls) == 3:
                time.sleep(6)
            return run(batch)

        made.session.run = hangs  # type: ignore[method-assign]
        return made

    (view,), bus = streams.views([str(media.video(tmp_path / "long.mp4", 90))]), events.Bus()
    pool = InferencePool(detector, hung_s=1.0)
    try:
        with bus.subscribe() as heard, streams.Streams([view], pool, bus, stale_s=0.5):
            eventually(lambda: pool.restarts == 1)
            eventually(lambda: view.state == "live" and view.frames > 10)
            assert pool.healthy
            told = [event["reason"] for event in iter(heard.take, None) if event["type"] == "state"]
        assert told[0] == ""
        assert told[1] == "the engine did not respond for 0.5 s"
        assert "did not respond for 1 s; a new session is being opened" in told[2]
        assert told[3] == ""
    finally:
        pool.close()
        eventually(lambda: time.monotonic() > calls[2] + 6.1)


def test_the_waits_grow_by_chance_from_1_to_30_s() -> None:
    longest, shortest = Backoff(chance=lambda: 1.0), Backoff(chance=lambda: 0.0)
    assert [longest.next_s() for _ in range(7)] == [2, 4, 8, 16, 30, 30, 30]
    assert [shortest.next_s() for _ in range(7)] == [1] * 7
    longest.reset()
    assert longest.next_s() == 2
    some = Backoff()
    for _ in range(5000):
        assert 1 <= some.next_s() <= 30
    assert len({round(some.next_s(), 3) for _ in range(50)}) > 25, "not all at once"


def test_an_opening_that_takes_long_and_fails_does_not_shorten_the_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STEADY_S", 0.0)
    backoff = Backoff(0.001, 0.002)
    resets: List[int] = []
    monkeypatch.setattr(backoff, "reset", lambda: resets.append(1))
    view, bus = StreamState("cam", "cam1"), events.Bus()
    camera = Camera()
    cameras: List[Any] = [SourceError("away")] * 5 + [camera]
    with streams.Streams([view], Finds(), bus, open_source=opener({"cam": cameras}), backoff=lambda: backoff):
        eventually(lambda: not cameras)
        assert not resets
        camera.give()
        eventually(lambda: view.state == "live")
        camera.breaks(SourceError("it broke off"))
        eventually(lambda: resets)


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("stret.mp4", SourceError, "no such file or folder: .*did you mean .*street.mp4"),
        ("gopher://x/y", SourceError, "the scheme 'gopher' is not supported"),
        ("-", UsageError, "/v1/detect"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_starts(film: Path, uri: str, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        streams.views([str(film.parent / uri) if uri.endswith(".mp4") else uri])


def test_cameras_need_not_be_there_yet() -> None:
    views = streams.views(["rtsp://eve:hunter2@nowhere.invalid/x", "7", "csi://0", "gst:videotestsrc"])
    assert [view.name for view in views] == ["cam1", "cam2", "cam3", "cam4"]
    assert [view.state for view in views] == ["connecting"] * 4


def test_only_the_first_of_many_empty_frames_is_an_event() -> None:
    camera, view, finds, bus = Camera(), StreamState("cam", "cam1"), Finds(0), events.Bus()
    with bus.subscribe() as heard, streams.Streams([view], finds, bus, open_source=opener({"cam": [camera]})):
        for number, count in enumerate((0, 1, 1, 0, 0, 0), 1):
            finds.count = count
            camera.give()
            eventually(lambda number=number: view.frames == number)
    told = [len(event["detections"]) for event in iter(heard.take, None) if event["type"] == "detections"]
    assert told == [1, 1, 0]
