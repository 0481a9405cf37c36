"""Recognise the layout of a data set and read it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ...cache.files import suggest_similar
from ...errors import SourceError, UnknownName, UsageError
from . import coco, folder, lists
from .truth import Data

YAML = (".yaml", ".yml")
KNOWN = (
    "COCO's annotations (.json), a data.yaml, darknet's .data, a list of images (.txt), a folder of these, "
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
    """Read a data set: COCO annotations (.json), data.yaml, darknet's .data, a list (.txt), or a folder with one.

    A folder that holds none of these has text or Pascal VOC XML labels beside its images. `labels` are the model's,
    for data that names no classes; `images` where COCO's images are; `split` which part of the data. What is wrong
    with a label is raised, or with `faults` put there, and the rest is read. Raises `SourceError` (`NoSplit`: there is
    no such part), `UsageError`.
    """
    path = Path(path)
    if split not in lists.SPLITS:
        raise UnknownName("split", split, lists.SPLITS)
    file = _find(path, split)
    kind = file.suffix.lower()
    if images is not None and (kind != ".json" or not Path(images).is_dir()):
        why = "is not a folder" if kind == ".json" else f"is for COCO annotations, and {file} is something else"
        raise UsageError(f"--image-dir {images} {why}")
    if kind == ".json":
        return coco.read(file, None if images is None else Path(images), faults)
    if kind in YAML:
        return lists.read_yaml(file, split, faults)
    if kind == ".data":
        return lists.read_darknet(file, split, faults)
    if file.is_dir() or kind == ".txt":
        return folder.read(file, labels, split, faults)
    raise SourceError(f"{path} is not a data set; supported: {KNOWN}")


def list_splits(path: Union[str, Path]) -> Tuple[str, ...]:
    """List the splits (train, val, test) of a data set, () when it has none. Raises `SourceError`, `UsageError`."""
    path = Path(path)
    if path.is_dir():
        several = _candidates(path)
        by_name = tuple(split for split in ("train", "val", "test") if len(_files_of_split(several, split)) == 1)
        if len(several) > 1 and by_name:
            return by_name
    file = _find(path, "val")
    if file.is_dir():
        return folder.list_splits(file)
    return lists.list_splits(file) if file.suffix.lower() in (*YAML, ".data") else ()


def _find(path: Path, split: str) -> Path:
    if not path.exists():
        raise SourceError(f"there is no {path}{suggest_similar(path)}; data is {KNOWN}")
    return _inside(path, split) if path.is_dir() else path


def _inside(path: Path, split: str) -> Path:
    """Find the file in a folder that describes its data, else the folder itself. Raises `UsageError` for several."""
    candidates = _candidates(path)
    if len(candidates) > 1:
        of_split = _files_of_split(candidates, split)
        candidates = of_split if len(of_split) == 1 else candidates
    if len(candidates) > 1:
        raise UsageError(f"{path} holds several data sets; type one: --data {' or '.join(map(str, candidates))}")
    return candidates[0] if candidates else path


def _files_of_split(files: Sequence[Path], split: str) -> List[Path]:
    return [each for each in files if f"instances_{split}" in each.name]


def _candidates(path: Path) -> List[Path]:
    files = sorted(each for each in path.iterdir() if each.is_file())
    below = path / "annotations"
    descriptions = [each for each in files if each.suffix.lower() in (*YAML, ".data")]
    every = files + (sorted(below.iterdir()) if below.is_dir() else [])
    return descriptions + [each for each in every if each.suffix.lower() == ".json" and coco.looks_like(each)]
