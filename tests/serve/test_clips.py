"""What happens at a line is recorded: its snapshot, its clip of copied packets, in bounds and over restarts."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from edgecsp.errors import OutputError
from edgecsp.media import sources
from edgecsp.media.sources.packets import RecentPackets
from edgecsp.options import Thresholds
from edgecsp.serve import events
from edgecsp.serve.event_store import EventStore, check_folder
from edgecsp.serve.live import StreamState
from edgecsp.serve.recorder import Recorder
from edgecsp.serve.streams import Streams
from edgecsp.serve.tracking import StreamTracking
from edgecsp.track.events import new_id
from support import crossing, media
from support.crossing import event
from support.waiting import eventually
from support.watching import detections, frame, threads


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crossing.video(tmp_path_factory.mktemp("film") / "street.mp4")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = threads()
    yield
    eventually(lambda: threads() == before)


def frames_of(path: Path) -> List[float]:
    import av

    with av.open(str(path)) as container:
        return [each.time for each in container.decode(video=0)]


# -- a stream that is watched ----------------------------------------------------------------------------------------


def test_a_crossing_is_stored_with_its_snapshot_and_its_clip(film: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    view = StreamState(str(film), "door", areas=crossing.areas())
    bus, store = events.Bus(), EventStore(tmp_path / "events")
    recorder = Recorder(store, bus, before_s=0.5, after_s=0.5)
    with bus.subscribe() as heard:
        recorder.start()
        with Streams([view], crossing.Sees(), bus, loop=False, recorder=recorder):  # type: ignore[arg-type]
            eventually(lambda: all(each["clip"] for each in store.latest(9)) and len(store.latest(9)) == 2)
        messages = [each for each in iter(heard.take, None) if each["type"] == "area"]
    recorder.close()
    stored = {each["kind"]: each for each in store.latest(9)}
    crossed = stored["cross"]
    assert sorted(stored) == ["cross", "enter"]
    assert (crossed["stream"], crossed["area"], crossed["direction"], crossed["label"]) == (
        "door", "gate", "in", "square",
    )  # fmt: skip
    assert 1.25 <= crossed["pts_s"] <= 1.8, "when its centre was in the lower half, and a little later"
    # Listeners hear of it at once, with the snapshot, before there is a clip.
    heard_event = next(each["event"] for each in messages if each["event"]["kind"] == "cross")
    assert heard_event == {**crossed, "clip": None}
    assert all(each["stream"] == "door" and each["time"] == each["event"]["time"] for each in messages)

    snapshot, clip = store.path(crossed["id"], "snapshot"), store.path(crossed["id"], "clip")
    assert snapshot is not None and clip is not None
    assert cv2.imread(str(snapshot)).shape == (120, 160, 3)
    times = frames_of(clip)
    before_and_after_s = 1.0
    group_s = 10 / 30  # from the keyframe before on
    assert before_and_after_s <= times[-1] + 1 / 30 <= before_and_after_s + group_s + 0.15
    assert times[0] == 0 and len(times) == round(times[-1] * 30) + 1, "no frame is missing"
    assert media.atoms(clip)[:2] == ["ftyp", "moov"], "a browser begins to play before it has all of it"
    # Both events are of the same moment, so they share a clip, and its bytes.
    entered = store.path(stored["enter"]["id"], "clip")
    assert entered is not None and os.path.samefile(entered, clip)
    counts = view.to_dict()["areas"]
    assert counts["lines"]["gate"] == {"in": {"square": 1}, "out": {}}
    assert counts["zones"]["yard"]["entered"] == {"square": 1}
    store.close()


def test_an_interruption_is_no_crossing_and_ids_go_on() -> None:
    """What was above the line before and is below it after may be another object; what was counted stays."""
    counted = crossing.areas()
    tracking = StreamTracking(counted, crossing.Sees.model, None)  # type: ignore[arg-type]

    def watch(first_y: int, last_y: int, start: int) -> List[int]:
        tracking.begin(sources.Source("camera"))
        ids: List[int] = []
        for index, y in enumerate(range(first_y, last_y, 4)):
            boxes = detections(1, labels=crossing.LABELS, box=(40, y, 60, y + 10))
            ids += tracking.update(frame(start + index), boxes).track_ids.tolist()
        return ids

    assert set(watch(0, 110, 0)) == {1}
    assert counted.counts()["lines"]["gate"] == {"in": {"square": 1}, "out": {}}
    assert set(watch(0, 50, 40)) == {2}
    assert set(watch(70, 100, 55)) == {3}, "half a second later, as if it had gone on"
    assert counted.counts()["lines"]["gate"] == {"in": {"square": 1}, "out": {}}


def test_boxes_of_lower_scores_continue_tracks() -> None:
    tracking = StreamTracking(crossing.areas(), crossing.Sees.model, None)  # type: ignore[arg-type]
    assert tracking.lower(Thresholds()).conf == pytest.approx(0.4 * 0.5)
    assert tracking.lower(Thresholds(conf=0.25, iou=0.6)) == Thresholds(conf=0.1, iou=0.6)
    weak = detections(1, labels=crossing.LABELS)
    weak.scores[:] = 0.2
    assert len(tracking.update(frame(), weak)) == 0, "none begins with it"


def test_a_clip_that_is_not_over_is_written_when_the_server_ends(film: Path, tmp_path: Path) -> None:
    view = StreamState(str(film), "door", areas=crossing.areas())
    bus, store = events.Bus(), EventStore(tmp_path)
    recorder = Recorder(store, bus, before_s=1.0, after_s=60.0)
    recorder.start()
    with Streams([view], crossing.Sees(), bus, recorder=recorder):  # type: ignore[arg-type]
        eventually(lambda: store.latest(9))
    recorder.close()
    path = store.path(store.latest(9)[-1]["id"], "clip")
    assert path is not None and frames_of(path)
    store.close()


def test_a_codec_that_browsers_do_not_play_gives_snapshots_alone(tmp_path: Path, log_lines: List[str]) -> None:
    film = crossing.video(tmp_path / "street.webm", codec="libvpx", options={"g": "10", "deadline": "realtime"})
    view = StreamState(str(film), "door", areas=crossing.areas())
    bus, store = events.Bus(), EventStore(tmp_path / "events")
    recorder = Recorder(store, bus, before_s=0.1, after_s=0.1)
    recorder.start()
    with Streams([view], crossing.Sees(), bus, loop=False, recorder=recorder):  # type: ignore[arg-type]
        eventually(lambda: any("no clips" in line for line in log_lines))
    recorder.close()
    assert [line for line in log_lines if "clip" in line] == [
        "no clips of stream door: browsers do not play vp8 in an mp4"
    ]
    assert all(each["snapshot"] and each["clip"] is None for each in store.latest(9))
    store.close()


def test_without_clips_no_source_keeps_packets(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    for recorder in (Recorder(store, events.Bus(), clips=False), Recorder(EventStore(), events.Bus())):
        source = sources.Source("x")
        assert recorder.watch(source) is None and source.on_packet is None
    store.close()


def test_a_full_disk_costs_the_files_and_not_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: List[str]
) -> None:
    def full(*_: object) -> None:
        raise OutputError(f"cannot write {tmp_path}/{new_id()}.jpg: No space left on device")

    monkeypatch.setattr("edgecsp.serve.recorder._write", full)
    bus, store = events.Bus(), EventStore(tmp_path)
    recorder = Recorder(store, bus)
    with bus.subscribe() as heard:
        recorder.start()
        for _ in range(3):
            recorder.record(event(), frame(), detections(1))
        got = [heard.take(5.0) for _ in range(3)]
    recorder.close()
    assert all(each and each["event"]["snapshot"] is None for each in got)
    assert [line for line in log_lines if "No space left" in line] == log_lines and len(log_lines) == 1
    assert len(store.latest(9)) == 3
    store.close()


# -- the store -------------------------------------------------------------------------------------------------------


def write(size: int) -> Any:
    return lambda path: path.write_bytes(b"x" * size)


def test_events_and_files_survive_a_restart(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    first, second = event(), event("yard", kind="enter", direction=None)
    store.add(first)
    store.add_file([first["id"]], "snapshot", write(100))
    store.add(second)
    # Killed between the file and its row: the row is put right at the next start.
    (tmp_path / f"{second['id']}.mp4").write_bytes(b"y" * 50)
    (tmp_path / ".x.mp4.edgecsp-abcdefgh.part").write_bytes(b"half")
    before = store.latest(9)
    store.close()
    again = EventStore(tmp_path)
    assert [each["id"] for each in before] == [second["id"], first["id"]]
    assert again.latest(9) == [{**before[0], "clip": f"/api/events/{second['id']}/clip.mp4"}, before[1]]
    assert not list(tmp_path.glob(".*.part"))
    assert again.path(first["id"], "snapshot") == tmp_path / f"{first['id']}.jpg"
    assert again.path(first["id"], "clip") is None
    again.close()


def test_lists_are_by_stream_kind_and_time(tmp_path: Path) -> None:
    store = EventStore()
    for second in range(6):
        store.add(event("door" if second % 2 else "yard", kind="cross" if second < 4 else "enter",
                        time=f"2099-01-01T00:00:0{second}.000Z"))  # fmt: skip
    seconds = lambda **chosen: [int(each["time"][18]) for each in store.latest(3, **chosen)]  # noqa: E731
    assert seconds() == [5, 4, 3]
    assert seconds(stream="door") == [5, 3, 1]
    assert seconds(stream="door", kind="cross") == [3, 1]
    assert seconds(since="2099-01-01T00:00:04.000Z") == [5]
    assert store.find("nothing") is None and store.path("../../etc/passwd", "clip") is None
    store.close()


def test_the_folder_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    other = tmp_path / "holiday.jpg"
    other.write_bytes(b"z" * 5_000_000)
    store = EventStore(tmp_path, max_mb=2)

    def own_bytes() -> int:
        paths = [path for path in tmp_path.iterdir() if path != other]
        return sum({path.stat().st_ino: path.stat().st_blocks * 512 for path in paths}.values())

    ids: List[str] = []
    for _ in range(20):
        ids.append(event()["id"])
        store.add(event(id=ids[-1]))
        store.add_file([ids[-1]], "snapshot", write(100_000))
        store.add_file([ids[-1]], "clip", write(150_000))
        assert own_bytes() <= 2_000_000
    kept = [each["id"] for each in store.latest(99)]
    assert 6 <= len(kept) < 8 and kept == ids[: -len(kept) - 1 : -1], "the latest"
    files = {path.name for path in tmp_path.iterdir() if path.suffix in (".jpg", ".mp4")}
    assert files == {"holiday.jpg", *(f"{i}{suffix}" for i in kept for suffix in (".jpg", ".mp4"))}
    # Events that share a clip: its bytes count once, and are there as long as one of them is.
    pair = [event()["id"], event()["id"]]
    for event_id in pair:
        store.add(event(id=event_id))
    store.add_file(pair, "clip", write(400_000))
    assert [each["id"] for each in store.latest(99)] == [*pair[::-1], *kept[: len(store.latest(99)) - 2]]
    assert len(store.latest(99)) >= len(kept) and own_bytes() <= 2_000_000
    store.close()
    smaller = EventStore(tmp_path, max_mb=0.9)
    assert [each["id"] for each in smaller.latest(9)][:2] == pair[::-1] and own_bytes() <= 900_000
    smaller.close()


def test_old_events_go(tmp_path: Path) -> None:
    store = EventStore(tmp_path, max_days=2)
    for days in (3, 1):
        time = datetime.now(timezone.utc) - timedelta(days=days)
        store.add(event(time=time.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
    assert len(store.latest(9)) == 1
    store.close()


def test_in_memory_the_latest_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecsp.serve.event_store.MOST_IN_MEMORY", 3)
    store = EventStore()
    ids = [event()["id"] for _ in range(5)]
    for event_id in ids:
        store.add(event(id=event_id))
        store.add_file([event_id], "snapshot", write(10))
    assert [(each["id"], each["snapshot"]) for each in store.latest(9)] == [(i, None) for i in ids[:1:-1]]
    store.close()


def test_a_folder_is_of_one_server_and_must_be_writable(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events")
    with pytest.raises(OutputError, match="another edgecsp process has this folder"):
        EventStore(tmp_path / "events")
    store.close()
    (tmp_path / "file").write_text("")
    check_folder(tmp_path / "a" / "b")
    for make in (EventStore, check_folder):
        with pytest.raises(OutputError, match=r"cannot keep events in .*file"):
            make(tmp_path / "file" / "events")
    assert not (tmp_path / "a").exists()


# -- the packets -----------------------------------------------------------------------------------------------------


def read_all(path: Path, packets: RecentPackets) -> None:
    source = sources.open(str(path))
    source.on_packet = packets.add
    for _ in source:
        pass


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_packets_are_copied_whatever_they_came_in(tmp_path: Path, name: str) -> None:
    """With the parameters before the data (mp4) and in it (ts), and without decoding times (mkv); with B-frames."""
    packets = RecentPackets(60.0)
    read_all(crossing.video(tmp_path / name), packets)
    begin_s = next(iter(sources.open(str(tmp_path / name)))).pts_s or 0.0
    seconds = packets.write(tmp_path / "clip.mp4", begin_s + 1.0, begin_s + 2.0)
    times = frames_of(tmp_path / "clip.mp4")
    assert times[0] == 0 and 1.0 <= seconds <= 1.5
    assert abs(len(times) - seconds * 30) < 1.01  # the last packet of a transport stream may have no duration
    assert packets.write(tmp_path / "later.mp4", begin_s + 50, begin_s + 60) > 0, "the last group, rather than nothing"


def test_a_first_keyframe_without_a_time_begins_the_clip(tmp_path: Path) -> None:
    """FFmpeg's RTSP reader gives none, and a camera's next keyframe may be ten seconds away."""
    packets, seen = RecentPackets(60.0), []

    def add(packet: Any) -> None:
        if not seen:
            packet.pts = packet.dts = None
        seen.append(packet.is_keyframe and packet.size)
        packets.add(packet)

    source = sources.open(str(crossing.video(tmp_path / "a.mp4", options={"g": "1000"})))
    source.on_packet = add
    for _ in source:
        pass
    assert sum(map(bool, seen)) == 1
    assert packets.write(tmp_path / "clip.mp4", -1e9, 1e9) > 2
    assert len(frames_of(tmp_path / "clip.mp4")) == crossing.FRAMES


def test_h265_has_the_tag_that_all_players_know(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV encodes no H.265")
    options = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=10"}
    packets = RecentPackets(60.0)
    read_all(crossing.video(tmp_path / "a.ts", codec="libx265", options=options), packets)
    assert packets.write(tmp_path / "clip.mp4", -1e9, 1e9) > 2
    assert len(frames_of(tmp_path / "clip.mp4")) == crossing.FRAMES and b"hvc1" in (tmp_path / "clip.mp4").read_bytes()


def test_the_packets_are_bounded_in_seconds_and_bytes(tmp_path: Path) -> None:
    film = media.video(tmp_path / "noise.mp4", 90, draw=media.noise)
    of_time, of_bytes, nothing = RecentPackets(1.0), RecentPackets(60.0, 400_000), RecentPackets(60.0, 10_000)
    for packets in (of_time, of_bytes, nothing):
        read_all(film, packets)
    assert 1.0 <= of_time.write(tmp_path / "a.mp4", -1e9, 1e9) <= 1.0 + 2 * 10 / 30
    assert (tmp_path / "a.mp4").stat().st_size > 0
    assert 0 < of_bytes.write(tmp_path / "b.mp4", -1e9, 1e9) < 3.0
    assert (tmp_path / "b.mp4").stat().st_size < 420_000
    assert nothing.write(tmp_path / "c.mp4", -1e9, 1e9) == 0
    assert not (tmp_path / "c.mp4").exists()
