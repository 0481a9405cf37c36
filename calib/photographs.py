"""The photographs that `everyday` learns from, as one data set: `python -m calib.photographs OUT --data DATA...`.

OUT gets `data.yaml`, links to the images and YOLO labels of people and pets alone; an image without them is background.
Each DATA gives its train split, the first its validation split, too. `--without DATA` leaves out images that it has
under the same number of COCO: the false alarms of the model are counted on them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import List, Optional, Sequence, Set, Tuple

import cv2

from edgecsp.bench import accuracy
from edgecsp.errors import EdgecspError, SourceError, UsageError

from .shards import labels

CLASSES = ("person", "cat", "dog", "horse", "sheep", "cow")


def coco_number(path: str) -> Optional[int]:
    """Read the number of a COCO image from its file's name, as in 000000000139.jpg."""
    digits = re.search(r"(?<!\d)\d{12}$", Path(path).stem)
    return int(digits.group()) if digits else None


def lay(out: Path, sources: Sequence[Path], without: Optional[Path] = None) -> str:
    """Write the data set to the new folder `out`; return a line about it. Raises `UsageError`, `SourceError`."""
    if out.exists():
        raise UsageError(f"{out} exists; name a new folder, or remove it")
    numbers = {coco_number(row.path) for row in accuracy.read(without).images} - {None} if without else set()
    learn = sum(_link(path, "train", out, numbers) for path in sources)
    judge = _link(sources[0], "val", out, set())
    names = ", ".join(CLASSES)
    (out / "data.yaml").write_text(f"train: images/train\nval: images/val\nnc: {len(CLASSES)}\nnames: [{names}]\n")
    return f"{out}: {learn:,} images to learn from, {judge:,} for validation"


def _link(source: Path, split: str, out: Path, without: Set[Optional[int]]) -> int:
    """Link one split of a data set and write its labels; how many images that were."""
    data = accuracy.read(source, split=split)
    data = data.select_classes([name for name in data.names if name in CLASSES])
    images, texts = (out / kind / split for kind in ("images", "labels"))
    for folder in (images, texts):
        folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in data.images if coco_number(row.path) not in without]
    for row in rows:
        name = f"{source.name}_{Path(row.path).name}"
        (images / name).symlink_to(Path(row.path).resolve())
        (texts / name).with_suffix(".txt").write_text(_label_text(row, data.names))
    return len(rows)


def _label_text(row: accuracy.LabelledImage, names: Sequence[str]) -> str:
    height, width = (1, 1) if row.relative else row.hw or _size(row.path)
    each = ~row.boxes.crowd
    numbers = [CLASSES.index(names[class_id]) for class_id in row.boxes.class_ids[each]]
    return labels(row.boxes.xyxy[each], numbers, (width, height))


def _size(path: str) -> Tuple[int, int]:
    image = cv2.imread(path)
    if image is None:
        raise SourceError(f"{path} cannot be read as an image; remove it from its data set, or restore it")
    return image.shape[0], image.shape[1]


def main(words: Optional[List[str]] = None) -> None:
    """Parse the command line and write the data set."""
    parser = argparse.ArgumentParser(prog="python -m calib.photographs", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="the new folder")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data sets with a train split")
    parser.add_argument("--without", type=Path, help="data set whose images of COCO are left out")
    a = parser.parse_args(words)
    try:
        print(lay(a.out, a.data, a.without))
    except EdgecspError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
