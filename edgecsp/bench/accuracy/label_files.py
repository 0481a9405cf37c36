"""Find the label files of images, and label files without an image."""

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


def candidate_label_files(image: str) -> List[Path]:
    """List where an image's labels may be, the most likely first.

    Its last folder `images` (or JPEGImages) turned into `labels` or `Annotations`, such a folder beside the image,
    and beside the image itself.
    """
    path = Path(image)
    parts = path.parts
    above = [len(parts) - 2 - i for i, part in enumerate(reversed(parts[:-1])) if part in _IMAGES][:1]
    candidates: List[Path] = []
    for folder, ending in _FOLDERS:
        candidates += [Path(*parts[:at], folder, *parts[at + 1 :]).with_suffix(ending) for at in above]
        if not above:
            candidates.append((path.parent / folder / path.name).with_suffix(ending))
        if folder == "labels":
            candidates.append(path.with_suffix(ending))
    return candidates


def find_label_file(image: str) -> Optional[Path]:
    """Return the first of `candidate_label_files` that exists."""
    return next((place for place in candidate_label_files(image) if place.is_file()), None)


def find_label_folders(images: Iterable[str]) -> List[Path]:
    """Find the existing folders that may hold labels of these images, the most likely first."""
    one_each = {os.path.dirname(image): image for image in images}
    folders = [place.parent for image in one_each.values() for place in candidate_label_files(image)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def list_label_files(folder: Path, ending: str) -> List[Path]:
    """List the label files with an ending in a folder, sorted by name, without files of class names."""
    with os.scandir(folder) as entries:
        names = sorted(each.name for each in entries if each.name.lower().endswith(ending))
    return [folder / name for name in names if not any(Path(name).match(pattern) for pattern in NAMES)]


def find_orphan_labels(images: Iterable[str]) -> List[Path]:
    """Find label files without an image of the same name, in any split of the data.

    Text files beside images are not counted: they may be anything.
    """
    one_each = {os.path.dirname(image): image for image in images}
    stems: Dict[Path, Set[str]] = {}
    for folder, image in one_each.items():
        names = {os.path.splitext(name) for name in os.listdir(folder or ".")}
        here = {stem for stem, ending in names if ending.lower() in IMAGE_SUFFIXES}
        for place in candidate_label_files(image):
            stems.setdefault(place.parent, set()).update(here)
    beside = {Path(folder) for folder in one_each}
    return [
        file
        for folder, known in stems.items()
        if folder.is_dir()
        for ending in ((XML,) if folder in beside else (TEXT, XML))
        for file in list_label_files(folder, ending)
        if file.stem not in known
    ]
