"""Data sets of text labels: darknet's .data file, a data.yaml, a list of pictures, a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..core import Frame, Stream
from ..errors import EngineUnavailable, SourceError
from ..sinks.rows import category_ids, image_id
from ..sources import PICTURES
from . import text
from .truth import Boxes, Data, Picture

SPLITS = ("val", "test", "train")
NAMES = ("classes.txt", "obj.names", "*.names")


def darknet(path: Path) -> Data:
    """A .data file: "valid = LIST" and "names = FILE", from its own folder, the one above or this one."""
    said = {}
    for number, line in enumerate(text.lines(path), 1):
        key, equals, value = line.partition("=")
        if line.strip() and not line.lstrip().startswith("#"):
            if not equals:
                raise SourceError(f"{path}, line {number}: KEY = VALUE is expected; found {line.strip()!r}")
            said[key.strip()] = value.strip()
    for key in ("valid", "names"):
        if not said.get(key):
            raise SourceError(f"{path} has no line '{key} = FILE'; it has: {', '.join(said) or 'nothing'}")
    names = text.lines(_of(path, said["names"]))
    names = [name.strip() for name in names if name.strip()]
    if said.get("classes", "").isdecimal() and int(said["classes"]) != len(names):
        raise SourceError(f"{path} has classes = {said['classes']}, and {said['names']} holds {len(names)} names")
    return _data(path, "darknet .data", pictures(_of(path, said["valid"])), names)


def _of(path: Path, name: str) -> Path:
    """A file that a .data file speaks of: darknet looks from where it is started, mostly the folder above."""
    tried = [path.parent / name, path.parent.parent / name, Path(name)]
    for each in tried:
        if each.exists():
            return each
    raise SourceError(f"{path} speaks of {name}, which is none of {', '.join(str(each) for each in tried)}")


def yaml(path: Path, split: str) -> Data:
    """A data.yaml: `path`, `val`, `test` or `train`, and `names`. What it says to download or to run is not done."""
    said = _yaml(path)
    names = _names(path, said)
    entries = said.get(split)
    if not entries:
        there = [each for each in SPLITS if said.get(each)]
        raise SourceError(f"{path} has no {split!r}; it has {', '.join(there) or 'no pictures'}: --split says which")
    root = path.parent / str(said.get("path") or "")
    found: List[str] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        # Some exporters write ../valid/images where valid/ is beside the file.
        tried = [root / str(entry), path.parent / str(entry)]
        tried += [path.parent / str(entry)[3:]] if str(entry).startswith("../") else []
        there_is = next((each for each in tried if each.exists()), None)
        if there_is is None:
            looked = ", ".join(dict.fromkeys(str(each) for each in tried))
            raise SourceError(f"{path}: its {split} pictures are not there; looked for {looked}")
        found += pictures(there_is)
    return _data(path, "YOLO text labels, data.yaml", found, names)


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


def folder(path: Path, labels: Sequence[str]) -> Data:
    """A folder of pictures (in images/, if there is one) with labels beside them or in labels/, or a list of them.

    Its names are in classes.txt or a .names file; without one, class numbers are the model's, whose `labels` are given.
    """
    inner = path / "images"
    found = pictures(inner if inner.is_dir() else path)
    around = (path, path / "labels") if path.is_dir() else (path.parent,)
    named = sorted({file for place in around for pattern in NAMES for file in place.glob(pattern)})
    if len(named) > 1:
        raise SourceError(f"{path} has names in {' and in '.join(str(each) for each in named)}; one of them must go")
    names = [name.strip() for name in text.lines(named[0]) if name.strip()] if named else list(labels)
    notes = () if named else (f"{path} names no classes (classes.txt): their numbers are taken for the model's",)
    return _data(path, "text labels beside pictures", found, names, notes)


def pictures(path: Path) -> List[str]:
    """The pictures below a folder, or those of a list (.txt, a path a line, from the list's folder or this one)."""
    if path.is_dir():
        found = [each for each in sorted(path.rglob("*")) if each.suffix.lower() in PICTURES]
        found = [each for each in found if not each.name.startswith(".") and each.is_file()]
        if not found:
            raise SourceError(f"no picture in the folder {path}")
        return [str(each) for each in found]
    if path.suffix.lower() in PICTURES:
        return [str(path)]
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
    return listed


def _data(path: Path, layout: str, files: List[str], names: Sequence[str], notes: Tuple[str, ...] = ()) -> Data:
    """Read every label file. Raises `SourceError`, also when there is none at all."""
    if len(set(files)) < len(files):
        twice = next(file for i, file in enumerate(files) if file in files[:i])
        raise SourceError(f"{path} has {twice} twice")
    found: List[Tuple[str, Optional[Path]]] = [(file, text.label_file(file)) for file in files]
    without = [file for file, place in found if place is None]
    if len(without) == len(files):
        looked = " or ".join(str(place) for place in text.label_places(files[0]))
        raise SourceError(f"{path}: none of the {len(files)} pictures has labels; looked for {looked}")
    if without:
        some = f"{len(without)} of {len(files)} pictures have no label file and count as empty, the first {without[0]}"
        notes = (*notes, some)
    ids = [image_id(Frame(_NO_IMAGE, Stream(file))) for file in files]
    if len(set(map(str, ids))) < len(ids):  # two folders with a picture of one name
        ids = list(files)
    boxes = [Boxes.of([]) if place is None else text.read(place, len(names)) for _, place in found]
    held = tuple(Picture(file, name, box, relative=True) for file, name, box in zip(files, ids, boxes))
    coco = category_ids(names) or range(1, len(names) + 1)
    return Data(str(path), layout, tuple(names), tuple(coco), held, notes)


_NO_IMAGE: Any = None
