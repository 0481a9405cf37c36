"""Damage to videos and the warnings of it: every codec and container that this FFmpeg writes, cut, holed and flipped.

    python -m benchmarks.damage [--only hevc,webm] [--json]

Each video is made (60 frames), damaged in three ways and read as `edgecsp run` reads it: cut after 55 % of its bytes;
a hole of zeros from 45 to 55 %; bytes flipped in every third packet. Damage is seen in the pixels: a damaged frame is
like no frame of the undamaged video. The columns: codec, container, damage, frames damaged, frames lost, what edgecsp
tells. Exit code 1: a row where frames are damaged or lost and nothing is told, other than those that docs/damage.md
names, or an undamaged video of which something is told.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import av
import numpy as np

from edgecsp.errors import SourceError
from edgecsp.media import sources

from . import command_line

FRAMES = 60
LAVC = av.library_versions["libavcodec"][0]
RATE = 25
LIKE_DB = 30.0  # frames of the video differ by 20 dB more
KINDS = ("whole", "cut", "hole", "flipped")

# Containers by extension, with what their muxer wants; an index in front, or a cut mp4 would be refused as a whole.
CONTAINERS: Dict[str, Dict[str, Any]] = {
    **{ext: {} for ext in ("mkv", "webm", "avi", "ogv", "ts", "mpg", "vob", "wmv", "flv", "gif", "apng", "nut", "ivf")},
    **{ext: {"options": {"movflags": "+faststart"}} for ext in ("mp4", "mov", "3gp")},
    **{ext: {} for ext in ("h264", "hevc", "y4m", "mxf")},
    "mjpeg": {"format": "mjpeg"},
}  # fmt: skip
# Containers that hold the codec and nothing else; FFmpeg would write any codec there.
RAW = {"h264": ("h264", "libx264"), "hevc": ("hevc", "libx265"), "mjpeg": ("mjpeg",)}
# Encoders that want more than a size, by name: codec options, size, pixel format, bit rate.
WANTS: Dict[str, Dict[str, Any]] = {
    "libx264": {"options": {"preset": "veryfast"}},
    "libx265": {"options": {"preset": "ultrafast", "x265-params": "log-level=none"}},
    "libsvtav1": {"options": {"preset": "12"}},
    "libaom-av1": {"options": {"cpu-used": "8"}},
    "libvpx": {"options": {"deadline": "realtime"}},
    "libvpx-vp9": {"options": {"deadline": "realtime", "cpu-used": "8"}},
    "ffv1": {"options": {"level": "3"}},  # the first version that has checksums
    "mjpeg": {"pix_fmt": "yuvj420p"},
    "ljpeg": {"pix_fmt": "yuvj420p"},
    "dvvideo": {"size": (720, 576)},
    "dnxhd": {"size": (1280, 720), "pix_fmt": "yuv422p", "bit_rate": 60_000_000},
    "snow": {"options": {"strict": "-2"}},
}
HARDWARE = ("_vaapi", "_nvenc", "_qsv", "_v4l2m2m", "_amf", "_vulkan", "_videotoolbox")
# Left out: hardware, text, one image a file, and what other programs read alone.
LEFT_OUT = (
    "msrle", "rpza", "smc", "roqvideo", "zmbv",  # encoders that end the process in FFmpeg 6
    "wrapped_avframe", "libopenh264", "a64multi", "xbm", "xface", "pam", "pbm", "pgm", "ppm", "pfm", "phm", "bmp",
    "dpx", "exr", "hdr", "jpegls", "pcx", "qoi", "sgi", "sunrast", "targa", "tiff", "xwd", "fits", "alias_pix",
    "vbn", "wbmp", "libwebp", "libwebp_anim", "yuv4", "bitpacked", "avrp", "avui", "ayuv", "r10k", "r210", "v308",
    "v408", "v410", "y41p", "vnull", "anull",
)  # fmt: skip

# What nobody tells, by codec, container and kind of damage; docs/damage.md says why.
_NO_CHECK = (
    "vp8", "vp9", "libvpx", "libvpx-vp9", "rawvideo", "v210", "huffyuv", "ffvhuff", "magicyuv", "asv2", "snow",
    "speedhq",
)  # fmt: skip
OLD = ("hevc", "libx265", "libx264rgb")  # FFmpeg 6 finds less: a part of HEVC's damage
SILENT: Tuple[Tuple[str, str, str], ...] = (
    *((codec, "*", "flipped") for codec in _NO_CHECK),
    *(("*", container, "hole") for container in ("nut", "mpg", "vob", "h264", "hevc", "mjpeg")),
    *(("*", container, "cut") for container in ("mpg", "vob", "h264", "hevc", "mjpeg")),
    *((codec, container, "hole") for codec in ("v210", "rawvideo") for container in ("mov", "avi", "mkv")),
    ("libx264rgb", "mxf", "cut"),
)  # fmt: skip


@dataclass
class Row:
    """One video: how many of its frames are damaged and lost, and the warnings of them."""

    codec: str
    container: str
    kind: str
    damaged: int = 0
    lost: int = 0
    warnings: Dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        """The row as JSON has it: warnings are `told` there."""
        fields = asdict(self)
        return {**{name: fields[name] for name in fields if name != "warnings"}, "told": fields["warnings"]}

    @property
    def is_silent(self) -> bool:
        """Whether frames suffered without a warning."""
        return bool(self.damaged or self.lost) and not self.warnings

    @property
    def is_documented(self) -> bool:
        """Whether the docs say that nobody can know."""
        mine = (self.codec, self.container, self.kind)
        if LAVC < 61 and self.codec in OLD:
            return True
        return any(all(want in ("*", got) for want, got in zip(row, mine)) for row in SILENT)

    @property
    def is_wrong(self) -> bool:
        """Whether this row must not be."""
        return bool(self.warnings) if self.kind == "whole" else self.is_silent and not self.is_documented


def main() -> int:
    """Make, damage, read, print."""
    only = ("", "codecs or containers, separated by commas")
    args = command_line.parser(__doc__, only=only, json=(False, "a JSON object a row")).parse_args()
    wrong = count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows(Path(scratch), set(filter(None, args.only.split(",")))):
            count += 1
            wrong += row.is_wrong
            print(json.dumps(row.to_dict()) if args.json else format_row(row), flush=True)
    print(f"{count} videos, {wrong} wrong", file=sys.stderr)
    return int(wrong > 0 or not count)


def format_row(row: Row) -> str:
    """A line for people."""
    warnings = "; ".join(f"{text} ({times})" for text, times in row.warnings.items()) or "-"
    mark = "WRONG" if row.is_wrong else "known" if row.is_silent else ""
    return f"{row.codec:12} {row.container:6} {row.kind:8} {row.damaged:3} {row.lost:3}  {mark:6} {warnings}"


def rows(scratch: Path, only: Any = ()) -> Iterator[Row]:
    """A row for each codec, container and kind of damage; `only` names codecs or containers."""
    for codec in encoders():
        for container in CONTAINERS:
            if not only or {codec, container} <= set(only) or (len({codec, container} & set(only)) and len(only) == 1):
                yield from _rows(scratch, codec, container)


def _rows(scratch: Path, codec: str, container: str) -> Iterator[Row]:
    path = scratch / f"whole.{container}"
    if codec not in RAW.get(container, (codec,)) or not write(path, codec):
        return
    whole, warnings = read(path)
    if whole is None or len(whole) < FRAMES - 1:
        return  # this FFmpeg writes it and cannot read it
    for kind in KINDS:
        hurt, warnings = path, warnings
        if kind != "whole":
            hurt = scratch / f"{kind}.{container}"
            if kind == "flipped":
                if not write(hurt, codec, flip=True):  # this muxer reads what it writes
                    hurt.write_bytes(flipped(path))
            else:
                hurt.write_bytes(damaged(path.read_bytes(), kind))
            frames, warnings = read(hurt)
            like = len({nearest(image, whole) for image in frames or ()} - {None})
            lost = max(0, len(whole) - len(frames or []))
            yield Row(codec, container, kind, max(0, len(whole) - like - lost), lost, warnings)
        else:
            yield Row(codec, container, kind, warnings=warnings)


def encoders() -> List[str]:
    """The video encoders of this FFmpeg that need no hardware."""
    names = []
    for name in sorted(av.codec.codecs_available):
        try:
            codec = av.codec.Codec(name, "w")
        except ValueError:
            continue
        if codec.type == "video" and not name.endswith(HARDWARE) and name not in LEFT_OUT:
            names.append(name)
    return names


def scene(index: int, width: int, height: int) -> Any:
    """A frame that is like no other of the video."""
    blocks = np.random.default_rng(5).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(np.roll(blocks.repeat(8, 0).repeat(8, 1), index * 3, 1))


def write(path: Path, codec: str, flip: bool = False) -> bool:
    """A video; whether this FFmpeg can. With `flip`, five bytes of every third packet are inverted."""
    wants, rng = WANTS.get(codec, {}), random.Random(1)
    width, height = wants.get("size", (176, 144))
    try:
        formats = [one.name for one in av.codec.Codec(codec, "w").video_formats or ()]
        pix_fmt = wants.get("pix_fmt") or ("yuv420p" if "yuv420p" in formats or not formats else formats[0])
        with av.open(str(path), "w", **CONTAINERS[path.suffix[1:]]) as container:
            stream = container.add_stream(codec, rate=RATE, options=dict(wants.get("options", {})))
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            stream.codec_context.gop_size = 12
            stream.bit_rate = wants.get("bit_rate", 800_000)
            count = 0
            for index in range(FRAMES + 1):
                frame = None
                if index < FRAMES:
                    frame = av.VideoFrame.from_ndarray(scene(index, width, height), "bgr24").reformat(format=pix_fmt)
                    frame.pts = index
                for packet in stream.encode(frame):
                    count += 1
                    if flip and not count % 3:
                        data = bytearray(bytes(packet))
                        for _ in range(5):
                            data[rng.randrange(len(data) // 3, len(data))] ^= 0xFF
                        packet.update(bytes(data))
                    container.mux(packet)
    except (av.error.FFmpegError, ValueError, TypeError, RuntimeError, OverflowError):
        return False
    return count > 0


def damaged(data: bytes, kind: str) -> bytes:
    """A file's bytes, cut or holed."""
    size = len(data)
    if kind == "cut":
        return data[: size * 55 // 100]
    begin, end = size * 45 // 100, size * 55 // 100
    return data[:begin] + bytes(end - begin) + data[end:]


def flipped(path: Path) -> bytes:
    """A file's bytes with five bytes of every third packet inverted."""
    data, at, rng = bytearray(path.read_bytes()), 0, random.Random(1)
    with av.open(str(path)) as container:
        for number, packet in enumerate(container.demux(video=0), 1):
            place = data.find(bytes(packet), at) if packet.size else -1
            if place >= 0:
                at = place + packet.size
                for _ in range(5 * (number % 3 == 0)):
                    data[rng.randrange(place + packet.size // 3, at)] ^= 0xFF
    return bytes(data)


def read(path: Path) -> Tuple[Optional[List[Any]], Dict[str, int]]:
    """A video's frames, small, and what edgecsp tells of it; None where it says that it cannot be read."""
    source = sources.Video(str(path))
    try:
        frames = [frame.image[::4, ::4].astype(np.float32) for frame in source]
    except SourceError as error:
        return None, {str(error)[len(str(path)) :].strip(): 1}
    return frames, {text[len(str(path)) + 2 :]: count for text, count in source.problems.items()}


def nearest(image: Any, whole: List[Any]) -> Optional[int]:
    """The number of the frame that an image is like; None for no frame."""
    errors = [float(np.square(image - other).mean()) if image.shape == other.shape else 65025.0 for other in whole]
    best = int(np.argmin(errors))
    return best if errors[best] < 65025 / 10 ** (LIKE_DB / 10) else None


if __name__ == "__main__":
    sys.exit(main())
