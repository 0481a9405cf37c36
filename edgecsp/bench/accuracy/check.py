"""Check a data set for problems before training or validation.

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
from . import duplicates, inspection, layouts
from .inspection import ImageInspection
from .problem import Problem, build_problems
from .truth import Data, LabelledImage

SCHEMA = "edgecsp-data/1"
WHOLE = "all"  # the split name of data without splits
SIZES = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, float("inf")))  # COCO's, px^2
SLACK_PX = 1.0  # beyond the image's edge: what rounding makes
CROWDED = 5


class SplitReport(NamedTuple):
    """Counts of one split: images, images without boxes, unreadable images, boxes, and boxes per class."""

    name: str
    images: int
    empty: int
    unreadable: int
    boxes: int
    ignored: int
    classes: Tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """The result of a check.

    `sizes` are shares of the boxes by COCO's bounds, `median_px` the median of the square roots of their areas.
    `crowded` are the images with the most boxes. `images` are the readable ones, boxes in pixels, by split.
    """

    name: str
    layout: str
    names: Tuple[str, ...]
    parts: Tuple[SplitReport, ...]
    sizes: Dict[str, float]
    median_px: Optional[float]
    crowded: Tuple[Tuple[str, int], ...]
    problems: Tuple[Problem, ...]
    images: Dict[str, List[LabelledImage]] = field(repr=False, default_factory=dict)

    def lines(self) -> List[str]:
        """Summarise the report: a line per split, one of the box sizes, and one per problem."""
        lines = []
        for part in self.parts:
            more = f", {part.empty} of them without a box" if part.empty else ""
            ignored = f" and {part.ignored} that count neither way" if part.ignored else ""
            used = sum(count > 0 for count in part.classes)
            lines.append(
                f"{part.name}: {part.images} images{more}; {part.boxes} boxes{ignored} of "
                f"{used if used == len(self.names) else f'{used} of {len(self.names)}'} classes"
            )
        if self.median_px is not None:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.sizes.items())
            lines.append(f"boxes: median side {self.median_px:.0f} px; {shares} (COCO's bounds, 32 and 96 px)")
        return lines + [f"{'error' if each.fatal else 'warning'}: {each.format_line()}" for each in self.problems]

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
            raise SourceError(f"{self.name} cannot be used as it is: {fatal[0].format_line()}")


def read_parts(
    path: Union[str, Path], images: Union[str, Path, None] = None, faults: Optional[List[str]] = None
) -> Dict[str, Data]:
    """Read every split of a data set by its name, "all" for data without splits.

    With `faults`, what is wrong is put there, and the other parts and labels are read. Raises `SourceError` and
    `UsageError`, with `faults` only where no part is left.
    """
    parts: Dict[str, Data] = {}
    errors: Dict[str, SourceError] = {}
    for split in layouts.list_splits(path) or (WHOLE,):
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
    inspections: Optional[Mapping[str, Sequence[ImageInspection]]] = None,
    *,
    faults: Sequence[str] = (),
    whole: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Report:
    """Check data by its parts.

    `inspections` are those of images that were inspected already; the others are decoded (`whole`), or only their
    headers are read. `faults` are the errors of label files. `progress` counts the images.
    """
    inspected = dict(inspections or {})
    for name, data in parts.items():
        if name not in inspected:
            inspected[name] = inspection.inspect_images([each.path for each in data.images], whole, progress)
    images = {name: _with_sizes(data, inspected[name]) for name, data in parts.items()}
    first = next(iter(parts.values()))
    boxes = [each.boxes for part in images.values() for each in part]
    areas = np.concatenate([each.areas[~each.crowd] for each in boxes] or [np.zeros(0)])
    problems = [
        *_label_problems(parts, faults),
        *_file_problems(inspected),
        *_size_problems(parts, inspected),
        *_box_problems(images),
        *duplicates.find_duplicates(inspected),
        *_class_problems(parts),
    ]
    crowded = sorted(((len(each.boxes), each.path) for part in images.values() for each in part), reverse=True)
    return Report(
        first.name,
        first.layout,
        first.names,
        tuple(_split_report(name, data, inspected[name]) for name, data in parts.items()),
        {name: float(((areas >= low) & (areas < high)).mean()) for name, low, high in SIZES} if len(areas) else {},
        round(float(np.median(np.sqrt(areas))), 1) if len(areas) else None,
        tuple((path, count) for count, path in crowded[:CROWDED] if count),
        tuple(problems),
        images,
    )


def _with_sizes(data: Data, inspections: Sequence[ImageInspection]) -> List[LabelledImage]:
    return [
        each.with_size(inspection.hw) for each, inspection in zip(data.images, inspections) if inspection.hw is not None
    ]


def _split_report(name: str, data: Data, inspections: Sequence[ImageInspection]) -> SplitReport:
    ignored = sum(int(each.boxes.crowd.sum()) for each in data.images)
    empty = sum(not len(each.boxes) for each in data.images)
    unreadable = sum(inspection.hw is None for inspection in inspections)
    return SplitReport(name, len(data.images), empty, unreadable, sum(data.counts), ignored, tuple(data.counts))


def _label_problems(parts: Mapping[str, Data], faults: Sequence[str]) -> List[Problem]:
    wrong = list(dict.fromkeys(faults))
    notes = dict.fromkeys(note for data in parts.values() for note in data.notes)
    return build_problems("labels", "{n} errors in labels", wrong, True) + [Problem("note", note) for note in notes]


def _file_problems(inspections: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    every = [each for part in inspections.values() for each in part]
    bad = [each.problem for each in every if each.hw is None]
    damaged = [f"{each.path} ({text})" for each in every for text in each.warnings]
    some = "none of the {n} images can be read" if len(bad) == len(every) else "{n} images cannot be read"
    lost = build_problems("unreadable", some, bad, len(bad) == len(every))
    return lost + build_problems("damaged", "{n} images were read with warnings", damaged)


def _size_problems(parts: Mapping[str, Data], inspections: Mapping[str, Sequence[ImageInspection]]) -> List[Problem]:
    """Find images whose size differs from their labels', as after scaling or rotation."""
    others = [
        f"{each.path} is {inspection.hw[1]}x{inspection.hw[0]}, and labelled as {each.hw[1]}x{each.hw[0]}"
        for name, data in parts.items()
        for each, inspection in zip(data.images, inspections[name])
        if inspection.hw is not None and each.hw is not None and inspection.hw != each.hw
    ]
    return build_problems("size", "{n} images are of another size than their labels say", others)


def _box_problems(images: Mapping[str, Sequence[LabelledImage]]) -> List[Problem]:
    outside: List[str] = []
    no_area: List[str] = []
    twice: List[str] = []
    for each in (each for part in images.values() for each in part):
        beyond = int(_is_outside(each).sum()) + each.boxes.clipped
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
        for row in _count_problem(kind, text, where)
    ]


def _count_problem(kind: str, text: str, where: Sequence[str]) -> List[Problem]:
    places = tuple(dict.fromkeys(where))
    return [Problem(kind, text.format(n=len(where)), places)] if where else []


def _is_outside(image: LabelledImage) -> Array:
    assert image.hw is not None
    corners = image.boxes.xyxy
    limit = np.array(image.hw[::-1], np.float64)
    return np.asarray(((corners[:, :2] < -SLACK_PX) | (corners[:, 2:] > limit + SLACK_PX)).any(1))


def _class_problems(parts: Mapping[str, Data]) -> List[Problem]:
    names = next(iter(parts.values())).names
    counts = {name: data.counts for name, data in parts.items() if data.names == names}
    nowhere = [name for i, name in enumerate(names) if not any(count[i] for count in counts.values())]
    rows = build_problems("class without boxes", "{n} classes have no box", nowhere)
    for part, count in counts.items() if len(counts) > 1 else ():
        lacking = [name for i, name in enumerate(names) if not count[i] and name not in nowhere]
        rows += build_problems("class without boxes", f"{{n}} classes have no box in {part}", lacking)
    twice = sorted({name for name in names if names.count(name) > 1})
    return rows + build_problems("class twice", "{n} class names stand for several classes", twice)
