"""A folder of images with label files: YOLO's text or Pascal VOC's XML, beside the images or in a folder beside."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from ...errors import NoSplit, SourceError, UsageError
from . import label_files, text, voc
from .lists import Faults, ImageList, LabelReader, abbreviate, list_images, read_labels
from .truth import Data

_INNER = ("images", "JPEGImages")
_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_SETS = {"train": ("train", "trainval"), "val": ("val",), "test": ("test",)}  # of VOC's ImageSets/Main


def read(path: Path, labels: Sequence[str], split: str, faults: Faults = None) -> Data:
    """Read a folder of images (in images/ or JPEGImages/, if there is one) with label files, or a list of images.

    Its parts are VOC's ImageSets/Main/train.txt and so on, or folders train, val and test; without these, all of it
    is each part. Class names are those of classes.txt or a .names file, else those that XML files use, in the order
    of the alphabet, else the model's, `labels`. Raises `SourceError`, `UsageError`.
    """
    path = _kit(path)
    parts = _parts(path)
    if parts and split not in parts:
        raise NoSplit(f"{path} has no {split!r}; it has {', '.join(parts)}: --split says which")
    selected = list_images(_root(path)) if not parts else _part(path, parts[split])
    every = {file: None for part in parts.values() for file in _part(path, part).files} or dict.fromkeys(selected.files)
    reader, note = _labels(path, list(every), labels, faults)
    notes = (*selected.notes, note) if note else selected.notes
    kinds = {place.suffix.lower() for place in map(label_files.find_label_file, selected.files) if place}
    layout = "Pascal VOC XML" if kinds == {label_files.XML} else "text labels beside images"
    return read_labels(path, layout, ImageList(selected.files, notes), reader, faults)


def list_splits(path: Path) -> Tuple[str, ...]:
    """List the splits of a folder, () when it has none."""
    return tuple(_parts(_kit(path)))


def _kit(path: Path) -> Path:
    """Return the VOC folder inside a VOCdevkit folder; any other path as it is."""
    if not path.is_dir() or (path / "JPEGImages").is_dir():
        return path
    kits = [each for each in sorted(path.iterdir()) if (each / "JPEGImages").is_dir()]
    if len(kits) > 1:
        raise UsageError(f"{path} holds several data sets; type one: --data {' or '.join(map(str, kits))}")
    return kits[0] if kits else path


def _root(path: Path) -> Path:
    return next((path / name for name in _INNER if (path / name).is_dir()), path)


def _parts(path: Path) -> Dict[str, Path]:
    """Find the splits of a folder: a VOC list, or a folder of images for each."""
    if not path.is_dir():
        return {}
    sets, root = path / "ImageSets" / "Main", _root(path)
    lists = {split: [sets / f"{name}.txt" for name in names] for split, names in _SETS.items()}
    inner = {split: [root / name for name in names] for split, names in _SPLITS.items()}
    for patterns, least in ((lists, 1), (inner, 2)):  # a folder `train` alone may hold trains
        there = {split: [each for each in tried if each.exists()] for split, tried in patterns.items()}
        parts = {split: each[0] for split, each in there.items() if each}
        if len(parts) >= least:
            return parts
    return {}


def _part(path: Path, part: Path) -> ImageList:
    if part.is_dir():
        return list_images(_root(part))
    by_stem = {Path(file).stem: file for file in list_images(_root(path)).files}
    files = []
    for number, line in enumerate(text.read_lines(part), 1):
        stem = line.strip()
        if stem not in by_stem:  # VOC's lists of one class have a number behind the name
            stem = (line.split() or [""])[0]
        if stem and stem not in by_stem:
            raise SourceError(f"{part}, line {number}: there is no image {stem} in {_root(path)}")
        if stem:
            files.append(by_stem[stem])
    if not files:
        raise SourceError(f"{part} lists no image; it holds a name without its ending a line")
    return ImageList(files)


def _labels(path: Path, files: List[str], known: Sequence[str], faults: Faults) -> Tuple[LabelReader, str]:
    """Return how to read label files, and a note about the classes."""
    around = label_files.find_label_folders(files)
    names = _names(path, around)
    if names is not None:
        return LabelReader(names), ""
    parsed: Dict[Path, voc.Annotation] = {}
    for file in (file for folder in around for file in label_files.list_label_files(folder, label_files.XML)):
        try:
            parsed[file] = voc.read(file)
        except SourceError as error:
            if faults is None:
                raise
            faults.append(str(error))
    if parsed:
        return LabelReader(
            sorted({each.name for annotation in parsed.values() for each in annotation.objects}), parsed
        ), ""
    if not known and any(map(label_files.find_label_file, files)):
        where = path if path.is_dir() else path.parent
        raise SourceError(f"{path} names no classes; write their names into {where / 'classes.txt'}, one a line")
    return LabelReader(known), f"{path} names no classes (classes.txt): their numbers are taken for the model's"


def _names(path: Path, around: Sequence[Path]) -> Optional[List[str]]:
    """Read class names from a file in the folder, or beside the labels as LabelImg writes them."""
    at = (path, path / "labels", *around) if path.is_dir() else (path.parent, *around)
    files = dict.fromkeys(file for place in at for pattern in label_files.NAMES for file in sorted(place.glob(pattern)))
    names_by_file = {file: [line.strip() for line in text.read_lines(file) if line.strip()] for file in files}
    if len({tuple(names) for names in names_by_file.values()}) > 1:
        raise SourceError(
            f"{path} has names in {abbreviate(list(names_by_file)).replace(', ', ' and in ')}; one of them must go"
        )
    return next(iter(names_by_file.values()), None)
