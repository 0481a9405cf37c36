"""The pictures a model does worst on, drawn: the truth on the left, what was found on the right."""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from ...cache import files
from ...errors import OutputError
from ...media import draw, sources
from ...types import Array, Detections
from .confusion import IGNORED, NOTHING, Matches, matches
from .found import Predictions
from .truth import Picture

# Colours of draw's palette that are told apart with every kind of colour blindness; words say the same.
RIGHT, WRONG, ODD, CROWD = (0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5), (0x42, 0xE4, 0xF0), (0x99, 0x99, 0x99)
GAP_PX = 4


class Bad(NamedTuple):
    """A picture and its mistakes: objects missed, taken for another class, and boxes where nothing is."""

    picture: Picture
    found: Detections
    match: Matches
    missed: int
    confused: int
    false: int
    cost: float


def worst(found: Predictions, conf: float, count: int) -> List[Bad]:
    """The `count` pictures with the most mistakes among boxes of a score of `conf` or more, the worst first.

    An object that is missed or confused costs 1, a box where nothing is its score. Pictures without a mistake are
    not among them.
    """
    judged = [_judged(*each, conf) for each in zip(found.pictures, found.detections)]
    bad = sorted((each for each in judged if each.cost > 0), key=lambda each: -each.cost)
    return bad[:count]


def _judged(picture: Picture, detections: Detections, conf: float) -> Bad:
    shown = detections[detections.scores >= conf]
    match = matches(picture.boxes, shown)
    on = match.of_objects >= 0
    confused = int((picture.boxes.class_ids[on] != shown.class_ids[match.of_objects[on]]).sum())
    missed, false = int((match.of_objects == NOTHING).sum()), match.of_found == NOTHING
    cost = missed + confused + float(shown.scores[false].sum())
    return Bad(picture, shown, match, missed, confused, int(false.sum()), cost)


def save(bad: Sequence[Bad], folder: Path, names: Sequence[str]) -> List[Path]:
    """Draw them into a folder, numbered from the worst; the files. Raises `SourceError` and `OutputError`."""
    import cv2

    written = []
    width = len(str(len(bad)))
    for i, each in enumerate(bad, 1):
        stem = files.shortened(Path(each.picture.path).stem, files.NAME_BYTES - width - len("-.jpg"))
        path = folder / f"{i:0{width}d}-{stem}.jpg"
        done, data = cv2.imencode(".jpg", drawn(each, names), [cv2.IMWRITE_JPEG_QUALITY, 92])
        if not done:
            raise OutputError(f"cannot write {path}: OpenCV makes no JPEG of it")
        with files.atomic(path) as file:
            file.write(data.tobytes())
        written.append(path)
    return written


def drawn(bad: Bad, names: Sequence[str]) -> Array:
    """One picture twice, side by side under a line of words: (H', W', 3) uint8 BGR."""
    image = next(iter(sources.ImageFiles([bad.picture.path]))).image
    left, right = image.copy(), image
    draw.boxes(left, *_truth(bad, names))
    draw.boxes(right, *_found(bad, names))
    of = len(bad.match.of_objects) - int((bad.match.of_objects == IGNORED).sum())
    left = draw.add_title(left, f"truth: {of}, missed {bad.missed}, confused {bad.confused}")
    right = draw.add_title(right, f"found: {len(bad.found)}, false {bad.false}")
    return np.hstack([left, np.full((len(left), GAP_PX, 3), 32, np.uint8), right])


_Paint = Tuple[Array, List[List[str]], List[Tuple[int, int, int]]]


def _truth(bad: Bad, names: Sequence[str]) -> _Paint:
    boxes, texts, colours = bad.picture.boxes, [], []
    for class_id, on in zip(boxes.class_ids.tolist(), bad.match.of_objects.tolist()):
        name = names[class_id]
        if on == IGNORED:
            words, colour = f"many: {name}", CROWD
        elif on == NOTHING:
            words, colour = f"missed: {name}", WRONG
        else:
            right = int(bad.found.class_ids[on]) == class_id
            words, colour = (name, RIGHT) if right else (f"confused: {name}", ODD)
        texts.append([words, name])
        colours.append(colour)
    return boxes.xyxy, texts, colours


def _found(bad: Bad, names: Sequence[str]) -> _Paint:
    texts, colours = [], []
    for row, on in zip(bad.found, bad.match.of_found.tolist()):
        name = names[row.class_id]
        if on == IGNORED:
            words, colour = f"one of many: {name}", CROWD
        elif on == NOTHING:
            words, colour = f"false: {name}", WRONG
        else:
            truth = int(bad.picture.boxes.class_ids[on])
            words, colour = (name, RIGHT) if truth == row.class_id else (f"{name}, is {names[truth]}", ODD)
        texts.append([f"{words} {row.score:.2f}", name])
        colours.append(colour)
    return bad.found.xyxy, texts, colours
