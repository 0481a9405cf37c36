"""What a data set holds and what is wrong with it, before anything learns from it or is measured by it.

report = check.check(check.read_parts("cards/data.yaml"))
print(*report.lines(), sep="\n")
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...errors import SourceError
from ...system.progress import NO_PROGRESS, Progress
from ...types import Array
from . import layouts, look, twins
from .look import ImageInspection
from .problem import Problem, problems
from .truth import Data, Picture

SCHEMA = "edgecsp-data/1"
WHOLE = "all"  # the part of data that has none
SIZES = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, float("inf")))  # COCO's, px^2
SLACK_PX = 1.0  # beyond the image's edge: what rounding makes
CROWDED = 5


class SplitReport(NamedTuple):
    """A part's images, those without a box and those that cannot be read, its boxes, and how many of each class."""

    name: str
    images: int
    empty: int
    unreadable: int
    boxes: int
    ignored: int
    classes: Tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """What a check found.

    `sizes` are shares of the boxes by COCO's bounds, `median_px` the median of the square roots of their areas.
    `crowded` are the images with the most boxes. `images` are the readable ones, boxes in pixels, by part.
    """

    name: str
    layout: str
    names: Tuple[str, ...]
    parts: Tuple[SplitReport, ...]
    sizes: Dict[str, float]
    median_px: Optional[float]
    crowded: Tuple[Tuple[str, int], ...]
    problems: Tuple[Problem, ...]
    images: Dict[str, List[Picture]] = field(repr=False, default_factory=dict)

    def lines(self) -> List[str]:
        """The short form: a line a part, one of the sizes, one a problem."""
        said = []
        for part in self.parts:
            more = f", {part.empty} of them without a box" if part.empty else ""
            ignored = f" and {part.ignored} that count neither way" if part.ignored else ""
            used = sum(count > 0 for count in part.classes)
            said.append(
                f"{part.name}: {part.images} images{more}; {part.boxes} boxes{ignored} of "
                f"{used if used == len(self.names) else f'{used} of {len(self.names)}'} classes"
            )
        if self.median_px is not None:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.sizes.items())
            said.append(f"boxes: median side {self.median_px:.0f} px; {shares} (COCO's bounds, 32 and 96 px)")
        return said + [f"{'error' if each.fatal else 'warning'}: {each.line()}" for each in self.problems]

    def to_dict(self) -> Dict[str, Any]:
        """The report as plain values."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "layout": self.layout,
            "parts": [{**part._asdict(), "classes": dict(zip(self.names, part.classes))} for part in self.parts],
            "sizes": {name: round(share, 4) for name, share in self.sizes.items()},
            "median_px": self.median_px,
            "crowded": [{"image": path, "boxes": count} for path, count in self.crowded],
            "problems": [
                {"kind": each.kind, "fatal": each.fatal, "text": each.text, "places": list(each.places)}
                for each in self.problems
            ],
        }

    def require_usable(self) -> None:
        """Raise `SourceError` where a label file is wrong or nothing is left."""
        fatal = [each for each in self.problems if each.fatal]
        if fatal:
            raise SourceError(f"{self.name} cannot be used as it is: {fatal[0].line()}")


def read_parts(
    path: Union[str, Path], images: Union[str, Path, None] = None, faults: Optional[List[str]] = None
) -> Dict[str, Data]:
    """Every part of a data set by its name, "all" for one without parts.

    With `faults`, what is wrong is put there, and the other parts and labels are read. Raises `SourceError` and
    `UsageError`, with `faults` only where no part is left.
    """
    parts: Dict[str, Data] = {}
    errors: Dict[str, SourceError] = {}
    for split in layouts.splits(path) or (WHOLE,):
        try:
            parts[split] = layouts.read(path, images=images, split="val" if split == WHOLE else split, faults=faults)
        except SourceError as failure:
            if faults is None:
                raise
            errors[split] = failure
    if not parts:
        raise next(iter(errors.values()))
    # What is published for a contest often has no labels for its test images.
    unused = tuple(f"{split} is left out: {error}" for split, error in errors.items() if split == "test")
    first = next(iter(parts))
    parts[first] = replace(parts[first], notes=(*parts[first].notes, *unused))
    if faults is not None:
        faults += [str(error) for split, error in errors.items() if split != "test"]
    return parts


def check(
    parts: Mapping[str, Data],
    looks: Optional[Mapping[str, Sequence[ImageInspection]]] = None,
    *,
    faults: Sequence[str] = (),
    whole: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Report:
    """Check data by its parts.

    `looks` are those at images that were looked at already; the others are decoded (`whole`), or their headers are
    read. `faults` are what was wrong with label files. `progress` counts the images.
    """
    seen = dict(looks or {})
    for name, data in parts.items():
        if name not in seen:
            seen[name] = look.look_all([each.path for each in data.pictures], whole, progress)
    images = {name: _sized(data, seen[name]) for name, data in parts.items()}
    first = next(iter(parts.values()))
    boxes = [each.boxes for part in images.values() for each in part]
    areas = np.concatenate([each.areas[~each.crowd] for each in boxes] or [np.zeros(0)])
    found = [
        *_of_labels(parts, faults),
        *_of_files(seen),
        *_of_sizes(parts, seen),
        *_of_boxes(images),
        *twins.find(seen),
        *_of_classes(parts),
    ]
    crowded = sorted(((len(each.boxes), each.path) for part in images.values() for each in part), reverse=True)
    return Report(
        first.name,
        first.layout,
        first.names,
        tuple(_part(name, data, seen[name]) for name, data in parts.items()),
        {name: float(((areas >= low) & (areas < high)).mean()) for name, low, high in SIZES} if len(areas) else {},
        round(float(np.median(np.sqrt(areas))), 1) if len(areas) else None,
        tuple((path, count) for count, path in crowded[:CROWDED] if count),
        tuple(found),
        images,
    )


def _sized(data: Data, looks: Sequence[ImageInspection]) -> List[Picture]:
    return [each.sized(seen.hw) for each, seen in zip(data.pictures, looks) if seen.hw is not None]


def _part(name: str, data: Data, looks: Sequence[ImageInspection]) -> SplitReport:
    ignored = sum(int(each.boxes.crowd.sum()) for each in data.pictures)
    empty = sum(not len(each.boxes) for each in data.pictures)
    unreadable = sum(seen.hw is None for seen in looks)
    return SplitReport(name, len(data.pictures), empty, unreadable, sum(data.counts), ignored, tuple(data.counts))


def _of_labels(parts: Mapping[str, Data], faults: Sequence[str]) -> List[Problem]:
    wrong = list(dict.fromkeys(faults))
    notes = dict.fromkeys(note for data in parts.values() for note in data.notes)
    return problems("labels", "{n} errors in labels", wrong, True) + [Problem("note", note) for note in notes]


def _of_files(looks: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    every = [each for part in looks.values() for each in part]
    bad = [each.problem for each in every if each.hw is None]
    damaged = [f"{each.path} ({text})" for each in every for text in each.warnings]
    some = "none of the {n} images can be read" if len(bad) == len(every) else "{n} images cannot be read"
    lost = problems("unreadable", some, bad, len(bad) == len(every))
    return lost + problems("damaged", "{n} images were read with warnings", damaged)


def _of_sizes(parts: Mapping[str, Data], looks: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    """Images of another size than their labels say, as after they were scaled or turned upright."""
    others = [
        f"{each.path} is {seen.hw[1]}x{seen.hw[0]}, and labelled as {each.hw[1]}x{each.hw[0]}"
        for name, data in parts.items()
        for each, seen in zip(data.pictures, looks[name])
        if seen.hw is not None and each.hw is not None and seen.hw != each.hw
    ]
    return problems("size", "{n} images are of another size than their labels say", others)


def _of_boxes(images: Mapping[str, Sequence[Picture]]) -> List[Problem]:
    outside: List[str] = []
    no_area: List[str] = []
    twice: List[str] = []
    for each in (each for part in images.values() for each in part):
        beyond = int(_beyond(each).sum()) + each.boxes.cut
        flat = int((each.boxes.xywh[:, 2:] <= 0).any(1).sum())
        rows = np.column_stack((each.boxes.class_ids, each.boxes.xywh))
        again = len(rows) - len(np.unique(rows, axis=0))
        for count, where in ((beyond, outside), (flat, no_area), (again, twice)):
            where += [each.path] * count
    return [
        row
        for kind, text, where in (
            ("outside", "{n} boxes reach beyond their image", outside),
            ("no area", "{n} boxes have no area and are not learned", no_area),
            ("box twice", "{n} boxes are on their image twice", twice),
        )
        for row in _counted(kind, text, where)
    ]


def _counted(kind: str, text: str, where: Sequence[str]) -> List[Problem]:
    places = tuple(dict.fromkeys(where))
    return [Problem(kind, text.format(n=len(where)), places)] if where else []


def _beyond(picture: Picture) -> Array:
    assert picture.hw is not None
    corners = picture.boxes.xyxy
    limit = np.array(picture.hw[::-1], np.float64)
    return np.asarray(((corners[:, :2] < -SLACK_PX) | (corners[:, 2:] > limit + SLACK_PX)).any(1))


def _of_classes(parts: Mapping[str, Data]) -> List[Problem]:
    names = next(iter(parts.values())).names
    counts = {name: data.counts for name, data in parts.items() if data.names == names}
    nowhere = [name for i, name in enumerate(names) if not any(count[i] for count in counts.values())]
    rows = problems("class without boxes", "{n} classes have no box", nowhere)
    for part, count in counts.items() if len(counts) > 1 else ():
        lacking = [name for i, name in enumerate(names) if not count[i] and name not in nowhere]
        rows += problems("class without boxes", f"{{n}} classes have no box in {part}", lacking)
    twice = sorted({name for name in names if names.count(name) > 1})
    return rows + problems("class twice", "{n} class names stand for several classes", twice)
