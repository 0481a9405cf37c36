"""A video's pieces are, one after the other, the video: every picture to the last bit, its number and its time."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import av
import pytest

from edgecsp.batch import keyframe_index
from edgecsp.batch.segment import Segment
from edgecsp.batch.shards import VIDEO, Item, split_video, whole_video
from edgecsp.media import sources
from support import media

Told = List[Tuple[int, Optional[float], str]]
X264: Dict[str, str] = {"preset": "veryfast"}
X265: Dict[str, str] = {"preset": "ultrafast"}
FFMPEG = ("ffmpeg", "-v", "error", "-y")
# name -> (container, codec, options). Keyframes every few frames, so that a hundred frames are many pieces.
ENCODINGS: Dict[str, Tuple[str, str, Dict[str, str]]] = {
    "no-b-frames": ("mp4", "libx264", {**X264, "g": "12", "bf": "0"}),
    "b-frames": ("mp4", "libx264", {**X264, "g": "12", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"}),
    "b-frames-mkv": ("mkv", "libx264", {**X264, "g": "12", "x264-params": "bframes=3:b-adapt=0"}),
    "open-gop": ("mp4", "libx264", {**X264, "g": "12", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}),
    "open-gop-mkv": ("mkv", "libx264", {**X264, "g": "12", "x264-params": "open-gop=1:bframes=3:b-adapt=0"}),
    "gop-shorter-than-its-delay": ("mp4", "libx264", {**X264, "g": "2", "x264-params": "bframes=1:b-adapt=0"}),
    "all-intra": ("mp4", "libx264", {**X264, "g": "1"}),
    "hevc-open-gop": ("mp4", "libx265", {**X265, "x265-params": "keyint=12:bframes=3:open-gop=1:log-level=0"}),
    "hevc-closed-gop": ("mkv", "libx265", {**X265, "x265-params": "keyint=12:open-gop=0:log-level=0"}),
    "vp9": ("webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1"}),
    "mpeg4": ("mp4", "mpeg4", {"-g": "12", "-bf": "2"}),
    "mjpeg": ("mkv", "mjpeg", {"-q:v": "3"}),
}
# What no index is believed of.
WHOLE: Dict[str, Tuple[str, str, Dict[str, str]]] = {
    "transport-stream": ("ts", "libx264", {**X264, "g": "12"}),
    "vp8": ("webm", "libvpx", {"g": "12", "deadline": "realtime", "auto-alt-ref": "1"}),
    "bare-h264": ("h264", "libx264", {**X264, "g": "12"}),
}


def made(folder: Path, encoding: Tuple[str, str, Dict[str, str]], count: int = 100, **more: Any) -> Path:
    extension, codec, options = encoding
    path = folder / f"video.{extension}"
    if codec in ("mjpeg", "mpeg4"):  # PyAV's clock is too fast for them
        return in_ffmpeg(folder, path, "-c:v", codec, *(word for pair in options.items() for word in pair))
    return media.video(path, count, codec=codec, options=options, **more)


def in_ffmpeg(folder: Path, path: Path, *words: str, before: Tuple[str, ...] = (), count: int = 100) -> Path:
    """A video that the ffmpeg program makes of one of ours."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed (Debian: ffmpeg)")
    first = media.video(folder / "first.mp4", count, options={**X264, "g": "12", "bf": "2"})
    subprocess.run([*FFMPEG, *before, "-i", str(first), *words, str(path)], check=True, timeout=60)
    return path


def told(source: sources.Source) -> Told:
    return [(f.index, f.pts_s, hashlib.sha256(f.image.tobytes()).hexdigest()) for f in source]


def in_pieces(path: Path, least: int = 1) -> Tuple[int, Told]:
    """How many pieces, and what they give together."""
    item = Item(str(path), str(path), VIDEO)
    index = keyframe_index.index(item)
    parts = split_video(item, index.split_points, index.frames, least)
    found: Told = []
    for part in parts:
        piece = Segment(part, threads=2)
        mine = told(piece)
        assert not piece.problems
        assert len(parts) == 1 or len(mine) == part.frames == piece.frame_count, part
        found += mine
    return len(parts), found


@pytest.mark.parametrize("name", ENCODINGS)
def test_pieces_are_the_video(name: str, tmp_path: Path) -> None:
    if name.startswith("open-gop") and int(av.__version__.split(".")[0]) < 13:
        pytest.skip("FFmpeg 6 loses a frame behind a seek into the last open GOP; the job counts, and does it whole")
    path = made(tmp_path, ENCODINGS[name])
    expected = told(sources.open(str(path)))
    pieces, found = in_pieces(path)
    assert len(expected) == 100 and len({digest for _, _, digest in expected}) > 30
    assert found == expected
    assert pieces >= 7


@pytest.mark.parametrize("name", WHOLE)
def test_what_has_no_index_to_believe_is_one_piece(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, WHOLE[name])
    pieces, found = in_pieces(path)
    assert (pieces, found) == (1, told(sources.open(str(path))))
    assert keyframe_index.index(Item(str(path), str(path), VIDEO)).reason


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [i / 30 + (i // 7) * 0.4 + (i % 3) * 0.003 for i in range(100)]
    path = made(tmp_path, ENCODINGS["b-frames"], times=times)
    pieces, found = in_pieces(path)
    assert pieces >= 7
    assert found == told(sources.open(str(path)))
    assert [pts for _, pts, _ in found] == pytest.approx([t - times[0] for t in times], abs=1e-4)


@pytest.mark.parametrize("start", ["1.0", "0.5"])
def test_an_edit_list_hides_what_it_hides(start: str, tmp_path: Path) -> None:
    """Trimmed without encoding again: the file begins at a keyframe, the shown part later."""
    path = in_ffmpeg(tmp_path, tmp_path / "trimmed.mp4", "-c", "copy", before=("-ss", start))
    expected = told(sources.open(str(path)))
    pieces, found = in_pieces(path)
    assert len(expected) < 100 and pieces > 3
    assert found == expected


def test_sound_lies_between_the_packets(tmp_path: Path) -> None:
    words = ("-f", "lavfi", "-i", "sine=duration=3.3", "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac")
    path = in_ffmpeg(tmp_path, tmp_path / "sound.mp4", *words)
    pieces, found = in_pieces(path)
    assert pieces >= 7 and found == told(sources.open(str(path)))


def test_a_fragmented_mp4(tmp_path: Path) -> None:
    words = ("-c", "copy", "-movflags", "frag_keyframe+empty_moov")
    path = in_ffmpeg(tmp_path, tmp_path / "fragments.mp4", *words)
    pieces, found = in_pieces(path)
    assert pieces >= 7 and found == told(sources.open(str(path)))


def test_pieces_have_at_least_so_many_frames(tmp_path: Path) -> None:
    path = made(tmp_path, ENCODINGS["b-frames"])
    item = Item(str(path), str(path), VIDEO)
    index = keyframe_index.index(item)
    for least in (1, 12, 30, 50):
        parts = split_video(item, index.split_points, index.frames, least)
        assert sum(part.frames or 0 for part in parts) == 100
        assert all((part.frames or 0) >= least for part in parts[:-1])
        assert (parts[-1].frames or 0) >= least // 2
    assert split_video(item, index.split_points, index.frames, 100) == [whole_video(item, index.frames)]
