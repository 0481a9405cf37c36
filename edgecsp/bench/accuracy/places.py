"""Where the label files of images are, and what lies there without an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Set

from ...media.sources import IMAGE_SUFFIXES

TEXT, XML = ".txt", ".xml"
_IMAGES = ("images", "JPEGImages")
# The folders of labels that stand for a folder `images`, and by which kind of label.
_FOLDERS = (("labels", TEXT), ("Annotations", XML), ("annotations", XML), ("labels", XML))
NAMES = ("classes.txt", "obj.names", "*.names")


def label_places(image: str) -> List[Path]:
    """Where an image's labels may be, the likeliest first.

    Its last folder `images` (or JPEGImages) turned into `labels` or `Annotations`, such a folder beside the image,
    and beside the image itself.
    """
    path = Path(image)
    parts = path.parts
    above = [len(parts) - 2 - i for i, part in enumerate(reversed(parts[:-1])) if part in _IMAGES][:1]
    made: List[Path] = []
    for folder, ending in _FOLDERS:
        made += [Path(*parts[:at], folder, *parts[at + 1 :]).with_suffix(ending) for at in above]
        if not above:
            made.append((path.parent / folder / path.name).with_suffix(ending))
        if folder == "labels":
            made.append(path.with_suffix(ending))
    return made


def label_file(image: str) -> Optional[Path]:
    """The first of `label_places` that is a file."""
    return next((place for place in label_places(image) if place.is_file()), None)


def folders(images: Iterable[str]) -> List[Path]:
    """The folders in which labels of these images may be and that are there, the likeliest first."""
    one_each = {os.path.dirname(image): image for image in images}
    found = [place.parent for image in one_each.values() for place in label_places(image)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def label_files(folder: Path, ending: str) -> List[Path]:
    """The files of an ending in a folder, in the order of their names, without those that name classes."""
    with os.scandir(folder) as entries:
        names = sorted(each.name for each in entries if each.name.lower().endswith(ending))
    return [folder / name for name in names if not any(Path(name).match(pattern) for pattern in NAMES)]


def without_image(images: Iterable[str]) -> List[Path]:
    """Label files in folders of labels that have no image of their name, whichever part of the data it may be in.

    Text files beside images are not counted: they may be anything.
    """
    one_each = {os.path.dirname(image): image for image in images}
    stems: Dict[Path, Set[str]] = {}
    for folder, image in one_each.items():
        names = {os.path.splitext(name) for name in os.listdir(folder or ".")}
        here = {stem for stem, ending in names if ending.lower() in IMAGE_SUFFIXES}
        for place in label_places(image):
            stems.setdefault(place.parent, set()).update(here)
    beside = {Path(folder) for folder in one_each}
    return [
        file
        for folder, known in stems.items()
        if folder.is_dir()
        for ending in ((XML,) if folder in beside else (TEXT, XML))
        for file in label_files(folder, ending)
        if file.stem not in known
    ]
