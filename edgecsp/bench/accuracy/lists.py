"""Data sets of label files, one an image: darknet's .data file, a data.yaml, a list of images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...errors import EngineUnavailable, NoSplit, SourceError
from ...media.sinks.rows import category_ids, image_id
from ...media.sources import IMAGE_SUFFIXES
from ...media.sources.paths import walk
from ...types import Frame, Stream
from . import places, text, voc
from .truth import Boxes, Data, Picture

SPLITS = ("val", "test", "train")
_DARKNET = {"train": "train", "val": "valid", "test": "test"}  # what darknet calls them
Faults = Optional[List[str]]  # where the errors of label files go, which are raised where there is none


class Listed(NamedTuple):
    """Image files, and what is to be said of them."""

    files: List[str]
    notes: Tuple[str, ...] = ()


def darknet(path: Path, split: str, faults: Faults = None) -> Data:
    """A .data file: "valid = LIST" and "names = FILE", from its own folder, the one above or this one.

    "train" and "test" are the other parts. Raises `SourceError`.
    """
    said = _keys(path)
    key = _DARKNET[split]
    if split != "val" and not said.get(key):
        raise NoSplit(f"{path} has no line '{key} = FILE'; it has: {', '.join(said) or 'nothing'}")
    for each in (key, "names"):
        if not said.get(each):
            raise SourceError(f"{path} has no line '{each} = FILE'; it has: {', '.join(said) or 'nothing'}")
    names = text.lines(_of(path, said["names"]))
    names = [name.strip() for name in names if name.strip()]
    if said.get("classes", "").isdecimal() and int(said["classes"]) != len(names):
        raise SourceError(f"{path} has classes = {said['classes']}, and {said['names']} holds {len(names)} names")
    return data(path, "darknet .data", pictures(_of(path, said[key])), Labels(names), faults)


def _keys(path: Path) -> Dict[str, str]:
    said = {}
    for number, line in enumerate(text.lines(path), 1):
        key, equals, value = line.partition("=")
        if line.strip() and not line.lstrip().startswith("#"):
            if not equals:
                raise SourceError(f"{path}, line {number}: KEY = VALUE is expected; found {line.strip()!r}")
            said[key.strip()] = value.strip()
    return said


def _of(path: Path, name: str) -> Path:
    """A file that a .data file speaks of: darknet looks from where it is started, mostly the folder above."""
    tried = [path.parent / name, path.parent.parent / name, Path(name)]
    for each in tried:
        if each.exists():
            return each
    raise SourceError(f"{path} speaks of {name}, which is none of {', '.join(str(each) for each in tried)}")


def yaml(path: Path, split: str, faults: Faults = None) -> Data:
    """A data.yaml: `path`, `val`, `test` or `train`, and `names`. What it says to download or to run is not done."""
    said = _yaml(path)
    names = _names(path, said)
    entries = said.get(split)
    if not entries:
        there = [each for each in SPLITS if said.get(each)]
        raise NoSplit(f"{path} has no {split!r}; it has {', '.join(there) or 'no pictures'}: --split says which")
    root = path.parent / str(said.get("path") or "")
    found: List[str] = []
    notes: Tuple[str, ...] = ()
    for entry in entries if isinstance(entries, list) else [entries]:
        # Some exporters write ../valid/images where valid/ is beside the file.
        tried = [root / str(entry), path.parent / str(entry)]
        tried += [path.parent / str(entry)[3:]] if str(entry).startswith("../") else []
        there_is = next((each for each in tried if each.exists()), None)
        if there_is is None:
            looked = ", ".join(dict.fromkeys(str(each) for each in tried))
            raise SourceError(f"{path}: its {split} pictures are not there; looked for {looked}")
        part = pictures(there_is)
        found += part.files
        notes += part.notes
    return data(path, "YOLO text labels, data.yaml", Listed(found, notes), Labels(names), faults)


def splits(path: Path) -> Tuple[str, ...]:
    """The parts that a data.yaml or a .data file speaks of. Raises `SourceError`."""
    if path.suffix.lower() == ".data":
        said: Dict[str, Any] = _keys(path)
        return tuple(split for split, key in _DARKNET.items() if said.get(key))
    said = _yaml(path)
    return tuple(split for split in _DARKNET if said.get(split))


def _yaml(path: Path) -> Dict[str, Any]:
    try:
        import yaml as pyyaml
    except ImportError:
        raise EngineUnavailable(f"{path} needs PyYAML, not installed here; type: pip install 'edgecsp[val]'") from None
    try:
        said = pyyaml.safe_load("\n".join(text.lines(path)))
    except pyyaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SourceError(f"{path}{line}: {error.problem}; it is no YAML") from None
    except (pyyaml.YAMLError, RecursionError, ValueError) as error:  # a value such as 2020-99-99
        raise SourceError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise SourceError(f"{path} holds no keys; a data.yaml has val: FOLDER and names: [...]")
    return said


def _names(path: Path, said: Dict[str, Any]) -> List[str]:
    """A list, or a dictionary by number."""
    names = said.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise SourceError(f"{path}: the keys of names are the class numbers from 0 on; found {list(names)[:8]}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, (str, int)) for name in names):
        raise SourceError(f"{path} has no names: a list of the classes, or a dictionary by number")
    if said.get("nc", len(names)) != len(names):
        raise SourceError(f"{path} has nc: {said['nc']} and {len(names)} names")
    return [str(name) for name in names]


def pictures(path: Path) -> Listed:
    """The images below a folder, or those of a list (.txt, a path a line, from the list's folder or this one)."""
    if path.is_dir():
        return _below(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Listed([str(path)])
    listed = []
    for number, line in enumerate(text.lines(path), 1):
        if line.strip():
            tried = [path.parent / line.strip(), path.parent.parent / line.strip(), Path(line.strip())]
            there = next((each for each in tried if each.is_file()), None)
            if there is None:
                raise SourceError(f"{path}, line {number}: there is no {' nor '.join(str(each) for each in tried)}")
            listed.append(str(there))
    if not listed:
        raise SourceError(f"{path} lists no picture; it holds one path a line")
    return Listed(listed)


def _below(path: Path) -> Listed:
    found, odd = [], []
    for here, names in walk(str(path)):
        if os.path.splitext(here)[1].lower() in IMAGE_SUFFIXES and Path(here) != path:
            odd.append(f"{here} (a folder)")
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):
                file = os.path.join(here, name)
                if os.path.isfile(file):
                    found.append(file)
                else:
                    odd.append(f"{file} ({_kind(file)})")
    if not found:
        raise SourceError(f"no picture in the folder {path}" + (f"; {odd[0]} is none" if odd else ""))
    notes = (f"{len(odd)} of the names below {path} are no image files and left out: {few(odd)}",) if odd else ()
    return Listed(sorted(found, key=lambda file: Path(file).parts), notes)


def _kind(file: str) -> str:
    if os.path.exists(file):
        return "no regular file"
    return "a link that leads nowhere" if os.path.islink(file) else "it cannot be read"


def few(words: Sequence[object], most: int = 3) -> str:
    """The first of some words, and how many more there are."""
    more = len(words) - most
    return ", ".join(map(str, words[:most])) + (f" and {more} more" if more > 0 else "")


@dataclass
class Labels:
    """What label files are read with: the names of the classes, and XML files that were read before."""

    names: Sequence[str]
    parsed: Dict[Path, voc.Annotation] = field(default_factory=dict)

    def read(self, place: Path) -> Picture:
        """What a label file says, as a picture without a name. Raises `SourceError` with file and line."""
        if place.suffix.lower() != places.XML:
            return Picture("", "", text.read(place, len(self.names)), relative=True)
        said = self.parsed.get(place) or voc.read(place)
        return Picture("", "", voc.boxes(said, place, {name: i for i, name in enumerate(self.names)}), said.hw)


def data(path: Path, layout: str, listed: Listed, labels: Labels, faults: Faults = None) -> Data:
    """Read every label file. Raises `SourceError`, also when there is none at all.

    With `faults`, what is wrong with a label file is put there, and its image has no boxes.
    """
    files, notes = listed
    if len(set(files)) < len(files):
        twice = next(file for i, file in enumerate(files) if file in files[:i])
        raise SourceError(f"{path} has {twice} twice")
    found: List[Tuple[str, Optional[Path]]] = [(file, places.label_file(file)) for file in files]
    without = [file for file, place in found if place is None]
    if len(without) == len(files):
        looked = " or ".join(str(place) for place in places.label_places(files[0]))
        raise SourceError(f"{path}: none of the {len(files)} pictures has labels; looked for {looked}")
    if without:
        some = f"{len(without)} of {len(files)} pictures have no label file and count as empty, the first {without[0]}"
        notes = (*notes, some)
    lost = places.without_image(files)
    if lost:
        notes = (*notes, f"{len(lost)} label files have no image: {few(lost)}")
    ids = [image_id(Frame(_NO_IMAGE, Stream(file))) for file in files]
    if len(set(map(str, ids))) < len(ids):  # two folders with a picture of one name
        ids = list(files)
    held = tuple(_labelled(file, name, place, labels, faults) for (file, place), name in zip(found, ids))
    coco = category_ids(list(labels.names)) or range(1, len(labels.names) + 1)
    return Data(str(path), layout, tuple(labels.names), tuple(coco), held, notes)


def _labelled(file: str, name: Any, place: Optional[Path], labels: Labels, faults: Faults) -> Picture:
    nothing = Picture(file, name, Boxes.of([]), relative=True)
    if place is None:
        return nothing
    try:
        return replace(labels.read(place), path=file, image_id=name)
    except SourceError as error:
        if faults is None:
            raise
        faults.append(str(error))
        return nothing


_NO_IMAGE: Any = None
