"""Encoded images that tests need and no encoder writes: damaged, animated, turned, or with a header that misleads."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, List

import cv2
import numpy as np

from support import media


def encoded(kind: str = ".jpg", image: Any = None, *options: int) -> bytes:
    return cv2.imencode(kind, media.scene(0) if image is None else image, list(options))[1].tobytes()


def damaged_jpeg(image: Any = None) -> bytes:
    """A JPEG with a marker in its scan that no JPEG has."""
    data = encoded(".jpg", media.noise(1) if image is None else image)
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    return data[:middle] + b"\xff\x5b" + data[middle + 2 :]


def stuffed_jpeg(side: int = 32000) -> bytes:
    """A JPEG whose size stands behind a stuffed marker and what looks like a segment; a small size comes later."""
    data = encoded(".jpg", np.zeros((16, 16), np.uint8))
    frame = data.index(b"\xff\xc0")
    tables = data[2:frame]
    hidden = data[frame : frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :]
    # A walker that takes FF00 for a segment of 0x013E bytes and more goes by what comes behind it.
    rest = tables + hidden[:-2]
    return b"\xff\xd8\xff\x00" + struct.pack(">H", len(rest) + 2) + rest + data[frame:]


def damaged_tiff(compression: int = 8) -> bytes:
    data = bytearray(encoded(".tif", media.noise(1), cv2.IMWRITE_TIFF_COMPRESSION, compression))
    for at in range(len(data) // 3, len(data) // 3 + 8):
        data[at] ^= 0x55
    return bytes(data)


def pages_tiff(count: int, folder: Any) -> bytes:
    path = folder / "pages.tif"
    assert cv2.imwritemulti(str(path), [media.scene(i) for i in range(count)])
    return path.read_bytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_png_chunks(*chunks: bytes) -> bytes:
    data = encoded(".png")
    return data[:33] + b"".join(chunks) + data[33:]


def animated_png(count: int) -> bytes:
    data = encoded(".png")
    width, height = media.scene(0).shape[1::-1]
    pixels = data[data.index(b"IDAT") - 4 : data.index(b"IEND") - 4]
    size = struct.unpack(">I", pixels[:4])[0]

    def control(number: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 10, 0, 0))

    frames = b"".join(control(2 * i - 1) + chunk(b"fdAT", struct.pack(">I", 2 * i) + pixels[8 : 8 + size])
                      for i in range(1, count))  # fmt: skip
    return data[:33] + chunk(b"acTL", struct.pack(">II", count, 0)) + control(0) + pixels + frames + chunk(b"IEND", b"")


def animated_webp(count: int) -> bytes:
    image = media.scene(0)
    still = encoded(".webp", image, cv2.IMWRITE_WEBP_QUALITY, 80)[12:]
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in image.shape[1::-1])
    frame = b"\0" * 6 + sides + struct.pack("<I", 100)[:3] + b"\0" + still
    body = b"WEBP" + _riff(b"VP8X", b"\x02\0\0\0" + sides) + _riff(b"ANIM", b"\0" * 6)
    body += b"".join(_riff(b"ANMF", frame) for _ in range(count))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8) + kind + data


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def heif(brand: bytes, codec: bytes, config: bytes, item: bytes, width: int, height: int, turns: List[bytes]) -> bytes:
    """One coded image as an image file of boxes, with transforms."""
    kind = box(b"ftyp", brand, b"\0\0\0\0", b"mif1", brand, b"miaf")
    ispe = full(b"ispe", struct.pack(">II", width, height))
    numbers = range(1, 3 + len(turns))
    ipma = full(b"ipma", struct.pack(">IHB", 1, 1, len(numbers)), bytes(n | 0x80 if n > 1 else n for n in numbers))
    about = (
        full(b"hdlr", b"\0\0\0\0pict", b"\0" * 13),
        full(b"pitm", struct.pack(">H", 1)),
        full(b"iinf", struct.pack(">H", 1), full(b"infe", struct.pack(">HH", 1, 0), codec, b"\0", version=2)),
        box(b"iprp", box(b"ipco", ispe, config, *turns), ipma),
    )

    def place(at: int) -> bytes:
        return full(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, at, len(item)))

    at = len(kind) + len(full(b"meta", *about, place(0))) + 8
    return kind + full(b"meta", *about, place(at)) + box(b"mdat", item)


def avif(image: Any, turns: List[bytes]) -> bytes:
    """OpenCV's AVIF, laid out anew with transforms."""
    data = cv2.imencode(".avif", image)[1].tobytes()
    at = data.index(b"av1C") - 4
    config = data[at : at + struct.unpack(">I", data[at : at + 4])[0]]
    item = data[data.index(b"mdat") + 4 :]
    return heif(b"avif", b"av01", config, item, image.shape[1], image.shape[0], turns)


def heic(image: Any, turns: List[bytes]) -> bytes:
    """One HEVC intra frame as a HEIC."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:crf=10:info=0:bframes=0"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt, stream.codec_tag = "yuv420p", "hvc1"
        frame = av.VideoFrame.from_ndarray(image, "bgr24")
        frame.pts, frame.time_base = 0, Fraction(1)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            packet.pts = packet.dts = 0  # libx265 through PyAV 12 leaves what no muxer takes
            out.mux(packet)
    data = file.getvalue()
    at = data.index(b"hvcC") - 4
    config = data[at : at + struct.unpack(">I", data[at : at + 4])[0]]
    at = data.index(b"mdat") - 4
    item = data[at + 8 : at + struct.unpack(">I", data[at : at + 4])[0]]
    return heif(b"heic", b"hvc1", config, item, image.shape[1], image.shape[0], turns)


def linked(folder: Path) -> None:
    """Folders whose links lead to each other: each way through them is another path."""
    for name in "abcdef":
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.jpg").write_bytes(encoded(".jpg"))
    for here in "abcdef":
        for there in "abcdef":
            (folder / here / f"to-{there}").symlink_to(folder / there)
    (folder / "up").symlink_to(folder)
    (folder / "self").symlink_to("self")


def gradient() -> Any:
    """A small image with structure, (61, 83, 3) uint8 BGR."""
    y, x = np.mgrid[:61, :83]
    return np.stack([(x * 3) % 256, (y * 4) % 256, (x * y) % 256], 2).astype(np.uint8)
