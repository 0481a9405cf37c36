"""Detect truncated video files from a few bytes, for containers whose end FFmpeg's demuxer does not check."""

from __future__ import annotations

import mmap
import os
from typing import BinaryIO, Callable, Dict

_TAIL = 1 << 17  # more than an Ogg page
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def is_incomplete(path: str, container: str, end: int) -> bool:
    """Whether a file is truncated or has a hole, or its demuxer stopped early, `end` bytes from its beginning.

    `container` is FFmpeg's name. False where it cannot be known: raw streams, MPEG programs, and files cut between two
    packets.
    """
    look = _CHECKS.get(container)
    if look is None:
        return False
    try:
        with open(path, "rb") as file:
            return look(file, os.fstat(file.fileno()).st_size, end)
    except (OSError, ValueError, IndexError):
        return False  # read errors are reported by the reader


def _gif(file: BinaryIO, size: int, end: int) -> bool:
    """Whether the chain of blocks does not reach the trailer."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 13 + _colours(data[10])
        while at < size and data[at] != 0x3B:
            if data[at] == 0x21:
                at += 2
            elif data[at] == 0x2C and at + 9 < size:
                at += 11 + _colours(data[at + 9])
            else:
                return True
            while at < size and data[at]:
                at += 1 + data[at]
            at += 1
        return at >= size


def _colours(flags: int) -> int:
    """Size of a colour table in bytes."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _apng(file: BinaryIO, size: int, end: int) -> bool:
    return b"IEND\xaeB`\x82" not in _tail(file, size)


def _ogg(file: BinaryIO, size: int, end: int) -> bool:
    """Whether the last page is truncated, or not the last of its stream."""
    tail = _tail(file, size)
    page = tail.rfind(b"OggS\0")
    if page < 0 or page + 27 > len(tail):
        return True
    lengths = tail[page + 27 : page + 27 + tail[page + 26]]
    return not tail[page + 5] & 4 or page + 27 + len(lengths) + sum(lengths) > len(tail)


def _asf(file: BinaryIO, size: int, end: int) -> bool:
    """Whether the file is shorter than its header says (unless broadcast), or a packet begins differently."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, packets = data.find(_ASF_FILE_PROPERTIES, 0, 1 << 16), int.from_bytes(data[16:24], "little") + 50
        if at < 0:
            return False
        if not data[at + 88] & 1 and size < int.from_bytes(data[at + 40 : at + 48], "little"):
            return True
        count = int.from_bytes(data[packets - 10 : packets - 2], "little")
        step = int.from_bytes(data[at + 92 : at + 96], "little")
        begins = data[packets : packets + count * step : step]
        return bool(begins.strip(begins[:1]))


def _mpegts(file: BinaryIO, size: int, end: int) -> bool:
    """Whether the last packet is truncated."""
    head = file.read(1024)
    for packet, first in ((188, 0), (192, 4), (204, 0)):
        if all(head[first + number * packet] == 0x47 for number in range(4)):
            return size % packet != 0
    return False


def _stopped(file: BinaryIO, size: int, end: int) -> bool:
    return end < size


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    return file.read()


_CHECKS: Dict[str, Callable[[BinaryIO, int, int], bool]] = {
    "gif": _gif, "apng": _apng, "ogg": _ogg, "asf": _asf, "mpegts": _mpegts, "yuv4mpegpipe": _stopped,
}  # fmt: skip
