"""One data set as files that every trainer reads: a data.yaml, images and YOLO's text labels, copied.

Copied and not linked: ultralytics writes a cache beside the labels, and mends JPEGs that it finds damaged.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import List, Tuple

import cv2

from edgecsp.bench.accuracy import Data, LabelledImage, read


def lay(train: Data, val: Data, folder: Path, probe: int) -> Tuple[Path, Data]:
    """Write two splits to `folder`: its data.yaml, and the validation split as edgecsp reads it back.

    Beside it probe.yaml has the first `probe` images to learn from. Images that cannot be read are left out.
    """
    for split, data in (("train", train), ("val", val)):
        copied = _copy(data, folder, split)
        if split == "train":
            _list(folder / "probe.txt", copied[:probe])
    names = ", ".join(repr(name) for name in train.names)
    for name, learn in (("data.yaml", "images/train"), ("probe.yaml", "probe.txt")):
        text = f"path: {folder.resolve()}\ntrain: {learn}\nval: images/val\nnc: {len(train.names)}\nnames: [{names}]\n"
        (folder / name).write_text(text)
    return folder / "data.yaml", read(folder / "data.yaml", split="val")


def _copy(data: Data, folder: Path, split: str) -> List[Path]:
    images, labels = folder / "images" / split, folder / "labels" / split
    for each in (images, labels):
        each.mkdir(parents=True)
    copied = []
    for i, row in enumerate(data.images):
        image = cv2.imread(row.path)
        if image is None:
            continue
        target = images / f"{i:06d}{Path(row.path).suffix.lower()}"
        shutil.copyfile(row.path, target)
        (labels / f"{i:06d}.txt").write_text(_labels(row, (image.shape[0], image.shape[1])))
        copied.append(target)
    return copied


def _labels(row: LabelledImage, hw: Tuple[int, int]) -> str:
    """A label file; regions of many are left out."""
    boxes = row.with_size(hw).boxes
    lines = []
    for class_id, (x, y, w, h), crowd in zip(boxes.class_ids.tolist(), boxes.xywh.tolist(), boxes.crowd.tolist()):
        if not crowd:
            shares = ((x + w / 2) / hw[1], (y + h / 2) / hw[0], w / hw[1], h / hw[0])
            lines.append(f"{class_id} " + " ".join(f"{value:.8f}" for value in shares) + "\n")
    return "".join(lines)


def _list(path: Path, images: List[Path]) -> None:
    path.write_text("".join(f"{image.resolve()}\n" for image in images))
