"""Damaged, cut and odd videos: every frame that can be decoded, and a count of what is wrong."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Tuple

import av
import numpy as np
import pytest

from benchmarks import damage
from edgecsp.media import sources
from edgecsp.media.sinks.mp4 import Mp4
from support import media
from support.repository import REPO

FILMS = [
    ("libx264", "mkv"), ("libx264", "mp4"), ("libx264", "avi"), ("libx264", "flv"), ("libx264", "ts"),
    ("libx265", "mkv"), ("libvpx", "webm"), ("libvpx", "ogv"), ("mjpeg", "mkv"), ("ffv1", "mkv"), ("wmv2", "wmv"),
    ("mpeg4", "avi"), ("mpeg2video", "ts"), ("gif", "gif"), ("apng", "apng"), ("rawvideo", "y4m"), ("libvpx", "ivf"),
    ("libx264", "h264"),
]  # fmt: skip


def made(path: Path, codec: str, flip: bool = False) -> Path:
    """A film of 60 frames, or the test is skipped."""
    if not damage.write(path, codec, flip):
        pytest.skip(f"this FFmpeg writes no {codec} in {path.suffix}")
    return path


def seen(path: Path, threads: Any = None) -> Tuple[int, Dict[str, int]]:
    """How many frames a file gives, and its problems without its name."""
    source = sources.Video(str(path))
    source.threads = threads
    count = sum(1 for _ in source)
    assert all(text.startswith(f"{path}: ") for text in source.problems)
    return count, {text[len(str(path)) + 2 :]: times for text, times in source.problems.items()}


@pytest.mark.parametrize(("codec", "container"), FILMS)
def test_a_whole_video_gives_all_frames_and_no_warning(tmp_path: Path, codec: str, container: str) -> None:
    assert seen(made(tmp_path / f"x.{container}", codec)) == (damage.FRAMES, {})


@pytest.mark.parametrize(("codec", "container"), [film for film in FILMS if film[1] not in ("h264",)])
def test_a_truncated_video_is_reported(tmp_path: Path, codec: str, container: str) -> None:
    path = made(tmp_path / f"x.{container}", codec)
    path.write_bytes(damage.damaged(path.read_bytes(), "cut"))
    count, problems = seen(path)
    assert 10 < count < 45 and problems


def test_one_thread_conceals_damage_the_same_way_whenever_the_collector_comes(tmp_path: Path) -> None:
    """A frame that is freed at another time gives the decoder another buffer, which shows where it is damaged."""
    path = made(tmp_path / "x.mkv", "libx265", flip=True)

    def pixels(collect_after: int) -> List[int]:
        source = sources.Video(str(path))
        source.threads = 1
        checksums = []
        for frame in source:
            checksums.append(zlib.crc32(frame.image))
            if frame.index == collect_after:
                gc.collect()
        return checksums

    gc.disable()
    try:
        assert all(pixels(index) == pixels(-1) for index in (11, 23, 35, 44, 47))
    finally:
        gc.enable()


@pytest.mark.parametrize("container", ["mkv", "webm"])
def test_the_header_says_how_many_frames_a_truncated_video_lacks(tmp_path: Path, container: str) -> None:
    path = made(tmp_path / f"x.{container}", "libvpx")
    path.write_bytes(damage.damaged(path.read_bytes(), "cut"))
    count, problems = seen(path)
    assert problems == {"frames missing, the file is cut short": damage.FRAMES - count}


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mkv"), ("libvpx", "webm"), ("libvpx", "ogv"), ("gif", "gif"), ("wmv2", "wmv"), ("libx264", "flv")],
)
def test_a_hole_in_the_middle_is_reported(tmp_path: Path, codec: str, container: str) -> None:
    path = made(tmp_path / f"x.{container}", codec)
    path.write_bytes(damage.damaged(path.read_bytes(), "hole"))
    count, problems = seen(path)
    assert count < damage.FRAMES and problems


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx265", "mkv"), ("mjpeg", "mkv"), ("ffv1", "mkv"), ("wmv2", "wmv"), ("libx264", "mp4"), ("mpeg4", "avi")],
)
def test_damaged_frames_are_given_and_counted(tmp_path: Path, codec: str, container: str, threads: int) -> None:
    path = made(tmp_path / f"x.{container}", codec, flip=True)
    count, problems = seen(path, threads)
    assert count >= damage.FRAMES * 2 // 3
    # FFmpeg 6 finds one of the damaged packets of HEVC alone.
    assert problems.get("damaged frames", 0) + problems.get("packets that cannot be decoded", 0) >= 1


def test_damage_is_counted_for_the_video_that_has_it(tmp_path: Path) -> None:
    """Several decoders of one codec with threads of their own: their log does not say whose an error is."""
    whole, hurt = made(tmp_path / "whole.mkv", "ffv1"), made(tmp_path / "hurt.mkv", "ffv1", flip=True)
    alone = seen(hurt, 1)
    for _ in range(5):
        # Frame by frame in turns, so that both are open at the same time.
        both = [sources.Video(str(path)) for path in (whole, hurt)]
        for source in both:
            source.threads = 4
        readers = [iter(source) for source in both]
        given = [0, 0]
        for _ in range(damage.FRAMES + 1):
            given = [count + (next(reader, None) is not None) for count, reader in zip(given, readers)]
        assert dict(both[0].problems) == {}
        assert sum(both[1].problems.values()) == sum(alone[1].values())
        assert given == [damage.FRAMES, alone[0]]


def test_a_damaged_video_that_is_left_early_hangs_nobody(tmp_path: Path) -> None:
    path = made(tmp_path / "hurt.mkv", "libx265", flip=True)

    def leave(at: int) -> None:
        for stop in range(at, at + 20):
            source = sources.Video(str(path))
            source.threads = 4
            for number, _ in enumerate(source):
                if number == stop:
                    break

    threads = [threading.Thread(target=leave, args=(at,), daemon=True) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("level", [None, av.logging.ERROR])
def test_the_log_of_the_program_is_as_before(
    tmp_path: Path, level: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    path = made(tmp_path / "x.mkv", "libvpx")
    path.write_bytes(damage.damaged(path.read_bytes(), "cut"))
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    try:
        av.logging.set_level(level)
        assert seen(path)[1]
        assert (av.logging.get_level(), av.logging.get_skip_repeated()) == (level, before[1])
    finally:
        av.logging.set_level(before[0])
    # Who wants FFmpeg's log has it; nobody else sees a line.
    assert any("prematurely" in record.getMessage() for record in caplog.records) == (level is not None)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("container", "codec"), [("mkv", "libvpx"), ("gif", "gif")])
def test_run_says_so_and_exits_partly_done(tmp_path: Path, container: str, codec: str) -> None:
    path = made(tmp_path / f"x.{container}", codec)
    path.write_bytes(damage.damaged(path.read_bytes(), "cut"))
    command = [sys.executable, "-m", "edgecsp", "run", str(path), "-e", "null", "--json", "-", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=str(REPO))
    assert done.returncode == 4 and f"{path}: " in done.stderr and "cut short" in done.stderr
    assert 10 < len(done.stdout.splitlines()) < 45


def test_sound_that_is_longer_than_the_video_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound.layout = "mono"
        for index in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(media.scene(index), "bgr24")))
        container.mux(video.encode(None))
        for index in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 8000, index * 1000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert seen(path) == (25, {})


def test_a_raw_stream_has_the_rate_of_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x.h264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(22):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(media.scene(index), "bgr24")))
        container.mux(stream.encode(None))
    frames = list(sources.Video(str(path)))
    assert frames[-1].stream.fps == 20 and frames[-1].pts_s == pytest.approx(1.05)


@pytest.mark.parametrize("sideways", [False, True])
def test_the_pixel_aspect_survives_into_the_copy(tmp_path: Path, sideways: bool) -> None:
    path = tmp_path / "x.mp4"
    media.video(path, 10, options={"preset": "veryfast", "aspect": "4:3"})
    if sideways:
        media.turned(path, (0, 1, -1, 0))
    frames = list(sources.Video(str(path)))
    wanted = Fraction(3, 4) if sideways else Fraction(4, 3)
    assert frames[0].stream.pixel_aspect == wanted and frames[0].stream is frames[-1].stream
    writer = Mp4(tmp_path / "copy.mp4", frames[0].hw, 30.0, frames[0].stream.pixel_aspect)
    for frame in frames:
        writer.write(frame.image, frame.pts_s)
    writer.close()
    with av.open(str(tmp_path / "copy.mp4")) as copy:
        assert copy.streams.video[0].sample_aspect_ratio == wanted


@pytest.mark.parametrize(("jump_s", "length_s"), [(3600.0, 0.4), (5.0, 5.4)])
def test_a_jump_of_the_clock_is_no_time_in_the_copy(tmp_path: Path, jump_s: float, length_s: float) -> None:
    writer = Mp4(tmp_path / "x.mp4", (120, 160), 30.0)
    for index in range(12):
        writer.write(media.scene(index), index / 30 + (jump_s if index > 5 else 0.0))
    writer.close()
    with av.open(str(tmp_path / "x.mp4")) as copy:
        assert float(copy.duration) / 1e6 == pytest.approx(length_s, abs=0.1)


def test_the_table_of_damage_has_no_silent_row(tmp_path: Path) -> None:
    found = list(damage.rows(tmp_path, {"libvpx"}))
    assert {row.kind for row in found} == set(damage.KINDS)
    assert [row for row in found if row.is_wrong] == []
    assert any(row.is_silent for row in found)  # VP8 has nothing to check against: documented


def test_random_damage_to_a_gif_is_no_crash(tmp_path: Path) -> None:
    data = made(tmp_path / "x.gif", "gif").read_bytes()
    rng = random.Random(3)
    for _ in range(20):
        (tmp_path / "y.gif").write_bytes(data[: rng.randrange(800, len(data))] + bytes(rng.randrange(3)))
        assert seen(tmp_path / "y.gif")[1]
