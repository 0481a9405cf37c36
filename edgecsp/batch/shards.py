"""The parts of a corpus: an `Item` is a file, a `Shard` is processed by one worker and written as one file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

VIDEO, IMAGE = "video", "picture"


@dataclass(frozen=True)
class Item:
    """A file of the corpus: `source` is its name in the rows, `place` its location for any machine."""

    source: str
    place: str
    kind: str

    @property
    def name(self) -> str:
        """A short name for files about this item."""
        return digest(self.source)


@dataclass(frozen=True)
class SplitPoint:
    """A place where a video can be split: the keyframe with this presentation time (ticks), its `frame`-th frame."""

    pts: int
    frame: int


@dataclass(frozen=True)
class Shard:
    """A segment of a video, a whole video, or a group of images.

    Of a segment `first` is the number of its first frame, `frames` how many it has, and it holds the frames with
    begin <= pts < end in ticks (None: from the first, to the last). `frames` is None where only decoding tells;
    of such a whole video `promised` is how many its index has, 0 for none.
    """

    name: str
    kind: str
    items: Tuple[Item, ...]
    first: int = 0
    frames: Optional[int] = None
    begin: Optional[int] = None
    end: Optional[int] = None
    promised: int = 0

    @property
    def expected_frames(self) -> int:
        """The expected number of frames or images, for scheduling; 0 if unknown."""
        return self.frames or self.promised

    @property
    def is_segment(self) -> bool:
        """Whether it is one of several segments of its video."""
        return self.begin is not None or self.end is not None

    @property
    def label(self) -> str:
        """A name for messages."""
        if self.kind == IMAGE:
            return f"{len(self.items)} images from {self.items[0].source}"
        return self.items[0].source + (f" from frame {self.first}" if self.is_segment else "")

    def to_dict(self) -> Dict[str, Any]:
        """Convert to plain values, for `shard_from_dict`."""
        return asdict(self)

    def to_record(self) -> Dict[str, Any]:
        """Convert to the form of records, without the files' locations: a URI may contain a password."""
        sources = [item.source for item in self.items]
        return {"sources": sources, "first": self.first, "frames": self.frames, "begin": self.begin, "end": self.end}


def shard_from_dict(content: Dict[str, Any]) -> Shard:
    """Build a shard from plain values."""
    return Shard(**{**content, "items": tuple(Item(**item) for item in content["items"])})


def digest(text: str) -> str:
    """Twelve hex digits of a text's hash, safe as a file name for any source."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def whole_video(item: Item, promised: int = 0) -> Shard:
    """Make one shard of a whole video."""
    return Shard(f"{item.name}-whole", VIDEO, (item,), promised=promised)


def split_video(item: Item, cuts: Sequence[SplitPoint], frames: int, least: int) -> List[Shard]:
    """Split a video of `frames` frames at some of its `cuts`, into shards of at least `least` frames."""
    chosen = [SplitPoint(0, 0)]
    for cut in cuts:
        if cut.frame - chosen[-1].frame >= least and frames - cut.frame >= least // 2:
            chosen.append(cut)
    if len(chosen) == 1:
        return [whole_video(item, frames)]
    parts = []
    for number, cut in enumerate(chosen):
        after = chosen[number + 1] if number + 1 < len(chosen) else None
        parts.append(
            Shard(
                f"{item.name}-{cut.frame:09d}", VIDEO, (item,), first=cut.frame,
                frames=(after.frame if after else frames) - cut.frame,
                begin=cut.pts if number else None, end=after.pts if after else None,
            )
        )  # fmt: skip
    return parts


def group_images(items: Sequence[Item], most: int) -> List[Shard]:
    """Group images into shards of at most `most`, in order."""
    parts = []
    for at in range(0, len(items), most):
        some = tuple(items[at : at + most])
        parts.append(Shard(digest("\n".join(i.source for i in some)), IMAGE, some, frames=len(some)))
    return parts
