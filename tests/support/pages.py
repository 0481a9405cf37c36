"""The pages of the documentation and their blocks of code, and a folder that holds what they speak of."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Iterator, List, NamedTuple

from support import exports, labelled, media
from support.repository import REPO
from support.tiny import Tiny

# Pages that a script writes, or that have tests of their own (tests/test_documents.py).
FOLDERS = ("start", "how-to", "tutorials", "explanation", "reference")
SINGLE = ("index.md", "troubleshooting.md", "comparison.md")


class Block(NamedTuple):
    """A fenced block: its language, its text."""

    language: str
    text: str


def list_pages() -> List[str]:
    """List the site's own pages, by their paths in docs/."""
    docs = REPO / "docs"
    paths = [path for folder in FOLDERS for path in (docs / folder).glob("*.md")]
    return sorted([*(path.relative_to(docs).as_posix() for path in paths), *SINGLE])


def blocks_of(page: str) -> List[Block]:
    """List the fenced blocks of a page, in order."""
    text = (REPO / "docs" / page).read_text("utf-8")
    return [Block(*each) for each in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def commands_of(block: Block) -> Iterator[str]:
    """List the lines of a block that run edgecsp, without their comments."""
    for line in block.text.splitlines():
        if line.startswith("edgecsp "):
            yield re.split(r"\s+#", line)[0].strip()


def lay_desk(folder: Path, tiny: Tiny) -> Path:
    """Put the files that the pages name into a folder: images, videos, labelled images, a cfg, an export."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(tiny.cfg), str(folder / "yolov4-tiny.cfg"))
    shutil.copy(str(tiny.weights), str(folder / "yolov4-tiny.weights"))
    (folder / "coco.names").write_text("person\ncar\ndog\n")
    for name, frames in (("street.mp4", 4), ("videos/2031/street.mp4", 4)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        media.video(folder / name, frames)
    shutil.copy(str(REPO / "benchmarks" / "codes.mp4"), str(folder / "codes.mp4"))
    (folder / "photos").mkdir()
    (folder / "street.jpg").write_bytes(media.jpeg(media.scene(0)))
    for i in range(100):  # as many as int8 asks for
        (folder / f"photos/{i}.jpg").write_bytes(media.jpeg(media.scene(i)))
    labelled.yolo(folder / "mine", ("qr", "barcode", "marker"))
    shutil.copytree(str(folder / "mine" / "valid"), str(folder / "mine" / "train"))
    (folder / "yolov8n.onnx").write_bytes(exports.finder("yolov8", (64, 64), props={"names": "{0: 'red'}"}))
    return folder
