"""Data sets in COCO format: a JSON object of images, annotations and categories."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...cache import files
from ...errors import SourceError
from .truth import Boxes, Data, LabelledImage

KEYS = ("images", "annotations", "categories")


def looks_like(path: Path) -> bool:
    """Whether a JSON file looks like COCO annotations, judged by its text."""
    text = path.read_bytes()
    return text.lstrip()[:1] == b"{" and all(f'"{key}"'.encode() in text for key in KEYS)


def read(path: Path, images: Optional[Path] = None, faults: Optional[List[str]] = None) -> Data:
    """Read annotations; the folder of their images is searched for if not given. Raises `SourceError`.

    With `faults`, what is wrong with an annotation is put there, and the others are read.
    """
    content = _json(path)
    places = {_field(path, "images", i, row, "id"): row for i, row in enumerate(content["images"])}
    if len(places) < len(content["images"]):
        first_at: Dict[Any, int] = {}
        ids = [row["id"] for row in content["images"]]
        i, first = next((i, first_at[each]) for i, each in enumerate(ids) if first_at.setdefault(each, i) != i)
        raise SourceError(
            f"{path}: {len(content['images']) - len(places)} of its images have the id of another, the first "
            f"images[{i}]: {ids[i]!r}, the id of images[{first}]"
        )
    categories = {_field(path, "categories", i, row, "id"): row for i, row in enumerate(content["categories"])}
    numbers = {category: i for i, category in enumerate(sorted(categories))}
    rows: Dict[Any, List[_Row]] = {image: [] for image in places}
    for i, each in enumerate(content["annotations"]):
        try:
            image, row = _annotation(path, i, each, numbers)
            if image not in rows:
                raise SourceError(
                    f"{_nth(path, 'annotations', i)} is on image {image!r}, which is not among the images"
                )
            rows[image].append(row)
        except SourceError as error:
            if faults is None:
                raise
            faults.append(str(error))
    names = [_field(path, "images", i, row, "file_name") for i, row in enumerate(content["images"])]
    folder = _folder(path, [str(name) for name in names], images)
    labelled = [
        LabelledImage(str(folder / str(name)), image, _boxes(rows[image]), _size(places[image]))
        for name, image in zip(names, places)
    ]
    labels = [str(categories[category].get("name", category)) for category in numbers]
    return Data(str(path), "COCO annotations", tuple(labels), tuple(numbers), tuple(labelled))


_Row = Tuple[int, List[float], bool, float]


def _json(path: Path) -> Dict[str, List[Dict[str, Any]]]:
    try:
        content = json.loads(files.read(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}") from None
    if isinstance(content, list):
        raise SourceError(f"{path} is a list, as results are; annotations are an object with {', '.join(KEYS)}")
    for key in KEYS:
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SourceError(f"{path} has no list of {key}; COCO's annotations hold {', '.join(KEYS)}")
    if not content["images"] or not content["categories"]:
        raise SourceError(f"{path} lists {len(content['images'])} images and {len(content['categories'])} categories")
    checked: Dict[str, List[Dict[str, Any]]] = content
    return checked


def _nth(path: Path, key: str, i: int) -> str:
    return f"{path}: {key}[{i}]"


def _field(path: Path, key: str, i: int, row: Dict[str, Any], name: str) -> Any:
    """Read a required field: a number or a string."""
    value = row.get(name)
    if not isinstance(value, (int, str)) or (key == "categories" and not isinstance(value, int)):
        raise SourceError(f"{_nth(path, key, i)} has {name} {value!r}; an id or a name is expected")
    return value


def _annotation(path: Path, i: int, each: Dict[str, Any], numbers: Dict[int, int]) -> Tuple[Any, _Row]:
    """Read one annotation: the image's id and its row."""
    box, category = each.get("bbox"), each.get("category_id")
    good = isinstance(box, list) and len(box) == 4 and all(_finite(v) for v in box) and box[2] >= 0 and box[3] >= 0
    if not good or not isinstance(box, list):
        raise SourceError(f"{_nth(path, 'annotations', i)} has bbox {box!r}; [left, top, width, height] is expected")
    if not isinstance(category, int) or category not in numbers:
        raise SourceError(f"{_nth(path, 'annotations', i)} has category_id {category!r}, which no category has")
    area = each.get("area", box[2] * box[3])
    if not _finite(area) or area < 0:
        raise SourceError(f"{_nth(path, 'annotations', i)} has area {area!r}; a number of pixels is expected")
    image = _field(path, "annotations", i, each, "image_id")
    return image, (numbers[category], [float(v) for v in box], bool(each.get("iscrowd", 0)), float(area))


def _finite(value: Any) -> bool:
    # The bound first: a whole number of a thousand digits is no float.
    return isinstance(value, (int, float)) and abs(value) < 1e12 and math.isfinite(value)


def _boxes(rows: List[_Row]) -> Boxes:
    return Boxes(
        np.array([row[1] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[0] for row in rows], np.int64),
        np.array([row[2] for row in rows], bool),
        np.array([row[3] for row in rows], np.float64),
    )


def _size(row: Dict[str, Any]) -> Optional[Tuple[int, int]]:
    height, width = row.get("height"), row.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _folder(path: Path, names: List[str], images: Optional[Path]) -> Path:
    """Find the folder of the images, in the usual places beside the annotations. Raises `SourceError`."""
    split = path.stem.rpartition("_")[2]
    here, up = path.parent, path.parent.parent
    around = (here, here / "images", here / split, here / "images" / split, up / split, up / "images" / split)
    tried = [images] if images else list(dict.fromkeys((*around, up / "images", up)))
    here_are = {folder: sum(os.path.isfile(folder / name) for name in names) for folder in tried}
    best = max(tried, key=lambda folder: here_are[folder])
    if here_are[best] == len(names):
        return best
    lacking = next(name for name in names if not os.path.isfile(best / name))
    if not here_are[best]:
        looked = ", ".join(str(folder) for folder in tried)
        raise SourceError(f"{path}: its images, like {lacking}, are not in {looked}; type: --image-dir FOLDER")
    raise SourceError(
        f"{path}: {len(names) - here_are[best]} of its {len(names)} images are not in {best}, the first {lacking}"
    )
