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
from ...system import install
from ...types import Frame, Stream
from . import label_files, text, voc
from .truth import Boxes, Data, LabelledImage

SPLITS = ("val", "test", "train")
_DARKNET = {"train": "train", "val": "valid", "test": "test"}  # what darknet calls them
Faults = Optional[List[str]]  # collects the errors of label files; None: they are raised


class ImageList(NamedTuple):
    """Image files, and notes about them."""

    files: List[str]
    notes: Tuple[str, ...] = ()


def read_darknet(path: Path, split: str, faults: Faults = None) -> Data:
    """Read a .data file: "valid = LIST" and "names = FILE", relative to its folder, the parent or the current folder.

    "train" and "test" are the other splits. Raises `SourceError`.
    """
    options = _keys(path)
    key = _DARKNET[split]
    if split != "val" and not options.get(key):
        raise NoSplit(f"{path} has no line '{key} = FILE'; it has: {', '.join(options) or 'nothing'}")
    for each in (key, "names"):
        if not options.get(each):
            raise SourceError(f"{path} has no line '{each} = FILE'; it has: {', '.join(options) or 'nothing'}")
    names = text.read_lines(_resolve(path, options["names"]))
    names = [name.strip() for name in names if name.strip()]
    if options.get("classes", "").isdecimal() and int(options["classes"]) != len(names):
        raise SourceError(f"{path} has classes = {options['classes']}, and {options['names']} holds {len(names)} names")
    return read_labels(path, "darknet .data", list_images(_resolve(path, options[key])), LabelReader(names), faults)


def _keys(path: Path) -> Dict[str, str]:
    options = {}
    for number, line in enumerate(text.read_lines(path), 1):
        key, equals, value = line.partition("=")
        if line.strip() and not line.lstrip().startswith("#"):
            if not equals:
                raise SourceError(f"{path}, line {number}: KEY = VALUE is expected; found {line.strip()!r}")
            options[key.strip()] = value.strip()
    return options


def _resolve(path: Path, name: str) -> Path:
    """Resolve a file named in a .data file: darknet looks from its working directory, mostly the parent folder."""
    tried = [path.parent / name, path.parent.parent / name, Path(name)]
    for each in tried:
        if each.exists():
            return each
    raise SourceError(f"{path} names the file {name}, which is none of {', '.join(str(each) for each in tried)}")


def read_yaml(path: Path, split: str, faults: Faults = None) -> Data:
    """Read a data.yaml: `path`, `val`, `test` or `train`, and `names`. Its downloads and code are never executed."""
    content = _yaml(path)
    names = _names(path, content)
    entries = content.get(split)
    if not entries:
        there = [each for each in SPLITS if content.get(each)]
        raise NoSplit(f"{path} has no {split!r}; it has {', '.join(there) or 'no images'}: --split says which")
    root = path.parent / str(content.get("path") or "")
    files: List[str] = []
    notes: Tuple[str, ...] = ()
    for entry in entries if isinstance(entries, list) else [entries]:
        # Some exporters write ../valid/images where valid/ is beside the file.
        tried = [root / str(entry), path.parent / str(entry)]
        tried += [path.parent / str(entry)[3:]] if str(entry).startswith("../") else []
        there_is = next((each for each in tried if each.exists()), None)
        if there_is is None:
            looked = ", ".join(dict.fromkeys(str(each) for each in tried))
            raise SourceError(f"{path}: its {split} images are not there; looked for {looked}")
        part = list_images(there_is)
        files += part.files
        notes += part.notes
    return read_labels(path, "YOLO text labels, data.yaml", ImageList(files, notes), LabelReader(names), faults)


def list_splits(path: Path) -> Tuple[str, ...]:
    """List the splits that a data.yaml or a .data file names. Raises `SourceError`."""
    if path.suffix.lower() == ".data":
        content: Dict[str, Any] = _keys(path)
        return tuple(split for split, key in _DARKNET.items() if content.get(key))
    content = _yaml(path)
    return tuple(split for split in _DARKNET if content.get(split))


def _yaml(path: Path) -> Dict[str, Any]:
    try:
        import yaml as pyyaml
    except ImportError:
        raise EngineUnavailable(f"{path} needs PyYAML, not installed here; type: {install.command('val')}") from None
    try:
        content = pyyaml.safe_load("\n".join(text.read_lines(path)))
    except pyyaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SourceError(f"{path}{line}: {error.problem}; it is not YAML") from None
    except (pyyaml.YAMLError, RecursionError, ValueError) as error:  # a value such as 2020-99-99
        raise SourceError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SourceError(f"{path} holds no keys; a data.yaml has val: FOLDER and names: [...]")
    return content


def _names(path: Path, content: Dict[str, Any]) -> List[str]:
    """Read the class names: a list, or a dictionary by number."""
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise SourceError(f"{path}: the keys of names are the class numbers from 0 on; found {list(names)[:8]}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, (str, int)) for name in names):
        raise SourceError(f"{path} has no names: a list of the classes, or a dictionary by number")
    if any(isinstance(name, bool) for name in names):
        raise SourceError(f"{path}: YAML reads on, off, yes and no as true and false; put such names into quotes")
    if content.get("nc", len(names)) != len(names):
        raise SourceError(f"{path} has nc: {content['nc']} and {len(names)} names")
    return [str(name) for name in names]


def list_images(path: Path) -> ImageList:
    """List the images below a folder, or those of a list (.txt, a path per line, relative to the list or to here)."""
    if path.is_dir():
        return _find_images(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageList([str(path)])
    listed = []
    for number, line in enumerate(text.read_lines(path), 1):
        if line.strip():
            tried = [path.parent / line.strip(), path.parent.parent / line.strip(), Path(line.strip())]
            there = next((each for each in tried if each.is_file()), None)
            if there is None:
                raise SourceError(f"{path}, line {number}: there is no {' nor '.join(str(each) for each in tried)}")
            listed.append(str(there))
    if not listed:
        raise SourceError(f"{path} lists no image; it holds one path a line")
    return ImageList(listed)


def _find_images(path: Path) -> ImageList:
    images, odd = [], []
    for here, names in walk(str(path)):
        if os.path.splitext(here)[1].lower() in IMAGE_SUFFIXES and Path(here) != path:
            odd.append(f"{here} (a folder)")
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):
                file = os.path.join(here, name)
                if os.path.isfile(file):
                    images.append(file)
                else:
                    odd.append(f"{file} ({_kind(file)})")
    if not images:
        raise SourceError(f"no image in the folder {path}" + (f"; {odd[0]} is none" if odd else ""))
    notes = (f"{len(odd)} of the names below {path} are no image files and left out: {abbreviate(odd)}",) if odd else ()
    return ImageList(sorted(images, key=lambda file: Path(file).parts), notes)


def _kind(file: str) -> str:
    if os.path.exists(file):
        return "not a regular file"
    return "a broken link" if os.path.islink(file) else "it cannot be read"


def abbreviate(words: Sequence[object], most: int = 3) -> str:
    """Join the first `most` words, and say how many more there are."""
    more = len(words) - most
    return ", ".join(map(str, words[:most])) + (f" and {more} more" if more > 0 else "")


@dataclass
class LabelReader:
    """Reads label files with given class names; `parsed` are XML files that were read before."""

    names: Sequence[str]
    parsed: Dict[Path, voc.Annotation] = field(default_factory=dict)

    def read(self, place: Path) -> LabelledImage:
        """Read a label file as an image without a name. Raises `SourceError` with file and line."""
        if place.suffix.lower() != label_files.XML:
            return LabelledImage("", "", text.read(place, len(self.names)), relative=True)
        annotation = self.parsed.get(place) or voc.read(place)
        return LabelledImage(
            "", "", voc.to_boxes(annotation, place, {name: i for i, name in enumerate(self.names)}), annotation.hw
        )


def read_labels(path: Path, layout: str, listed: ImageList, labels: LabelReader, faults: Faults = None) -> Data:
    """Read every label file. Raises `SourceError`, also when there is none at all.

    With `faults`, what is wrong with a label file is put there, and its image has no boxes.
    """
    files, notes = listed
    if len(set(files)) < len(files):
        twice = next(file for i, file in enumerate(files) if file in files[:i])
        raise SourceError(f"{path} has {twice} twice")
    label_paths: List[Tuple[str, Optional[Path]]] = [(file, label_files.find_label_file(file)) for file in files]
    without = [file for file, place in label_paths if place is None]
    if len(without) == len(files):
        looked = " or ".join(str(place) for place in label_files.candidate_label_files(files[0]))
        raise SourceError(f"{path}: none of the {len(files)} images has labels; looked for {looked}")
    if without:
        some = f"{len(without)} of {len(files)} images have no label file and count as empty, the first {without[0]}"
        notes = (*notes, some)
    lost = label_files.find_orphan_labels(files)
    if lost:
        notes = (*notes, f"{len(lost)} label files have no image: {abbreviate(lost)}")
    ids = [image_id(Frame(_NO_IMAGE, Stream(file))) for file in files]
    if len(set(map(str, ids))) < len(ids):  # two folders with an image of one name
        ids = list(files)
    images = tuple(
        _read_image_labels(file, name, place, labels, faults) for (file, place), name in zip(label_paths, ids)
    )
    coco = category_ids(list(labels.names)) or range(1, len(labels.names) + 1)
    return Data(str(path), layout, tuple(labels.names), tuple(coco), images, notes)


def _read_image_labels(
    file: str, name: Any, place: Optional[Path], labels: LabelReader, faults: Faults
) -> LabelledImage:
    nothing = LabelledImage(file, name, Boxes.from_rows([]), relative=True)
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
