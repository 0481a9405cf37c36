"""Image headers: the size that the decoder will read, in a bounded number of steps."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp.errors import SourceError, UsageError
from edgecsp.media import sources
from edgecsp.media.sources import decoding
from edgecsp.media.sources.image_probe import jpeg, png, probe, tiff, webp
from support import images, media


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm", ".pgm", ".jp2", ".ras"])
def test_the_size_is_the_decoders(kind: str) -> None:
    for width, height in ((1, 1), (83, 61), (300, 2)):
        if kind == ".jp2":  # its encoder wants some pixels for each resolution
            width, height = width + 64, height + 64
        colours = () if kind == ".pgm" else (3,)
        data = images.encoded(kind, np.full((height, width, *colours), 90, np.uint8))
        found = probe(data)
        assert found is not None and (found.width, found.height, found.frames, found.doubt) == (width, height, 1, "")
        assert decoding.decode(data, "x").image.shape == (height, width, 3)


def test_a_lossless_webp_a_gif_and_a_big_tiff() -> None:
    lossless = images.encoded(".webp", np.zeros((61, 83, 3), np.uint8), cv2.IMWRITE_WEBP_QUALITY, 101)
    assert lossless[12:16] == b"VP8L" and probe(lossless) == probe(lossless[:40])
    found = probe(lossless)
    assert found is not None and (found.width, found.height) == (83, 61)
    gif = probe(b"GIF89a" + struct.pack("<HH", 700, 500) + b"\0\0\0" + b"\0\x21\xf9\x04" * 3)
    assert gif is not None and (gif.width, gif.height, gif.frames) == (700, 500, 3)
    tags = struct.pack("<QHHQQHHQQQ", 2, 256, 4, 1, 900, 257, 3, 1, 800, 0)
    wide = probe(b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + tags)
    assert wide is not None and (wide.kind, wide.width, wide.height) == ("TIFF", 900, 800)


@given(
    st.binary(max_size=96),
    st.sampled_from(
        [
            b"\xff\xd8\xff", png.SIGNATURE, png.SIGNATURE + b"\0\0\0\rIHDR", b"RIFF\0\0\0\0WEBPVP8X", b"BM", b"II*\0",
            b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"GIF89a", b"P6\n", b"P7\n", b"\0\0\0\x10ftypavif\0\0\0\0", b"",
            b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x40meta",
        ]
    ),
)  # fmt: skip
def test_no_header_is_a_crash(rest: bytes, begin: bytes) -> None:
    found = probe(begin + rest)
    assert found is None or (found.width >= 0 and found.height >= 0 and found.frames >= 1)


def test_a_size_behind_a_stuffed_marker_is_the_one_that_libjpeg_reads() -> None:
    data = images.stuffed_jpeg(32000)
    found = probe(data)
    assert found is not None and "unknown marker FF00" in found.doubt
    assert decoding.jpeg_size(data) == (32000, 32000)
    with pytest.raises(SourceError, match=r"x\.jpg is 32000x32000, 1024 megapixels; at most 200 are read"):
        decoding.decode(data, "x.jpg")


@pytest.mark.parametrize(
    ("between", "doubt"),
    [
        (b"\xff\x00", "unknown marker FF00"),
        (b"\xff\x02\0\2", "unknown marker FF02"),
        (b"\xff\xf7\0\2", "unknown marker FFF7"),
        (b"\xff\xd0", "unknown marker FFD0"),
        (b"\xff\xd8", "unknown marker FFD8"),
        (b"\0\0", "belongs to no segment"),
        (b"\xff\xfe\0\1", "a segment of 1 bytes"),
        (b"\xff" * 3000, "more than 2000"),
        (b"\xff\xfe\0\2" * 3000, "more than 2000"),
    ],
)
def test_a_jpeg_header_that_can_be_read_in_two_ways(between: bytes, doubt: str) -> None:
    data = images.encoded(".jpg")
    found = probe(data[:2] + between + data[2:] if between[:1] == b"\xff" else data[:20] + between + data[20:])
    assert found is not None and doubt in found.doubt


def test_a_second_frame_header_is_a_doubt() -> None:
    data = images.encoded(".jpg")
    at = data.index(b"\xff\xc0")
    length = 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    found = probe(data[:at] + data[at : at + length] + data[at:])
    assert found is not None and "unknown marker FFC0" in found.doubt


class Counted(bytes):
    """Bytes that count how often a piece of them is taken: the steps of a walk."""

    taken = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        Counted.taken += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (b"\xff\xd8" + b"\xff" * 8_000_000, 6 * jpeg.STEPS),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000, 6 * jpeg.STEPS),
        (images.with_png_chunks(images.chunk(b"gAMA", b"\0\0\0\0") * 500_000), 8 * png.OTHERS),
        (images.with_png_chunks(images.chunk(b"IDAT", b"") * 500_000), 4 * png.CHUNKS),
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02" + b"\0" * 9 + b"ANMF\0\0\0\0" * 500_000, 4 * webp.CHUNKS),
    ],
    ids=["fill bytes", "comments", "gAMA", "IDAT", "ANMF"],
)
def test_a_walk_is_bounded(data: bytes, most: int) -> None:
    Counted.taken = 0
    found = probe(Counted(data))
    assert found is not None and "more than" in found.doubt
    assert Counted.taken < most


def test_the_second_ihdr_of_a_png_is_a_doubt() -> None:
    ihdr = images.chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
    found = probe(images.with_png_chunks(ihdr))
    assert found is not None and found.doubt == "a second IHDR"


# -- the limit ------------------------------------------------------------------------------------------------------


def test_an_image_over_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    head = images.chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    path = tmp_path / "x.png"
    path.write_bytes(png.SIGNATURE + head + images.chunk(b"IDAT", b"") + images.chunk(b"IEND", b""))
    with pytest.raises(SourceError, match=r"30000x30000, 900 megapixels.*--max-pixels 900000000"):
        sources.open(str(path))
    with pytest.raises(UsageError, match="max_pixels 0"):
        sources.open(str(path), max_pixels=0)
    small = tmp_path / "y.jpg"
    small.write_bytes(images.encoded(".jpg"))
    with sources.open(str(small), max_pixels=160 * 120) as source:
        assert [frame.hw for frame in source] == [(120, 160)]
    with pytest.raises(SourceError, match="160x120"):
        sources.open(str(small), max_pixels=160 * 120 - 1)


def test_opencvs_own_limit_is_the_second_wall(tmp_path: Path) -> None:
    """What no walk here knows is decoded under OpenCV's limit, which the command sets before OpenCV is imported."""
    (tmp_path / "a.hdr").write_bytes(cv2.imencode(".hdr", np.ones((120, 160, 3), np.float32))[1].tobytes())
    os.rename(tmp_path / "a.hdr", tmp_path / "a.jpg")  # by its extension a picture, by its content unknown
    assert probe((tmp_path / "a.jpg").read_bytes()) is None
    words = [sys.executable, "-m", "edgecsp", "run", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "out")]
    done = subprocess.run([*words, "--max-pixels", "10000"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "--max-pixels" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    done = subprocess.run([*words, "--max-pixels", "20000"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_command_allows_more(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encoded(".png", media.scene(0)))
    words = [sys.executable, "-m", "edgecsp", "run", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "-q"]
    done = subprocess.run([*words, "--max-pixels", "19199"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "a.png is 160x120" in done.stderr and "--max-pixels 19200" in done.stderr
    done = subprocess.run([*words, "--max-pixels", "19200"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*words, "--max-pixels", "0"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--max-pixels 0: at least 1" in done.stderr


def test_directories_within_each_other_end() -> None:
    """Directories of a TIFF may overlap, so that a small file holds very many entries."""
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + b"\0" * 402_000)
    for at in range(8, 390_000, 14 * 2):  # 900 entries each, and the next one begins two entries on
        struct.pack_into("<H", data, at, 900)
        struct.pack_into("<I", data, at + 2 + 900 * 12, at + 28)
    Counted.taken = 0
    found = probe(Counted(bytes(data)))
    assert found is not None and found.kind == "TIFF"
    assert Counted.taken < 10 * tiff.ALL_ENTRIES


def test_only_the_formats_that_are_asked_for_are_read() -> None:
    assert probe(images.encoded(".tif"), ("JPEG", "PNG")) is None
    assert probe(images.encoded(".png"), ("JPEG", "PNG")) is not None
