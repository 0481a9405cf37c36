"""Sources: what is read, in which order and which way up; what breaks, and how it is told."""

from __future__ import annotations

import base64
import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.cache import files
from edgecsp.errors import SourceError, UsageError
from edgecsp.media import sources
from edgecsp.media.sources import network
from edgecsp.media.sources._upright import apply_matrix
from edgecsp.media.sources.base import redact
from support import media
from support.effort import examples
from support.ports import free_port

QUARTERS = {"red": (40, 40, 220), "green": (40, 200, 40), "blue": (220, 60, 40), "white": (230, 230, 230)}


def corners(image: Any) -> str:
    """The quarters' names: top left, top right, bottom left, bottom right."""
    h, w = image.shape[:2]
    spots = [image[h // 8, w // 8], image[h // 8, -w // 8], image[-h // 8, w // 8], image[-h // 8, -w // 8]]
    return " ".join(min(QUARTERS, key=lambda n: np.abs(spot - np.array(QUARTERS[n])).sum()) for spot in spots)


UPRIGHT = "red green blue white"


def picture(path: Path, image: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(path.suffix, media.scene(0) if image is None else image)[1]
    path.write_bytes(data.tobytes())
    return path


def read_all(uri: Any, **options: Any) -> Any:
    with sources.open(str(uri), **options) as source:
        return list(source), source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.video(tmp_path_factory.mktemp("clip") / "clip.mp4")


# ---- pictures


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm", ".jp2"])
def test_a_picture_is_one_upright_bgr_frame(tmp_path: Path, extension: str) -> None:
    path = picture(tmp_path / f"dog{extension}")
    (frame,), source = read_all(path)
    assert corners(frame.image) == UPRIGHT
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (120, 160, 3)
    assert frame.image.flags["C_CONTIGUOUS"]
    assert (frame.index, frame.pts_s, frame.stream.kind, frame.stream.name) == (0, None, "image", str(path))
    assert (source.frames, source.live, dict(source.problems), source.paths) == (1, False, {}, (str(path),))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    # How each orientation stores an upright picture: the inverse of what a viewer does.
    store = {
        1: lambda i: i, 2: lambda i: i[:, ::-1], 3: lambda i: i[::-1, ::-1], 4: lambda i: i[::-1],
        5: lambda i: i.transpose(1, 0, 2), 6: lambda i: np.rot90(i, 1),
        7: lambda i: i[::-1, ::-1].transpose(1, 0, 2), 8: lambda i: np.rot90(i, -1),
    }[orientation]  # fmt: skip
    path = tmp_path / "x.jpg"
    path.write_bytes(media.jpeg(np.ascontiguousarray(store(media.scene(0))), orientation))
    (frame,), _ = read_all(path)
    assert frame.hw == (120, 160)
    assert corners(frame.image) == UPRIGHT


@pytest.mark.parametrize("kind", ["grey", "grey16", "colour16", "alpha", "palette", "cmyk"])
def test_every_pixel_format_comes_as_bgr(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    scene = media.scene(0)
    if kind in ("palette", "cmyk"):
        pytest.importorskip("av")
        path = _exotic(tmp_path, kind, scene)
    else:
        image = {
            "grey": scene[:, :, 1], "grey16": scene[:, :, 1].astype(np.uint16) * 257,
            "colour16": scene.astype(np.uint16) * 257, "alpha": np.dstack([scene, np.full((120, 160), 7, np.uint8)]),
        }[kind]  # fmt: skip
        picture(path, image)
    (frame,), _ = read_all(path)
    assert frame.image.shape == (120, 160, 3)
    assert frame.image.dtype == np.uint8
    expected = np.repeat(scene[:, :, 1:2], 3, 2) if kind.startswith("grey") else scene
    assert np.abs(frame.image[5:50, 5:70].astype(int) - expected[5:50, 5:70]).max() <= (20 if kind == "cmyk" else 1)


def _exotic(folder: Path, kind: str, scene: Any) -> Path:
    if kind == "palette":  # an 8-bit PNG with a palette of the scene's colours, by hand
        colours = [*(tuple(reversed(c)) for c in QUARTERS.values()), (0, 0, 0)]
        index = {tuple(c): i for i, c in enumerate(colours)}
        rows = b"".join(b"\0" + bytes(index[tuple(int(v) for v in px[::-1])] for px in row) for row in scene)
        return _png(folder / "x.png", 160, 120, rows, depth_colour=(8, 3), palette=bytes(v for c in colours for v in c))
    # Nothing here writes CMYK, so a fixed one: 160x120 all red, made by Pillow 13 from mode "CMYK".
    path = folder / "x.jpg"
    path.write_bytes(base64.b64decode(CMYK_RED))
    return path


def _png(path: Path, width: int, height: int, rows: bytes, *, depth_colour: Any, palette: bytes = b"") -> Path:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, *depth_colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", palette) if palette else b"", chunk(b"IDAT", zlib.compress(rows))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    return path


CMYK_RED = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwANCQoLCggNCwoLDg4NDxMgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBXQUZMTlJTUjI+WmFaUGBK"
    "UVJP/8AAFAgAeACgBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAGB//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAOBEMATQBZAEsA"
    "AD8A05Go1cgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA//Z"
)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.jpg", b"", "is empty (0 bytes)"),
        ("x.jpg", b"hello, I am a letter", "is text"),
        ("x.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "begins like a JPEG"),
        ("x.png", b"%PDF-1.7 ...", "is a PDF"),
        ("x.jpg", b"\0\0\0\x18ftypheic\0\0\0\0", "heic"),
        ("x.mp4", b"", "is empty (0 bytes)"),
        ("x.mp4", b"hello, I am a letter", "is text"),
        ("x.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "truncated or was never finished"),
        ("notes.txt", b"hello\nworld\n" * 50, "plain text"),
        ("x.zzz", np.random.default_rng(0).bytes(3000), "not a video that FFmpeg can read"),
    ],
)
def test_a_single_bad_file_is_an_error_that_says_what_it_is(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        sources.open(str(tmp_path / name))
    assert words in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("extension", [".jpg", ".bmp", ".webp"])
def test_a_truncated_picture_is_an_error(tmp_path: Path, extension: str, share: float) -> None:
    path = picture(tmp_path / f"x{extension}", media.noise(0))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SourceError, match="not a complete image"):
        sources.open(str(path))


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = _png(tmp_path / "bomb.png", 60000, 60000, b"\0" * 1000, depth_colour=(8, 2))
    with pytest.raises(SourceError, match=r"bomb\.png"):
        sources.open(str(path))


@pytest.mark.parametrize(
    "name", ["größe 日本 😀.jpg", "a b'c\"d.jpg", "12:30:05.jpg", "x[1]*?.jpg", "%03d.jpg", "-.jpg"]
)
def test_odd_names(tmp_path: Path, name: str) -> None:
    frames, _ = read_all(picture(tmp_path / name))
    assert len(frames) == 1


@pytest.mark.parametrize("name", ["größe 日本.mp4", "12:30:05.mp4", "concat:a|b.mp4", "%03d.mp4", "x[1]*?.mp4"])
def test_odd_video_names(tmp_path: Path, clip: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # with a folder in front, no name looks like a protocol
    Path(name).write_bytes(clip.read_bytes())
    assert len(read_all(name)[0]) == 30


def test_a_name_that_is_no_utf8(tmp_path: Path, clip: Path) -> None:
    for suffix in (b".mp4", b".jpg"):
        raw = os.fsencode(tmp_path) + b"/caf\xe9" + suffix
        try:
            with open(raw, "wb") as file:
                file.write(clip.read_bytes() if suffix == b".mp4" else media.jpeg(media.scene(0)))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        assert len(read_all(os.fsdecode(raw))[0]) == (30 if suffix == b".mp4" else 1)


# ---- folders, patterns, lists


def test_a_folder_is_read_in_natural_order_and_not_deeper(tmp_path: Path) -> None:
    for name in ("img10.jpg", "img2.jpg", "IMG1.png", ".hidden.jpg", "deep/img0.jpg"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    frames, source = read_all(tmp_path)
    assert [Path(f.stream.name).name for f in frames] == ["IMG1.png", "img2.jpg", "img10.jpg"]
    assert source.frames == 3
    assert len({id(f.stream) for f in frames}) == 3


def test_videos_of_a_folder_take_their_turn(tmp_path: Path, clip: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "b.mp4").write_bytes(clip.read_bytes())
    picture(tmp_path / "c.jpg")
    frames, source = read_all(tmp_path, stride=10)
    assert [(Path(f.stream.name).name, f.index) for f in frames] == [
        ("a.jpg", 0), ("b.mp4", 0), ("b.mp4", 10), ("b.mp4", 20), ("c.jpg", 0)
    ]  # fmt: skip
    assert source.frames == 5
    assert [type(s).__name__ for s in sources.open_all([str(tmp_path)])] == ["ImageFiles", "Video", "ImageFiles"]


def test_a_pattern(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/b/2.jpg", "a/b/3.png", "4.jpg"):
        picture(tmp_path / name)
    names = [Path(f.stream.name).name for f in read_all(tmp_path / "**" / "*.jpg")[0]]
    assert sorted(names) == ["1.jpg", "2.jpg", "4.jpg"]
    assert len(read_all(tmp_path / "a" / "*")[0]) == 1


def test_one_unreadable_picture_of_many_is_counted_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"nothing of the kind")
    picture(tmp_path / "c.jpg")
    frames, source = read_all(tmp_path)
    assert len(frames) == 2
    ((text, count),) = source.problems.items()
    assert "b.jpg is not a complete image" in text
    assert count == 1
    named = sources.open_all([str(tmp_path / n) for n in ("a.jpg", "b.jpg", "c.jpg")])
    assert len(named) == 1
    assert len(list(named[0])) == 2
    assert len(named[0].problems) == 1


def test_only_unreadable_pictures_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no")
    (tmp_path / "b.jpg").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"none of 2 images.*a\.jpg"):
        read_all(tmp_path)


def test_an_unreadable_video_of_a_folder_is_survived(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    picture(tmp_path / "b.jpg")
    frames, source = read_all(tmp_path)
    assert len(frames) == 1
    assert any("a.mp4 is not a video" in text for text in source.problems)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match="no source in"):
        read_all(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    picture(tmp_path / "holiday.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts" / "inner").mkdir(parents=True)
    for uri, words in {
        tmp_path / "holyday.jpg": "did you mean",
        tmp_path / "nowhere" / "x.jpg": "there is no folder",
        tmp_path / "empty": "no image or video in the folder",
        tmp_path / "texts": "to include subfolders",
        tmp_path / "*.png": "no file matches",
        tmp_path / "nowhere" / "*.png": "does not exist",
        "": "the source is empty",
        "gopher://x/y": "supported: rtsp",
    }.items():
        with pytest.raises(SourceError) as caught:
            sources.open(str(uri))
        assert words in str(caught.value)


def test_something_missing_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file or folder: .*b\.jpg"):
        sources.open_all([str(picture(tmp_path / "a.jpg")), str(tmp_path / "b.jpg")])


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")  # root may read all, so the mode alone is no test

    path = picture(tmp_path / "a.jpg")
    monkeypatch.setattr(files, "open", refuse, raising=False)
    for uri in (path, tmp_path / "a.mp4"):
        uri.touch()
        with pytest.raises(SourceError, match=r"cannot read .*: Permission denied"):
            sources.open(str(uri))


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        sources.open(str(tmp_path / "x.mp4"))


@pytest.mark.parametrize("stride", [0, -1])
def test_a_stride_is_at_least_one(clip: Path, stride: int) -> None:
    with pytest.raises(UsageError, match="stride"):
        sources.open(str(clip), stride=stride)


def test_a_picture_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(media.jpeg(media.scene(0))))
    )
    (frame,), source = read_all("-")
    assert corners(frame.image) == UPRIGHT
    assert (source.name, source.frames) == ("stdin", 1)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(b"")))
    with pytest.raises(SourceError, match="which is empty"):
        sources.open("-")


# ---- videos


def test_a_video_gives_every_frame_with_its_time(clip: Path) -> None:
    frames, source = read_all(clip)
    assert [f.index for f in frames] == list(range(30))
    assert [f.pts_s for f in frames] == pytest.approx([i / 30 for i in range(30)], abs=1e-4)
    assert len({id(f.stream) for f in frames}) == 1
    stream = frames[0].stream
    assert (stream.name, stream.kind, stream.frames) == (str(clip), "video", 30)
    assert stream.fps == pytest.approx(30)
    assert (source.frames, dict(source.problems)) == (30, {})
    for frame in (frames[0], frames[29]):
        wrong = np.abs(frame.image.astype(int) - media.scene(frame.index)).mean()
        assert wrong < 6, "another frame, or other colours"
        assert frame.image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("stride", [2, 7, 30, 31])
def test_a_stride_leaves_gaps_and_keeps_times(clip: Path, stride: int) -> None:
    frames, source = read_all(clip, stride=stride)
    assert [f.index for f in frames] == list(range(0, 30, stride))
    assert [f.pts_s for f in frames] == pytest.approx([i / 30 for i in range(0, 30, stride)], abs=1e-4)
    assert source.frames == len(frames)


def test_a_source_can_be_read_twice(clip: Path) -> None:
    source = sources.open(str(clip))
    assert len(list(source)) == len(list(source)) == 30


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [0, 0.01, 0.5, 0.51, 2.0, 3.25]
    frames, _ = read_all(media.video(tmp_path / "vfr.mp4", 6, times=times))
    assert [f.pts_s for f in frames] == pytest.approx(times, abs=1e-3)


def test_a_clock_that_does_not_begin_at_zero(tmp_path: Path) -> None:
    path = media.video(tmp_path / "x.ts", 5, times=[7 + i / 30 for i in range(5)])
    pts = [f.pts_s for f in read_all(path)[0]]
    assert np.diff(pts) == pytest.approx([1 / 30] * 4, abs=1e-3)
    assert pts[0] > 6


def test_a_stream_without_a_clock_is_timed_by_its_rate(tmp_path: Path) -> None:
    frames, _ = read_all(media.video(tmp_path / "x.h264", 10))
    assert len(frames) == 10
    assert np.diff([f.pts_s for f in frames]) == pytest.approx([1 / frames[0].stream.fps] * 9)


TURNS = {
    "none": (1, 0, 0, 1), "clockwise": (0, 1, -1, 0), "half": (-1, 0, 0, -1), "counter": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1), "flipped": (1, 0, 0, -1),
}  # fmt: skip
TURNED = {
    "none": UPRIGHT, "clockwise": "blue red white green", "half": "white blue green red",
    "counter": "green white red blue", "mirrored": "green red white blue", "flipped": "blue white red green",
}  # fmt: skip


@pytest.mark.parametrize("turn", TURNS)
def test_a_display_matrix_is_honoured(tmp_path: Path, turn: str) -> None:
    path = media.turned(media.video(tmp_path / "x.mp4", 3), TURNS[turn])
    frames, _ = read_all(path)
    assert frames[0].hw == ((160, 120) if turn in ("clockwise", "counter") else (120, 160))
    assert corners(frames[0].image) == TURNED[turn]
    assert frames[0].image.flags["C_CONTIGUOUS"]


def test_upright_is_the_matrix_of_the_standard() -> None:
    # The definition, slowly: pixel (x, y) lands at (a x + c y, b x + d y), moved back into the picture.
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, [0, 1, 1]]
    for a, b, c, d in TURNS.values():
        seen = {}
        for y in range(2):
            for x in range(3):
                seen[a * x + c * y, b * x + d * y] = image[y, x]
        xs, ys = sorted({k[0] for k in seen}), sorted({k[1] for k in seen})
        expected = np.array([[seen[x, y] for x in xs] for y in ys])
        one = 65536
        matrix = struct.pack("<9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
        np.testing.assert_array_equal(apply_matrix(image, matrix), expected)


@pytest.mark.parametrize("space", ["bt709", "smpte170m"])
@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize(("codec", "name"), [("libx264", "x.mp4"), ("libvpx-vp9", "x.webm")])
def test_colours_follow_the_tags(tmp_path: Path, space: str, span: str, codec: str, name: str) -> None:
    """A colour as each matrix codes it (ITU-R BT.601 / BT.709), written as raw planes and tagged."""
    import av

    red, green, blue = 200 / 255, 120 / 255, 60 / 255
    kr, kb = (0.2126, 0.0722) if space == "bt709" else (0.299, 0.114)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    scale, base, chroma = (219, 16, 224) if span == "tv" else (255, 0, 255)
    planes = [round(base + scale * y), round(128 + chroma * u), round(128 + chroma * v)]
    path = tmp_path / name
    options = {"qp": "0", "lossless": "1", "colorspace": space, "color_range": span}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        raw = np.concatenate([np.full(n, p, np.uint8) for n, p in zip((64 * 48, 64 * 12, 64 * 12), planes)])
        frame = av.VideoFrame.from_ndarray(raw.reshape(72, 64), format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (frame,), _ = read_all(path)
    assert np.abs(frame.image.reshape(-1, 3).mean(0) - (60, 120, 200)).max() <= 3


def test_an_animated_gif_is_a_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "x.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "rgb8"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(media.scene(index), format="bgr24").reformat(format="rgb8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _ = read_all(path)
    assert len(frames) == 5
    assert frames[0].stream.kind == "video"
    assert corners(frames[4].image) == UPRIGHT


def test_content_decides_where_the_extension_says_nothing(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "frame").write_bytes(media.jpeg(media.scene(0)))
    (tmp_path / "upload.bin").write_bytes(clip.read_bytes())
    assert read_all(tmp_path / "frame")[0][0].stream.kind == "image"
    assert len(read_all(tmp_path / "upload.bin")[0]) == 30


def test_sound_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"song\.mp4 has no video.*audio"):
        sources.open(str(path))


def test_an_index_at_the_end_of_a_file_that_is_sent_whole(tmp_path: Path) -> None:
    """A server without Range: FFmpeg finds the index behind what it has read past."""
    path = media.video(tmp_path / "late.mov", 40, size=(320, 240), draw=media.noise)  # .mov: not made for the web
    assert len(read_all(path)[0]) == 40
    with media.served(lambda request: media.send(request, path.read_bytes(), "video/quicktime")) as port, pytest.raises(
        SourceError, match="download it: its server may not send parts of a file"
    ):
        read_all(f"http://127.0.0.1:{port}/late.mov")


@pytest.mark.parametrize("name", ["x.mp4", "x.m3u8"])
def test_a_playlist_opens_nothing_on_the_network(tmp_path: Path, clip: Path, name: str) -> None:
    asked = []

    def answer(request: Any) -> None:
        asked.append(request.path)
        media.send(request, clip.read_bytes())

    with media.served(answer) as port:
        path = tmp_path / name
        url = f"http://127.0.0.1:{port}/clip.ts"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n")
        with pytest.raises(SourceError):
            read_all(path)
    assert asked == []


def test_a_truncated_video_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    whole = media.video(tmp_path / "whole.mp4", 60, draw=media.noise)
    data = whole.read_bytes()
    for share in (0.35, 0.8):
        path = tmp_path / "cut.mp4"
        path.write_bytes(data[: int(len(data) * share)])
        frames, source = read_all(path)
        assert 60 * share * 0.7 < len(frames) < 60
        missing = [count for text, count in source.problems.items() if "the file is truncated" in text]
        assert missing == [60 - len(frames)]


def test_an_mp4_without_its_index_says_so(tmp_path: Path, clip: Path) -> None:
    data = clip.read_bytes()
    at = data.index(b"moov")
    path = tmp_path / "x.mp4"
    path.write_bytes(data[: at - 4] + data[data.index(b"mdat") - 4 :])
    with pytest.raises(SourceError, match="never finished has no index"):
        sources.open(str(path))


def test_damage_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    data = bytearray(media.video(tmp_path / "x.mp4", 60, draw=media.noise).read_bytes())
    start = data.index(b"mdat") + 4
    third = (len(data) - start) // 3
    data[start + third : start + third + 4000] = bytes(4000)
    (tmp_path / "hurt.mp4").write_bytes(data)
    frames, source = read_all(tmp_path / "hurt.mp4")
    assert len(frames) >= 50
    assert sum(source.problems.values()) > 0
    assert all("hurt.mp4: " in text for text in source.problems)


def test_frames_patched_up_by_the_decoder_are_counted(tmp_path: Path) -> None:
    data = bytearray(media.video(tmp_path / "x.mp4", 30, draw=media.noise).read_bytes())
    rng = random.Random(0)
    start = data.index(b"mdat") + 3000
    for _ in range(40):
        data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
    (tmp_path / "hurt.mp4").write_bytes(data)
    _, source = read_all(tmp_path / "hurt.mp4")
    assert source.problems[f"{tmp_path / 'hurt.mp4'}: damaged frames"] >= 3


@examples(60)
@given(
    seed=st.integers(0, 10**6), flips=st.integers(1, 60), cut=st.floats(0.05, 1), kind=st.sampled_from(["mp4", "ts"])
)
def test_no_damage_crashes_or_hangs(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int, cut: float, kind: str
) -> None:
    data = bytearray(_sample(tmp_path_factory, kind))
    rng = random.Random(seed)
    for _ in range(flips):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path = tmp_path_factory.getbasetemp() / f"flipped.{kind}"
    path.write_bytes(data[: max(1, int(len(data) * cut))])
    begun = time.monotonic()
    try:
        frames, _ = read_all(path)
    except SourceError:
        frames = []
    assert len(frames) <= 40
    assert all(f.image.ndim == 3 and f.image.shape[2] == 3 for f in frames)
    assert time.monotonic() - begun < 5


_samples: dict = {}


def _sample(factory: pytest.TempPathFactory, kind: str) -> bytes:
    if kind not in _samples:
        path = media.video(factory.mktemp("sample") / f"x.{kind}", 20, size=(96, 64))
        _samples[kind] = path.read_bytes()
    return _samples[kind]


def test_closing_ends_an_iteration_in_another_thread(clip: Path) -> None:
    source = sources.open(str(clip))
    seen, go = [], threading.Event()

    def read() -> None:
        for frame in source:
            seen.append(frame.index)
            go.wait(5)

    thread = threading.Thread(target=read)
    thread.start()
    while not seen:
        time.sleep(0.01)
    source.close()
    go.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(seen) < 30


def test_stderr_is_ours(tmp_path: Path, clip: Path) -> None:
    """Neither OpenCV nor FFmpeg may write to stderr beside us (in a process of its own, at the file descriptor)."""
    (tmp_path / "a.jpg").write_bytes(media.jpeg(media.noise(0))[:5000])
    (tmp_path / "b.tif").write_bytes(b"II*\0" + b"\xff" * 60)
    data = clip.read_bytes()
    (tmp_path / "c.mp4").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "d.mp4").write_bytes(data)
    code = f"from edgecsp.media import sources\nwith sources.open({str(tmp_path)!r}) as s: print(len(list(s)) > 20)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "True\n"


# ---- the network


def leaks(error: BaseException) -> str:
    """Everything a traceback would show of an error, its chain included."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(error) + repr(error.args)


SECRETS = ("hunter2", "admin", "s3cr3t")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:hunter2@cam.local:554/live", "rtsp://cam.local:554/live"),
        ("rtsp://admin@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hunter2@[fe80::1]:554/x", "rtsp://[fe80::1]:554/x"),
        ("rtsp://admin:hun@ter2@cam/x", "rtsp://cam/x"),
        ("rtsp://admin:hunter2/s3cr3t@cam/x", "rtsp://cam/x"),
        ("rtsp://admin:hunter2#s3cr3t@cam/x", "rtsp://cam/x"),
        ("http://cam/v?user=admin&pwd=hunter2&n=1", "http://cam/v?user=***&pwd=***&n=1"),
        ("http://cam/v?access_token=hunter2", "http://cam/v?access_token=***"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1.sdp", "rtsp://cam/user=***_password=***_channel=1.sdp"),
        ("http://cam/a/b@2x.jpg", "http://cam/a/b@2x.jpg"),
        ("http://cam:8080/a/b.jpg", "http://cam:8080/a/b.jpg"),
        ("http://[fe80::1]/a", "http://[fe80::1]/a"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(
    user=st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters=":/?#"), min_size=1),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_redact_whatever_the_password(user: str, password: str) -> None:
    assert redact(f"rtsp://{user}:{password}@cam/x?y=1") == "rtsp://cam/x?y=1"


def test_a_refused_connection_hides_the_login() -> None:
    port = free_port()
    for path in ("live", "dog.jpg", "clip.mp4"):
        for scheme in ("rtsp", "http"):
            url = f"{scheme}://admin:hunter2@127.0.0.1:{port}/{path}?token=s3cr3t"
            with pytest.raises(SourceError, match=f"cannot open {scheme}://127.0.0.1:{port}/{path}.*refused") as caught:
                sources.open(url)
            assert not any(secret in leaks(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "url", ["http://admin:hunter2@[bad/x.jpg", "http://admin:hunter2@ho st/x", "rtsp://admin:hunter2@"]
)
def test_what_is_no_url_hides_the_login(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        sources.open(url, timeout_s=2)
    assert not any(secret in leaks(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("uri", ["rtsp://admin:hunter2@127.0.0.1:{}/x", "http://admin:hunter2@127.0.0.1:{}/x.mp4",
                                 "http://admin:hunter2@127.0.0.1:{}/x.jpg"])  # fmt: skip
def test_a_server_that_never_answers_times_out(uri: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(4)
        begun = time.monotonic()
        with pytest.raises(SourceError, match=r"no response for 0\.5 s|timed out") as caught:
            sources.open(uri.format(sock.getsockname()[1]), timeout_s=0.5)
        assert time.monotonic() - begun < 3
    assert not any(secret in leaks(caught.value) for secret in SECRETS)


def test_pictures_and_videos_of_a_web_server(clip: Path) -> None:
    def answer(request: Any) -> None:
        wanted = "Basic " + base64.b64encode(b"admin:hunter2").decode()
        if request.path.startswith("/gone"):
            request.send_error(404)
        elif request.headers.get("Authorization") != wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="x"')
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif request.path.startswith("/clip"):
            media.send(request, clip.read_bytes(), "video/mp4")
        else:
            media.send(request, media.jpeg(np.ascontiguousarray(np.rot90(media.scene(0))), 6), "image/jpeg")

    with media.served(answer) as port:
        base = f"http://admin:hunter2@127.0.0.1:{port}"
        for path in ("/dog.jpg", "/snapshot"):  # by its extension, and by its content
            (frame,), source = read_all(base + path)
            assert (frame.stream.kind, source.live) == ("image", False)
            assert corners(frame.image) == UPRIGHT
            assert source.name == f"http://127.0.0.1:{port}{path}"
        frames, source = read_all(base + "/clip.mp4")
        assert (len(frames), source.live, source.frames, frames[0].stream.kind) == (30, False, 30, "video")
        for path, words in (("/gone.jpg", "404"), ("/gone.mp4", "404")):
            with pytest.raises(SourceError, match=words) as caught:
                sources.open(base + path)
            assert not any(secret in leaks(caught.value) for secret in SECRETS)
        with pytest.raises(SourceError, match="401"):
            sources.open(base.replace("hunter2", "wrong") + "/dog.jpg")


def _motion_jpeg(request: Any, count: int, then: Any) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    request.end_headers()
    for index in range(count):
        data = media.jpeg(media.scene(index))
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        request.wfile.write(head + data + b"\r\n")
    then()


def test_a_live_stream_that_falls_silent_ends_with_an_error() -> None:
    silence = threading.Event()
    with media.served(lambda request: _motion_jpeg(request, 12, lambda: silence.wait(20))) as port:
        source = sources.open(f"http://admin:hunter2@127.0.0.1:{port}/video", timeout_s=1.0)
        assert (source.live, source.frames) == (True, None)
        seen = []
        begun = time.monotonic()
        with pytest.raises(SourceError, match=r"failed after \d+ frames: no response for 1 s") as caught:
            seen.extend(source)
        silence.set()
    assert len(seen) >= 10
    assert seen[0].stream.kind == "live"
    assert corners(seen[0].image) == UPRIGHT
    assert time.monotonic() - begun < 5
    assert not any(secret in leaks(caught.value) for secret in SECRETS)


def test_a_live_stream_that_is_cut_says_so_after_its_frames() -> None:
    with media.served(lambda request: _motion_jpeg(request, 12, lambda: None)) as port:
        frames = []
        with pytest.raises(SourceError, match="failed after 12 frames: Input/output error"):
            frames.extend(sources.open(f"http://127.0.0.1:{port}/video", timeout_s=5))
    assert [f.index for f in frames] == list(range(12))


def test_a_live_stream_that_ends_ends(tmp_path: Path) -> None:
    data = media.video(tmp_path / "x.ts", 20).read_bytes()

    def answer(request: Any) -> None:  # in chunks: a broadcast does not know how long it will be
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    with media.served(answer) as port:
        frames, source = read_all(f"http://127.0.0.1:{port}/video", timeout_s=5)
    assert (len(frames), source.live, source.frames, frames[0].stream.kind) == (20, True, None, "live")


def test_packets_without_frames_are_no_stream(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound goes on, the picture does not: the clock must run all the same."""
    from edgecsp.media.sources import video
    from edgecsp.types import Stream

    class Sound:
        stream = object()

    class Endless:
        format = SimpleNamespace(name="rtsp")
        codec = SimpleNamespace(name="h264", flush_buffers=lambda: None)
        track = SimpleNamespace(thread_type="", average_rate=25, codec_context=codec)
        streams = SimpleNamespace(video=[track], audio=[])

        def demux(self) -> Any:
            while True:
                time.sleep(0.01)
                yield Sound()

    stream = Stream("rtsp://cam/x", "live", 25.0)
    with pytest.raises(SourceError, match=r"sends data, but no frame for 0\.2 s"):
        list(video.frames(Endless(), stream, {}, 1, lambda: False, 0.2))


def test_rtsp_goes_over_tcp_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    seen = []

    def opened(url: str, **options: Any) -> Any:
        seen.append(options)
        raise ValueError("far enough")

    monkeypatch.setattr(av, "open", opened)
    for options in (None, {"rtsp_transport": "udp"}):
        with pytest.raises(SourceError):
            network.NetworkSource("rtsp://cam/x", options=options)
    assert [o["container_options"]["rtsp_transport"] for o in seen] == ["tcp", "udp"]
    assert seen[0]["timeout"] == (10.0, 5.0)


# ---- cameras


class FakeCapture:
    """OpenCV's camera: 4 frames, then silence. Device 7 is not there."""

    opened: ClassVar[list] = []

    def __init__(self, device: Any) -> None:
        self.device, self.left, self.released = device, 4, False
        FakeCapture.opened.append(self)

    def isOpened(self) -> bool:
        return self.device != 7

    def get(self, _: int) -> float:
        return 25.0

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> Any:
        return True, media.scene(0)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    FakeCapture.opened = []
    return FakeCapture.opened


@pytest.mark.parametrize(
    ("uri", "device", "name"), [("0", 0, "camera 0"), ("/dev/video3", "/dev/video3", "/dev/video3")]
)
def test_a_camera_is_live(cameras: list, uri: str, device: Any, name: str) -> None:
    source = sources.open(uri, stride=2)
    assert (source.live, source.name, cameras[0].device) == (True, name, device)
    frames = []
    with pytest.raises(SourceError, match="stopped after 4 frames"):
        frames.extend(source)
    assert [f.index for f in frames] == [0, 2]
    assert frames[0].pts_s == 0.0
    assert (frames[0].stream.kind, frames[0].stream.fps) == ("live", 25.0)
    assert cameras[0].released


def test_a_camera_that_is_not_there(cameras: list) -> None:
    with pytest.raises(SourceError, match="cannot open camera 7; cameras here: "):
        sources.open("7")
    assert cameras[0].released


def test_a_real_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="cannot open camera 63"):
        sources.open("63")


def test_a_camera_that_was_never_read_is_given_back(cameras: list) -> None:
    sources.open("0").close()
    assert cameras[0].released
    with pytest.raises(SourceError):
        sources.open_all(["0", "/nowhere/x.jpg"])
    assert cameras[1].released
