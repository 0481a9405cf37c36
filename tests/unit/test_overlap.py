"""Many threads, and what one thread would have given: order, errors in their place, fairness, bounds, an end."""

from __future__ import annotations

import gc
import itertools
import random
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np
import pytest

from edgecsp.errors import SourceError
from edgecsp.media import scheduler
from edgecsp.media.scheduler import _frame_scheduler
from edgecsp.media.sources import Source
from edgecsp.types import Detections, Frame, Stream

SEEDS = range(8)


class Reel(Source):
    """A source of numbered frames that may be slow, break after some of them, or never end."""

    def __init__(
        self,
        name: str,
        count: Optional[int],
        *,
        kind: str = "video",
        breaks: Optional[BaseException] = None,
        pause: Callable[[], float] = lambda: 0.0,
        size: int = 2,
    ) -> None:
        super().__init__(name)
        self.count, self.breaks, self.pause, self.size = count, breaks, pause, size
        self.live, self.moving = kind == "live", kind != "image"
        self.stream = Stream(name, kind)
        self.given = 0
        self.let_go = False

    def __iter__(self) -> Iterator[Frame]:
        try:
            for index in itertools.count() if self.count is None else range(self.count):
                if self.closed:
                    return
                time.sleep(self.pause())
                self.given += 1
                yield Frame(np.full((self.size, self.size, 3), index % 256, np.uint8), self.stream, index)
            if self.breaks:
                raise self.breaks
        finally:
            self.let_go = True


def nothing(frame: Frame) -> Detections:
    return Detections.empty()


def threads() -> List[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgecsp")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()  # a generator that a test dropped ends its threads here
    assert threads() == []


def jitter(seed: int) -> Callable[[], float]:
    chance = random.Random(seed)
    return lambda: chance.choice((0, 0, 0, 0.001, 0.004))


def seen(items: Any) -> Dict[str, List[Any]]:
    """Frame indices by source, with what the source ended in behind them."""
    found: Dict[str, List[Any]] = {}
    for item in items:
        rows = found.setdefault(item.source.name, [])
        rows.append(item.frame.index if isinstance(item, scheduler.FrameResult) else item.error)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_frame_in_its_order_whatever_takes_how_long(seed: int) -> None:
    pause = jitter(seed)

    def detect(frame: Frame) -> Any:
        time.sleep(pause())
        return frame.stream.name, frame.index, int(frame.image[0, 0, 0])

    reels = [
        Reel(name, count, pause=jitter(seed + i)) for i, (name, count) in enumerate((("a", 40), ("b", 25), ("c", 0)))
    ]
    given = list(scheduler.results(reels, detect, concurrency=1 + seed % 4))
    assert seen(given) == {"a": [*range(40), None], "b": [*range(25), None], "c": [None]}
    for item in given:
        if isinstance(item, scheduler.FrameResult):
            assert item.result == (item.source.name, item.frame.index, item.frame.index)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_error_of_the_detector_comes_in_its_place(seed: int) -> None:
    pause = jitter(seed)

    def detect(frame: Frame) -> int:
        time.sleep(pause())
        if frame.index == 11:
            raise ZeroDivisionError("frame 11")
        return frame.index

    got = []
    with pytest.raises(ZeroDivisionError, match="frame 11"):
        got.extend(item.result for item in scheduler.results([Reel("a", 40)], detect, concurrency=3))
    assert got == list(range(11))


def test_an_error_of_a_source_ends_it_alone_and_comes_behind_its_frames() -> None:
    broken = SourceError("b broke off")
    reels = [Reel("a", 60), Reel("b", 7, breaks=broken), Reel("c", 30)]
    assert seen(scheduler.results(reels, nothing)) == {
        "a": [*range(60), None],
        "b": [*range(7), broken],
        "c": [*range(30), None],
    }
    assert all(reel.closed and (reel.let_go or not reel.given) for reel in reels)


def test_an_error_that_is_no_source_error_is_not_swallowed() -> None:
    bug = TypeError("a bug in a source")
    assert seen(scheduler.results([Reel("a", 3, breaks=bug)], nothing)) == {"a": [0, 1, 2, bug]}


def test_a_thread_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second source begins in a worker's thread, where nobody would hear of it."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "edgecsp-read" and "edgecsp-read" in begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread.name)
        start(thread)

    begun: List[str] = []
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(scheduler.results([Reel("a", 3, kind="image"), Reel("b", 3, kind="image")], nothing))


@pytest.mark.parametrize("after", [0, 1, 5, 19])
@pytest.mark.parametrize("count", [20, None])
def test_stopped_at_any_point_it_has_given_a_beginning(after: int, count: Optional[int]) -> None:
    stop = threading.Event()
    got = []
    if not after:
        stop.set()
    reel = Reel("a", count, pause=jitter(after))
    for item in scheduler.results([reel], nothing, concurrency=3, stop=stop):
        got.append(item.frame.index)
        if len(got) == after:
            stop.set()
    assert got == list(range(after))
    assert reel.let_go or not reel.given


def test_a_stop_from_elsewhere_is_heard_while_nothing_comes() -> None:
    stop = threading.Event()
    slow = Reel("a", None, pause=lambda: 0.05)
    held = threading.Event()
    timer = threading.Timer(0.3, lambda: (stop.set(), held.set()))
    timer.start()
    begun = time.monotonic()
    assert list(scheduler.results([slow], lambda frame: held.wait(5), stop=stop)) == []
    timer.join()
    assert time.monotonic() - begun < 3


def test_left_in_the_middle_it_lets_go() -> None:
    reels = [Reel("a", None), Reel("b", None)]
    given = scheduler.results(reels, nothing, concurrency=2)
    for _, _ in zip(range(10), given):
        pass
    assert threads()
    given.close()
    assert threads() == []
    assert all(reel.closed and (reel.let_go or not reel.given) for reel in reels)


def test_a_live_source_gives_its_newest_frame_and_a_file_all() -> None:
    def slow(frame: Frame) -> float:
        time.sleep(0.04)
        return time.monotonic()

    given = scheduler.results([Reel("cam", 200, kind="live", pause=lambda: 0.002)], slow)
    got = [item.frame.index for item in given if isinstance(item, scheduler.FrameResult)]
    assert got == sorted(set(got))
    assert 2 <= len(got) < 100, "most were passed by"
    steps = np.diff(got)
    assert steps.max() > 2, "it took the newest, not the next"
    assert got[-1] == 199, "what waits at the end is given"


def test_what_is_held_is_bounded_in_frames_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler.cpu, "threads", lambda: 2)
    monkeypatch.setattr(_frame_scheduler, "PLACE_BYTES", 3_000_000)
    # Small frames: 4 are worked on, the one here among them, and 4 lie ready; large ones: 3 in all.
    for size, bound in ((2, 7), (1000, 2)):
        reel = Reel("a", 60, size=size)
        done = 0
        most = 0
        for item in scheduler.results([reel], nothing, concurrency=2):
            done += isinstance(item, scheduler.FrameResult)
            time.sleep(0.003)  # the slowest stage is the one behind
            most = max(most, reel.given - done)
        assert done == 60
        assert most <= bound, f"{size}: {most} frames were under way"


def test_nothing_is_held_once_it_is_over() -> None:
    opened = [Reel("a", 30, size=100), Reel("b", 30, size=100)]
    line = _frame_scheduler.FrameScheduler(opened, nothing, 2, threading.Event())
    line.begin()
    try:
        assert len(list(line.results())) == 62
    finally:
        line.end()
    assert line._held_bytes == 0
    assert line._results == {}


@pytest.mark.parametrize("streams", [2, 8])
def test_streams_take_turns(streams: int) -> None:
    """While all of them have frames, none is ahead of another by more than a few."""
    reels = [Reel(str(i), 60, pause=jitter(i)) for i in range(streams)]

    def work(frame: Frame) -> None:
        time.sleep(0.002)

    counts = dict.fromkeys(map(str, range(streams)), 0)
    apart = []
    for item in scheduler.results(reels, work, concurrency=2):
        if not isinstance(item, scheduler.FrameResult):
            break
        counts[item.source.name] += 1
        apart.append(max(counts.values()) - min(counts.values()))
    assert np.median(apart) <= 3
    assert max(apart) <= _frame_scheduler.CREDIT + _frame_scheduler.AHEAD


def test_a_slow_source_does_not_hold_up_a_fast_one() -> None:
    slow = Reel("slow", 10, pause=lambda: 0.1)
    order = [
        item.source.name
        for item in scheduler.results([slow, Reel("fast", 100)], nothing)
        if isinstance(item, scheduler.FrameResult)
    ]
    assert "slow" not in order[len(order) // 2 : len(order) // 2 + 20]
    assert order[-5:] == ["slow"] * 5


def test_videos_side_by_side_are_so_many_and_pictures_go_one_source_after_the_other() -> None:
    videos = [Reel(f"v{i}", 5) for i in range(_frame_scheduler.VIDEOS + 4)]
    stills = [Reel("p", 5, kind="image"), Reel("q", 5, kind="image")]
    under_way, most = set(), 0
    begun: List[str] = []
    for item in scheduler.results([stills[0], *videos, stills[1]], nothing):
        name = item.source.name
        if name not in begun:
            begun.append(name)
        if isinstance(item, scheduler.SourceEnd):
            under_way.discard(name)
            if name == "p":
                assert "q" not in begun
        else:
            under_way.add(name)
        most = max(most, sum(name.startswith("v") for name in under_way))
    assert most <= _frame_scheduler.VIDEOS
    assert len(begun) == len(videos) + 2


def test_decoders_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_frame_scheduler.cpu, "threads", lambda: 4)
    for count, wanted in ((1, None), (2, 2), (8, 1)):
        reels = [Reel(str(i), 2) for i in range(count)]
        list(scheduler.results(reels, nothing))
        assert {reel.threads for reel in reels} == {wanted}


def test_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler.cpu, "threads", lambda: 2)
    video, live = Reel("a", 9), Reel("b", None, kind="live")
    assert [scheduler.choose_concurrency(s) for s in ([video], [live], [live, live], [live, video])] == [2, 1, 2, 2]
    monkeypatch.setattr(scheduler.cpu, "threads", lambda: 64)
    assert scheduler.choose_concurrency([video]) == scheduler.MOST
