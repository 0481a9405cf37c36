"""Damaged and many-paged images: read with a warning that names them, in whatever thread; and which way is up."""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, List

import cv2
import numpy as np
import pytest

import edgecsp
from edgecsp.errors import SourceError
from edgecsp.media import sources
from edgecsp.media.sources import decoding
from support import images, media


def problems(path: Path) -> List[str]:
    with sources.open(str(path)) as source:
        assert len(list(source)) == 1
        return sources.told(source.problems)


def test_a_jpegs_pixels_are_opencvs() -> None:
    for data in (
        images.encoded(".jpg", media.noise(3, 77, 51)),
        images.encoded(".jpg", media.noise(3)[:, :, 0]),
        images.encoded(".jpg", media.noise(4), cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
        *(media.jpeg(media.noise(5, 33, 20), orientation) for orientation in range(1, 9)),
    ):
        image, warnings = decoding.decode(data, "x")
        assert not warnings
        assert np.array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_exif_of_both_byte_orders() -> None:
    data = media.jpeg(media.scene(0), 6)
    swapped = data.replace(
        b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0),
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0),
    )
    assert swapped != data
    assert np.array_equal(decoding.decode(swapped, "x").image, decoding.decode(data, "x").image)
    assert decoding.decode(data, "x").image.shape == (160, 120, 3)


def test_a_damaged_jpeg_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "flipped.jpg"
    path.write_bytes(images.damaged_jpeg())
    (said,) = problems(path)
    assert str(path) in said and "damaged" in said and "libjpeg" in said


def test_a_jpeg_without_its_end_marker_is_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "noeoi.jpg"
    whole = images.encoded(".jpg", media.noise(2))
    path.write_bytes(whole[:-2])
    (said,) = problems(path)
    assert f"{path}: its end marker is missing" in said
    assert np.array_equal(decoding.decode(whole[:-2], "x").image, decoding.decode(whole, "x").image)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_that_is_cut_short_is_refused(share: float) -> None:
    whole = images.encoded(".jpg", media.noise(2))
    with pytest.raises(SourceError, match="x is not a whole picture"):
        decoding.decode(whole[: int(len(whole) * share)], "x")


def test_damage_belongs_to_its_own_image_in_every_thread(capfd: Any) -> None:
    whole, damaged = images.encoded(".jpg", media.noise(7)), images.damaged_jpeg(media.noise(7))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: decoding.decode(damaged if i % 3 == 0 else whole, "x").warnings, range(300)))
    assert [bool(each) for each in found] == [i % 3 == 0 for i in range(300)]
    assert capfd.readouterr().err == "", "libjpeg writes nothing past us"


def test_a_deflated_tiff_with_a_wrong_checksum_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(images.encoded(".tif", media.noise(1), cv2.IMWRITE_TIFF_COMPRESSION, 8))
    assert problems(path) == []
    path.write_bytes(images.damaged_tiff())
    (said,) = problems(path)
    assert f"{path}: damaged" in said


@pytest.mark.parametrize("kind", [".png", ".avif"])
def test_what_has_a_checksum_of_its_own_is_refused_by_its_decoder(kind: str) -> None:
    if kind == ".avif" and not cv2.haveImageWriter("x.avif"):
        pytest.skip("this OpenCV writes no AVIF")
    data = bytearray(images.encoded(kind, media.noise(1)))
    for at in range(len(data) // 2, len(data) // 2 + 8):
        data[at] ^= 0x55
    with pytest.raises(SourceError, match="x is not a whole picture"):
        decoding.decode(bytes(data), "x")


@pytest.mark.parametrize("kind", [".png", ".webp", ".jp2", ".tif", ".bmp", ".ppm", ".avif"])
def test_what_is_cut_short_is_never_read_in_silence(kind: str) -> None:
    if kind == ".avif" and not cv2.haveImageWriter("x.avif"):
        pytest.skip("this OpenCV writes no AVIF")
    data = images.encoded(kind, media.noise(1))
    for share in (0.4, 0.7, 0.95):
        try:
            found = decoding.decode(data[: int(len(data) * share)], "x")
        except SourceError:
            continue
        assert found.warnings, share


# -- more than one frame ---------------------------------------------------------------------------------------------


def test_of_many_pages_or_frames_it_is_told_that_the_first_was_read(tmp_path: Path) -> None:
    made = {
        "pages.tif": (images.pages_tiff(3, tmp_path), "only the first of 3 pages was read"),
        "anim.webp": (images.animated_webp(4), "only the first of 4 frames was read"),
        "anim.png": (images.animated_png(3), "only the first of 3 frames was read"),
    }
    for name, (data, words) in made.items():
        (tmp_path / name).write_bytes(data)
        assert problems(tmp_path / name) == [f"{tmp_path / name}: {words}"]


def test_a_smaller_copy_within_a_tiff_is_no_page(tmp_path: Path) -> None:
    data = bytearray(images.pages_tiff(2, tmp_path))
    # The second directory's SubfileType becomes 1: a reduced image.
    first = struct.unpack_from("<I", data, 4)[0]
    second = struct.unpack_from("<I", data, first + 2 + 12 * struct.unpack_from("<H", data, first)[0])[0]
    for at in range(second + 2, second + 2 + 12 * struct.unpack_from("<H", data, second)[0], 12):
        if struct.unpack_from("<H", data, at)[0] == 254:
            struct.pack_into("<I", data, at + 8, 1)
            break
    else:
        struct.pack_into("<HHII", data, second + 2, 254, 4, 1, 1)
    assert decoding.decode(bytes(data), "x").warnings == ()


def test_an_avif_sequence_is_told() -> None:
    track = images.box(
        b"trak",
        images.full(b"tkhd", b"\0" * 72, struct.pack(">II", 640 << 16, 480 << 16)),
        images.box(b"mdia", images.box(b"minf", images.box(b"stbl", images.full(b"stsz", struct.pack(">II", 9, 5))))),
    )
    found = sources.image_probe.probe(images.box(b"ftyp", b"avis\0\0\0\0") + images.box(b"moov", track))
    assert found is not None
    assert (found.kind, found.frames, found.width, found.height) == ("AVIF", 5, 640, 480)


# -- which way is up -------------------------------------------------------------------------------------------------

TURNS = [
    ([], lambda image: image),
    ([images.box(b"irot", b"\1")], lambda image: np.rot90(image, 1)),
    ([images.box(b"irot", b"\3")], lambda image: np.rot90(image, 3)),
    ([images.box(b"imir", b"\0")], lambda image: image[::-1]),
    ([images.box(b"imir", b"\1")], lambda image: image[:, ::-1]),
    ([images.box(b"irot", b"\1"), images.box(b"imir", b"\1")], lambda image: np.rot90(image, 1)[:, ::-1]),
]


@pytest.mark.parametrize("number", range(len(TURNS)))
def test_an_avif_is_turned_as_it_says(number: int) -> None:
    if not cv2.haveImageWriter("x.avif"):
        pytest.skip("this OpenCV writes no AVIF")
    turns, expected = TURNS[number]
    image = media.scene(0)
    found = decoding.decode(images.avif(image, turns), "x")
    assert found.image.shape == expected(image).shape and found.warnings == ()
    assert np.abs(found.image.astype(int) - expected(image)).mean() < 12


def test_a_heic_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    path = tmp_path / "x.heic"
    path.write_bytes(images.heif(b"heic", b"hvc1", images.box(b"hvcC"), b"\0" * 40, 64, 48, []))
    with pytest.raises(SourceError, match=r"x\.heic is a HEIC image.*pip install pi-heif"):
        sources.open(str(path))


@pytest.mark.parametrize("number", range(len(TURNS)))
def test_a_heic_is_read_where_its_decoder_is(number: int) -> None:
    pytest.importorskip("pi_heif", reason="pi-heif (extra heic) is not installed")
    av = pytest.importorskip("av")
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg writes no HEVC")
    turns, expected = TURNS[number]
    image = media.scene(0)
    found = decoding.decode(images.heic(image, turns), "x").image
    assert found.shape == expected(image).shape
    assert np.abs(found.astype(int) - expected(image)).mean() < 12


# -- those who pass it on ----------------------------------------------------------------------------------------------


def test_run_names_it_and_ends_as_partly_done(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(images.damaged_jpeg())
    (folder / "b.jpg").write_bytes(images.encoded(".jpg"))
    words = [sys.executable, "-m", "edgecsp", "run", str(folder), "--json", "-", "-q"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 4 and len(done.stdout.splitlines()) == 2
    assert f"{folder / 'a.jpg'}: damaged" in done.stderr and "b.jpg" not in done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("edgecsp: ")], "no anonymous line"


def test_in_python_it_is_logged(tmp_path: Path, tiny: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(images.damaged_jpeg())
    with edgecsp.load(tiny.model, "ort", max_pixels=160 * 120) as detector, caplog.at_level(logging.WARNING):
        detector(path)
        assert [record for record in caplog.records if "a.jpg: damaged" in record.getMessage()]
    with edgecsp.load(tiny.model, "ort", max_pixels=100) as detector, pytest.raises(SourceError, match="160x120"):
        detector(path)


# -- links and what is no file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["**/*.jpg", "**/**/*.jpg", "*/**/*.jpg", "**"])
def test_links_in_a_circle_end(tmp_path: Path, pattern: str) -> None:
    images.linked(tmp_path / "in")
    (source,) = sources.open_all([str(tmp_path / "in" / pattern)])
    found = sorted({os.path.realpath(path) for path in source.paths})
    assert found == [str(tmp_path / "in" / name / f"{name}.jpg") for name in "abcdef"]
    # Below a pattern's own wildcard a folder may be met by another name; nowhere without end.
    assert len(source.paths) <= 6 * 7


def test_patterns_match_what_globs_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import glob

    from edgecsp.media.sources.paths import matching

    for name in ("a/b/1.jpg", "a/2.jpg", "3.jpg", "a/.h/4.jpg", ".i/5.jpg", "a/[x]/6.jpg", "a/b/c/7.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for pattern in ("**/*.jpg", "*.jpg", "a/**/*.jpg", "a/*/*.jpg", "**/b/*", "**/b/**/*.png", "./**/*.jpg", "x/**/*"):
        for begin in ("", f"{tmp_path}/"):
            expected = sorted(set(glob.glob(begin + pattern, recursive=True)))
            assert sorted(matching(begin + pattern)) == expected, begin + pattern
    assert {path for path in matching("a/**") if os.path.isfile(path)} == {
        path for path in glob.glob("a/**", recursive=True) if os.path.isfile(path)
    }


def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("p.jpg", "v.mp4", "noext"):
        os.mkfifo(folder / name)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "whole.jpg").write_bytes(images.encoded(".jpg"))
    for name in ("p.jpg", "v.mp4", "noext"):
        with pytest.raises(SourceError, match=f"{name} is no regular file"):
            sources.open(str(folder / name))
    with sources.open(str(folder)) as source:
        assert [frame.stream.name for frame in source] == [str(folder / "whole.jpg")]
        said = "\n".join(source.problems)
    assert "p.jpg is no regular file" in said and "v.mp4 is no regular file" in said and "gone.png" in said
