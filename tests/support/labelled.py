"""One small data set in every layout: three images, one of them empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import cv2

from support import media

NAMES = ("red", "green", "dark blue")
SIZES = {"a": (120, 160), "b": (96, 64), "c": (60, 80)}
# (class, left, top, width, height) in pixels that 1/160 and 1/120 ... write exactly
BOXES: Dict[str, List[Tuple[int, int, int, int, int]]] = {
    "a": [(0, 16, 12, 64, 48), (2, 80, 60, 80, 60), (0, 0, 0, 16, 12)],
    "b": [(1, 32, 24, 32, 48)],
    "c": [],
}


def write_images(folder: Path) -> List[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for i, (name, (height, width)) in enumerate(SIZES.items()):
        cv2.imwrite(str(folder / f"{name}.png"), media.scene(i, width, height))
    return [folder / f"{name}.png" for name in SIZES]


def labels(folder: Path, empty: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in BOXES.items():
        h, w = SIZES[name]
        text = "".join(f"{c} {(x + i / 2) / w} {(y + j / 2) / h} {i / w} {j / h}\n" for c, x, y, i, j in rows)
        if text or empty:
            (folder / f"{name}.txt").write_text(text)


def coco_annotations(names: Sequence[str] = NAMES) -> Dict[str, Any]:
    rows = [(i, row) for i, name in enumerate(BOXES) for row in BOXES[name]]
    return {
        "images": [
            {"id": 10 + i, "file_name": f"{name}.png", "height": hw[0], "width": hw[1]}
            for i, (name, hw) in enumerate(SIZES.items())
        ],
        "categories": [{"id": 3 * i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": k, "image_id": 10 + i, "category_id": 3 * c + 1, "bbox": list(box), "area": box[2] * box[3]}
            for k, (i, (c, *box)) in enumerate(rows)
        ],
    }


def coco(root: Path, names: Sequence[str] = NAMES) -> Path:
    write_images(root / "images")
    (root / "instances.json").write_text(json.dumps(coco_annotations(names)))
    return root


def yolo(root: Path, names: Sequence[str] = NAMES) -> Path:
    write_images(root / "valid" / "images")
    labels(root / "valid" / "labels")
    text = f"train: ../train/images\nval: ../valid/images\nnc: {len(names)}\nnames: [{', '.join(names)}]\n"
    (root / "data.yaml").write_text(text)
    return root


def ultralytics(root: Path) -> Path:
    write_images(root / "images" / "val")
    labels(root / "labels" / "val")
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(NAMES))
    (root / "set.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}")
    return root


def darknet(root: Path) -> Path:
    files = write_images(root / "data" / "obj")
    labels(root / "data" / "obj")
    (root / "data" / "valid.txt").write_text("".join(f"data/obj/{file.name}\n" for file in files))
    (root / "data" / "obj.names").write_text("red\ngreen\ndark blue\n")
    (root / "data" / "obj.data").write_text(
        "classes = 3\ntrain = data/train.txt\n#\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    return root / "data" / "obj.data"


def beside(root: Path) -> Path:
    write_images(root)
    labels(root, empty=False)
    (root / "classes.txt").write_text("red\ngreen\ndark blue\n")
    return root


def two_folders(root: Path) -> Path:
    write_images(root / "images")
    labels(root / "labels")
    return root


LAYOUTS = (coco, yolo, ultralytics, darknet, beside, two_folders)
