"""What a user points `--data` at, and which layout that is."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ...cache.files import nearby
from ...errors import SourceError, UnknownName, UsageError
from . import coco, folder, lists
from .truth import Data

YAML = (".yaml", ".yml")
KNOWN = (
    "COCO's annotations (.json), a data.yaml, darknet's .data, a list of pictures (.txt), a folder of these, "
    "or a folder of images with text or Pascal VOC XML labels"
)


def read(
    path: Union[str, Path],
    *,
    labels: Sequence[str] = (),
    images: Union[str, Path, None] = None,
    split: str = "val",
    faults: Optional[List[str]] = None,
) -> Data:
    """A data set: COCO annotations (.json), data.yaml, darknet's .data, a list (.txt), or a folder with one of them.

    A folder that holds none of these has text or Pascal VOC XML labels beside its pictures. `labels` are the model's,
    for data that names no classes; `images` where COCO's pictures are; `split` which part of the data. What is wrong
    with a label is raised, or with `faults` put there, and the rest is read. Raises `SourceError` (`NoSplit`: there is
    no such part), `UsageError`.
    """
    path = Path(path)
    if split not in lists.SPLITS:
        raise UnknownName("split", split, lists.SPLITS)
    found = _found(path, split)
    kind = found.suffix.lower()
    if images is not None and (kind != ".json" or not Path(images).is_dir()):
        why = "is no folder" if kind == ".json" else f"is for COCO annotations, and {found} is none"
        raise UsageError(f"--images {images} {why}")
    if kind == ".json":
        return coco.read(found, None if images is None else Path(images), faults)
    if kind in YAML:
        return lists.yaml(found, split, faults)
    if kind == ".data":
        return lists.darknet(found, split, faults)
    if found.is_dir() or kind == ".txt":
        return folder.read(found, labels, split, faults)
    raise SourceError(f"{path} is no data set: {KNOWN}")


def splits(path: Union[str, Path]) -> Tuple[str, ...]:
    """The parts (train, val, test) that a data set has, () when it is one whole. Raises `SourceError`, `UsageError`."""
    path = Path(path)
    if path.is_dir():
        several = _candidates(path)
        by_name = tuple(split for split in ("train", "val", "test") if len(_of_split(several, split)) == 1)
        if len(several) > 1 and by_name:
            return by_name
    found = _found(path, "val")
    if found.is_dir():
        return folder.splits(found)
    return lists.splits(found) if found.suffix.lower() in (*YAML, ".data") else ()


def _found(path: Path, split: str) -> Path:
    if not path.exists():
        raise SourceError(f"there is no {path}{nearby(path)}; data is {KNOWN}")
    return _inside(path, split) if path.is_dir() else path


def _inside(path: Path, split: str) -> Path:
    """The file in a folder that describes its data, else the folder itself. Raises `UsageError` when there are two."""
    found = _candidates(path)
    if len(found) > 1:
        of_split = _of_split(found, split)
        found = of_split if len(of_split) == 1 else found
    if len(found) > 1:
        raise UsageError(f"{path} holds several data sets; type one: --data {' or '.join(map(str, found))}")
    return found[0] if found else path


def _of_split(files: Sequence[Path], split: str) -> List[Path]:
    return [each for each in files if f"instances_{split}" in each.name]


def _candidates(path: Path) -> List[Path]:
    files = sorted(each for each in path.iterdir() if each.is_file())
    below = path / "annotations"
    found = [each for each in files if each.suffix.lower() in (*YAML, ".data")]
    every = files + (sorted(below.iterdir()) if below.is_dir() else [])
    return found + [each for each in every if each.suffix.lower() == ".json" and coco.looks_like(each)]
