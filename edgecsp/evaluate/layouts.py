"""What a user points `--data` at, and which layout that is."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Union

from ..errors import SourceError, UnknownName, UsageError
from ..files import nearby
from . import coco, lists
from .truth import Data

YAML = (".yaml", ".yml")
KNOWN = "COCO's annotations (.json), a data.yaml, darknet's .data, a list of pictures (.txt), or a folder of these"


def read(
    path: Union[str, Path], *, labels: Sequence[str] = (), images: Union[str, Path, None] = None, split: str = "val"
) -> Data:
    """A data set: COCO annotations (.json), data.yaml, darknet's .data, a list (.txt), or a folder with one of them.

    A folder that holds none of these has labels beside its pictures. `labels` are the model's, for data that names no
    classes; `images` where COCO's pictures are; `split` which part of a data.yaml. Raises `SourceError`, `UsageError`.
    """
    path = Path(path)
    if split not in lists.SPLITS:
        raise UnknownName("split", split, lists.SPLITS)
    if not path.exists():
        raise SourceError(f"there is no {path}{nearby(path)}; data is {KNOWN}")
    found = _inside(path, split) if path.is_dir() else path
    kind = found.suffix.lower()
    if images is not None and (kind != ".json" or not Path(images).is_dir()):
        why = "is no folder" if kind == ".json" else f"is for COCO annotations, and {found} is none"
        raise UsageError(f"--images {images} {why}")
    if kind == ".json":
        return coco.read(found, None if images is None else Path(images))
    if kind in YAML:
        return lists.yaml(found, split)
    if kind == ".data":
        return lists.darknet(found)
    if found.is_dir() or kind == ".txt":
        return lists.folder(found, labels)
    raise SourceError(f"{path} is no data set: {KNOWN}")


def _inside(folder: Path, split: str) -> Path:
    """The file in a folder that describes its data, else the folder itself. Raises `UsageError` when there are two."""
    files = sorted(each for each in folder.iterdir() if each.is_file())
    below = folder / "annotations"
    found: List[Path] = [each for each in files if each.suffix.lower() in (*YAML, ".data")]
    every = files + (sorted(below.iterdir()) if below.is_dir() else [])
    found += [each for each in every if each.suffix.lower() == ".json" and coco.looks_like(each)]
    if len(found) > 1:
        of_split: Optional[List[Path]] = [each for each in found if f"instances_{split}" in each.name]
        found = of_split if of_split and len(of_split) == 1 else found
    if len(found) > 1:
        raise UsageError(f"{folder} holds several data sets; type one: --data {' or '.join(map(str, found))}")
    return found[0] if found else folder
