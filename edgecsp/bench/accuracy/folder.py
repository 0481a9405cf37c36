"""A folder of images with label files: YOLO's text or Pascal VOC's XML, beside the images or in a folder beside."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from ...errors import NoSplit, SourceError, UsageError
from . import places, text, voc
from .lists import Faults, Labels, Listed, data, few, pictures
from .truth import Data

_INNER = ("images", "JPEGImages")
_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_SETS = {"train": ("train", "trainval"), "val": ("val",), "test": ("test",)}  # of VOC's ImageSets/Main


def read(path: Path, labels: Sequence[str], split: str, faults: Faults = None) -> Data:
    """A folder of images (in images/ or JPEGImages/, if there is one) with label files, or a list of images.

    Its parts are VOC's ImageSets/Main/train.txt and so on, or folders train, val and test; without these, all of it
    is each part. Class names are those of classes.txt or a .names file, else those that XML files use, in the order
    of the alphabet, else the model's, `labels`. Raises `SourceError`, `UsageError`.
    """
    path = _kit(path)
    parts = _parts(path)
    if parts and split not in parts:
        raise NoSplit(f"{path} has no {split!r}; it has {', '.join(parts)}: --split says which")
    wanted = pictures(_root(path)) if not parts else _part(path, parts[split])
    every = {file: None for part in parts.values() for file in _part(path, part).files} or dict.fromkeys(wanted.files)
    found, note = _labels(path, list(every), labels, faults)
    notes = (*wanted.notes, note) if note else wanted.notes
    kinds = {place.suffix.lower() for place in map(places.label_file, wanted.files) if place}
    layout = "Pascal VOC XML" if kinds == {places.XML} else "text labels beside pictures"
    return data(path, layout, Listed(wanted.files, notes), found, faults)


def splits(path: Path) -> Tuple[str, ...]:
    """The parts that a folder has, () when it has none."""
    return tuple(_parts(_kit(path)))


def _kit(path: Path) -> Path:
    """VOC's own folder, where a folder of such (VOCdevkit) was given."""
    if not path.is_dir() or (path / "JPEGImages").is_dir():
        return path
    kits = [each for each in sorted(path.iterdir()) if (each / "JPEGImages").is_dir()]
    if len(kits) > 1:
        raise UsageError(f"{path} holds several data sets; type one: --data {' or '.join(map(str, kits))}")
    return kits[0] if kits else path


def _root(path: Path) -> Path:
    return next((path / name for name in _INNER if (path / name).is_dir()), path)


def _parts(path: Path) -> Dict[str, Path]:
    """The parts of a folder: a list of VOC's, or a folder of images each."""
    if not path.is_dir():
        return {}
    sets, root = path / "ImageSets" / "Main", _root(path)
    lists = {split: [sets / f"{name}.txt" for name in names] for split, names in _SETS.items()}
    inner = {split: [root / name for name in names] for split, names in _SPLITS.items()}
    for wanted, least in ((lists, 1), (inner, 2)):  # a folder `train` alone may hold trains
        there = {split: [each for each in tried if each.exists()] for split, tried in wanted.items()}
        found = {split: each[0] for split, each in there.items() if each}
        if len(found) >= least:
            return found
    return {}


def _part(path: Path, part: Path) -> Listed:
    if part.is_dir():
        return pictures(_root(part))
    by_stem = {Path(file).stem: file for file in pictures(_root(path)).files}
    files = []
    for number, line in enumerate(text.lines(part), 1):
        stem = (line.split() or [""])[0]
        if stem and stem not in by_stem:
            raise SourceError(f"{part}, line {number}: there is no image {stem} in {_root(path)}")
        if stem:
            files.append(by_stem[stem])
    if not files:
        raise SourceError(f"{part} lists no image; it holds a name without its ending a line")
    return Listed(files)


def _labels(path: Path, files: List[str], known: Sequence[str], faults: Faults) -> Tuple[Labels, str]:
    """What to read label files with, and what is to be said of the classes."""
    around = places.folders(files)
    names = _names(path, around)
    if names is not None:
        return Labels(names), ""
    parsed: Dict[Path, voc.Annotation] = {}
    for file in (file for folder in around for file in places.label_files(folder, places.XML)):
        try:
            parsed[file] = voc.read(file)
        except SourceError as error:
            if faults is None:
                raise
            faults.append(str(error))
    if parsed:
        return Labels(sorted({each.name for said in parsed.values() for each in said.objects}), parsed), ""
    if not known and any(map(places.label_file, files)):
        where = path if path.is_dir() else path.parent
        raise SourceError(f"{path} names no classes; write their names into {where / 'classes.txt'}, one a line")
    return Labels(known), f"{path} names no classes (classes.txt): their numbers are taken for the model's"


def _names(path: Path, around: Sequence[Path]) -> Optional[List[str]]:
    """The names of the classes: a file's in the folder, or beside labels as LabelImg writes them."""
    at = (path, path / "labels", *around) if path.is_dir() else (path.parent, *around)
    files = dict.fromkeys(file for place in at for pattern in places.NAMES for file in sorted(place.glob(pattern)))
    found = {file: [line.strip() for line in text.lines(file) if line.strip()] for file in files}
    if len({tuple(names) for names in found.values()}) > 1:
        raise SourceError(f"{path} has names in {few(list(found)).replace(', ', ' and in ')}; one of them must go")
    return next(iter(found.values()), None)
