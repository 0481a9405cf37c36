"""Draw the images with the most mistakes: ground truth on the left, detections on the right."""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from ...cache import files
from ...errors import OutputError
from ...media import draw, sources
from ...types import Array, Detections
from .confusion import IGNORED, NOTHING, Matches, match_boxes
from .predictions import Predictions
from .truth import LabelledImage

# Colours of draw's palette that are told apart with every kind of colour blindness; words say the same.
RIGHT, WRONG, ODD, CROWD = (0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5), (0x42, 0xE4, 0xF0), (0x99, 0x99, 0x99)
GAP_PX = 4


class ImageMistakes(NamedTuple):
    """An image and its mistakes: missed objects, objects of a wrong class, and false detections."""

    image: LabelledImage
    detections: Detections
    match: Matches
    missed: int
    confused: int
    false: int
    cost: float


def find_worst(predictions: Predictions, conf: float, count: int) -> List[ImageMistakes]:
    """Find the `count` images with the most mistakes among boxes of at least `conf`, the worst first.

    A missed or confused object costs 1, a false detection its score. Images without a mistake are left out.
    """
    judged = [_count_mistakes(*each, conf) for each in zip(predictions.images, predictions.detections)]
    mistakes = sorted((each for each in judged if each.cost > 0), key=lambda each: -each.cost)
    return mistakes[:count]


def _count_mistakes(image: LabelledImage, detections: Detections, conf: float) -> ImageMistakes:
    confident = detections[detections.scores >= conf]
    match = match_boxes(image.boxes, confident)
    on = match.of_objects >= 0
    confused = int((image.boxes.class_ids[on] != confident.class_ids[match.of_objects[on]]).sum())
    missed, false = int((match.of_objects == NOTHING).sum()), match.of_detections == NOTHING
    cost = missed + confused + float(confident.scores[false].sum())
    return ImageMistakes(image, confident, match, missed, confused, int(false.sum()), cost)


def save(mistakes: Sequence[ImageMistakes], folder: Path, names: Sequence[str]) -> List[Path]:
    """Draw the images into a folder, numbered from the worst; returns the files.

    Raises `SourceError` and `OutputError`.
    """
    import cv2

    written = []
    width = len(str(len(mistakes)))
    for i, each in enumerate(mistakes, 1):
        stem = files.shorten(Path(each.image.path).stem, files.NAME_BYTES - width - len("-.jpg"))
        path = folder / f"{i:0{width}d}-{stem}.jpg"
        done, data = cv2.imencode(".jpg", draw_comparison(each, names), [cv2.IMWRITE_JPEG_QUALITY, 92])
        if not done:
            raise OutputError(f"cannot write {path}: OpenCV cannot encode it as JPEG")
        with files.atomic(path) as file:
            file.write(data.tobytes())
        written.append(path)
    return written


def draw_comparison(mistakes: ImageMistakes, names: Sequence[str]) -> Array:
    """Draw one image twice, side by side under a caption: (H', W', 3) uint8 BGR."""
    image = next(iter(sources.ImageFiles([mistakes.image.path]))).image
    left, right = image.copy(), image
    draw.boxes(left, *_label_objects(mistakes, names))
    draw.boxes(right, *_label_detections(mistakes, names))
    of = len(mistakes.match.of_objects) - int((mistakes.match.of_objects == IGNORED).sum())
    left = draw.add_title(left, f"truth: {of}, missed {mistakes.missed}, confused {mistakes.confused}")
    right = draw.add_title(right, f"found: {len(mistakes.detections)}, false {mistakes.false}")
    return np.hstack([left, np.full((len(left), GAP_PX, 3), 32, np.uint8), right])


_Paint = Tuple[Array, List[List[str]], List[Tuple[int, int, int]]]


def _label_objects(mistakes: ImageMistakes, names: Sequence[str]) -> _Paint:
    boxes, texts, colours = mistakes.image.boxes, [], []
    for class_id, on in zip(boxes.class_ids.tolist(), mistakes.match.of_objects.tolist()):
        name = names[class_id]
        if on == IGNORED:
            words, colour = f"many: {name}", CROWD
        elif on == NOTHING:
            words, colour = f"missed: {name}", WRONG
        else:
            right = int(mistakes.detections.class_ids[on]) == class_id
            words, colour = (name, RIGHT) if right else (f"confused: {name}", ODD)
        texts.append([words, name])
        colours.append(colour)
    return boxes.xyxy, texts, colours


def _label_detections(mistakes: ImageMistakes, names: Sequence[str]) -> _Paint:
    texts, colours = [], []
    for row, on in zip(mistakes.detections, mistakes.match.of_detections.tolist()):
        name = names[row.class_id]
        if on == IGNORED:
            words, colour = f"one of many: {name}", CROWD
        elif on == NOTHING:
            words, colour = f"false: {name}", WRONG
        else:
            truth = int(mistakes.image.boxes.class_ids[on])
            words, colour = (name, RIGHT) if truth == row.class_id else (f"{name}, is {names[truth]}", ODD)
        texts.append([f"{words} {row.score:.2f}", name])
        colours.append(colour)
    return mistakes.detections.xyxy, texts, colours
