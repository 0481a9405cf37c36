"""What a corpus is cut into: an `Item` is a file, a `Shard` what one worker does in one go and writes as one file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

VIDEO, PICTURE = "video", "picture"


@dataclass(frozen=True)
class Item:
    """A file of the corpus: `source` is what its rows are filed under, `place` where any machine finds it."""

    source: str
    place: str
    kind: str

    @property
    def name(self) -> str:
        """A short name for files about it."""
        return digest(self.source)


@dataclass(frozen=True)
class SplitPoint:
    """Where a video can be cut: at the keyframe with this presentation time (ticks), its `frame`-th frame."""

    pts: int
    frame: int


@dataclass(frozen=True)
class Shard:
    """A segment of a video, a whole video, or a group of pictures.

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
    def about(self) -> int:
        """How many frames or pictures to expect, for who deals parts out; 0 where nobody knows."""
        return self.frames or self.promised

    @property
    def segment(self) -> bool:
        """Whether it is one of several of its video."""
        return self.begin is not None or self.end is not None

    @property
    def shown(self) -> str:
        """For people."""
        if self.kind == PICTURE:
            return f"{len(self.items)} pictures from {self.items[0].source}"
        return self.items[0].source + (f" from frame {self.first}" if self.segment else "")

    def as_json(self) -> Dict[str, Any]:
        """What `of_json` reads."""
        return asdict(self)

    def told(self) -> Dict[str, Any]:
        """What records say of it: not where its files lie, for a URI may hold a password."""
        sources = [item.source for item in self.items]
        return {"sources": sources, "first": self.first, "frames": self.frames, "begin": self.begin, "end": self.end}


def of_json(said: Dict[str, Any]) -> Shard:
    """A part from its JSON."""
    return Shard(**{**said, "items": tuple(Item(**item) for item in said["items"])})


def digest(text: str) -> str:
    """Twelve hex digits for a text: a file name for a source, whatever is in its own."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def whole(item: Item, promised: int = 0) -> Shard:
    """A video in one piece."""
    return Shard(f"{item.name}-whole", VIDEO, (item,), promised=promised)


def segments(item: Item, cuts: Sequence[SplitPoint], frames: int, least: int) -> List[Shard]:
    """A video of `frames` frames in pieces of at least `least` frames, cut at some of its `cuts`."""
    chosen = [SplitPoint(0, 0)]
    for cut in cuts:
        if cut.frame - chosen[-1].frame >= least and frames - cut.frame >= least // 2:
            chosen.append(cut)
    if len(chosen) == 1:
        return [whole(item, frames)]
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


def groups(items: Sequence[Item], most: int) -> List[Shard]:
    """Pictures in groups of at most `most`, in their order."""
    parts = []
    for at in range(0, len(items), most):
        some = tuple(items[at : at + most])
        parts.append(Shard(digest("\n".join(i.source for i in some)), PICTURE, some, frames=len(some)))
    return parts
