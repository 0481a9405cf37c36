"""Training on data of which some is broken: what can be survived is named, a wrong label stops with its line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest

from support import media, spoiled

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp.bench import accuracy  # noqa: E402
from edgecsp.bench.accuracy import inspection  # noqa: E402
from edgecsp.errors import SourceError  # noqa: E402
from edgecsp.media import sources  # noqa: E402
from edgecsp.train import TrainSettings, train  # noqa: E402
from edgecsp.train.data import Images, read_image  # noqa: E402
from edgecsp.train.splits import split  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
QUICK = TrainSettings(epochs=1, batch=8, imgsz=64, warmup=1)

# Those that put one image or one label in the place of another, or add a file.
MIXED = [name for name, kind in spoiled.SURVIVED.items() if "COCO" not in name and name != "class without boxes"]


def mixture(root: Path) -> Path:
    """Each survivable kind on an image of its own, in one data set."""
    spoiled.good(root, train=2)
    for number, name in enumerate(MIXED):
        each = spoiled.good(root.parent / "each" / str(number))
        try:
            spoiled.SURVIVED[name].spoil(each)
        except OSError:  # this file system does not take it
            continue
        for kind in ("images", "labels"):
            shutil.copytree(str(each / kind / "train"), str(root / kind / "train" / str(number)), symlinks=True,
                            copy_function=shutil.copy2, ignore=fifo)  # fmt: skip
    return root


def fifo(folder: str, names: List[str]) -> List[str]:
    """What copytree would wait for."""
    return [name for name in names if (Path(folder) / name).is_fifo()]


def test_one_epoch_on_a_mixture_of_what_can_be_survived(tmp_path: Path, log_lines: List[str]) -> None:
    root = mixture(tmp_path / "data")
    lines = log_lines
    run = train(MODEL, root, settings=QUICK, weights="none", out=tmp_path / "run", workers=0)
    assert run.onnx.is_file() and run.epoch == 1
    said = "\n".join(lines)
    warned = "\n".join(line for line in lines if line.startswith("warning: "))
    for wanted in (
        "images cannot be read: ",
        "were read with warnings",
        "have no label file and count as empty",
        "label files have no image",
        "no image files and left out",
        "boxes reach beyond their image",
        "boxes have no area and are not learned",
        "boxes are on their image twice",
    ):
        assert wanted in warned, said
    lost = next(line for line in lines if "cannot be read" in line)
    assert " and " in lost and " more" in lost and lost.count(": ") < 12  # the first few are named
    assert lines.index(lost) < next(i for i, line in enumerate(lines) if line.startswith("epoch 1"))


@pytest.mark.parametrize("kind", ["4 columns", "XML turned", "COCO box null"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_wrong_label_stops_with_its_file_and_line(kind: str, part: str, tmp_path: Path) -> None:
    root = spoiled.good(tmp_path / "data")
    spoiled.FATAL[kind].spoil(root)
    if part == "val" and "COCO" not in kind:
        file = next((root / "labels/train").glob("1.*"))
        for old in (root / "labels/val").glob("1.*"):
            old.unlink()
        file.rename(root / "labels/val" / file.name)
    with pytest.raises(SourceError, match=spoiled.FATAL[kind].message.replace("labels/train", "labels/.*")):
        train(MODEL, root, settings=QUICK, weights="none", out=tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_training_sees_the_pixels_that_val_sees(tmp_path: Path) -> None:
    made = {
        "turned.jpg": media.jpeg(spoiled.synthetic_image(0), 6),
        "deep.png": cv2.imencode(".png", spoiled.synthetic_image(1).astype(np.uint16) * 200)[1].tobytes(),
        "cut.jpg": media.jpeg(spoiled.synthetic_image(2))[:-2],
        "alpha.png": cv2.imencode(".png", np.dstack((spoiled.synthetic_image(3), spoiled.GREY)))[1].tobytes(),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
        frame = next(iter(sources.ImageFiles([str(tmp_path / name)])))
        image = read_image(str(tmp_path / name))
        assert image is not None
        np.testing.assert_array_equal(image, frame.image)
    assert read_image(str(tmp_path / "nothing.jpg")) is None
    data = accuracy.Data("", "", ("a",), (1,), tuple(
        accuracy.LabelledImage(str(tmp_path / name), name, accuracy.Boxes.from_rows([(0, 8, 8, 16, 16)]))
        for name in made
    ))  # fmt: skip
    images = Images(data, 64)
    assert [seen.hw for seen in images.inspections] == [(96, 64), (64, 96), (64, 96), (64, 96)]
    assert images.inspections[2].warnings == ("the end marker is missing, the image data is complete",)
    assert images.get(0).image.shape == (80, 53, 3)  # 1.25 x 64, upright


def test_difficult_and_flat_boxes_are_not_learned(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), spoiled.synthetic_image(0))
    rows = [(0, 8, 8, 16, 16), (0, 8, 8, 0, 16), (0, 200, 8, 5, 5), (0, 90, 8, 40, 16), (0, 4, 4, 8, 8)]
    boxes = accuracy.Boxes.from_rows(rows)
    boxes.crowd[4] = True
    data = accuracy.Data("", "", ("a",), (1,), (accuracy.LabelledImage(str(tmp_path / "a.png"), 1, boxes),))
    sample = Images(data, 96).get(0)
    np.testing.assert_allclose(sample.boxes, [[8, 8, 24, 24], [90, 8, 96, 24], [4, 4, 12, 12]])
    np.testing.assert_array_equal(sample.confidence, [1, 1, 0])  # 0: neither an object nor background


def test_images_come_in_their_order_whoever_is_fastest(tmp_path: Path) -> None:
    sides = [8 + 97 * (i % 5) for i in range(70)]
    pictures = []
    for i, side in enumerate(sides):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((side, side, 3), i, np.uint8))
        pictures.append(
            accuracy.LabelledImage(str(tmp_path / f"{i}.png"), i, accuracy.Boxes.from_rows([(0, 1, 1, 4, 4)]))
        )
    (tmp_path / "3.png").write_bytes(b"")
    images = Images(accuracy.Data("", "", ("a",), (1,), tuple(pictures)), 32)
    assert [int(images.get(k).image[0, 0, 0]) for k in range(len(images))] == [i for i in range(70) if i != 3]
    assert [seen.path for seen in images.inspections] == [each.path for each in pictures]


def test_the_report_says_what_val_shares_with_train(tmp_path: Path) -> None:
    root = spoiled.good(tmp_path / "data")
    spoiled.copied(root)
    learn, judge, _ = split(root, None, (), False, 0.1, 0)
    seen = Images(learn, 64).inspections
    report = accuracy.check.check({"train": learn, "val": judge}, {"train": seen}, whole=False)
    assert [each.kind for each in report.problems] == ["duplicate in two parts"]
    assert seen[0].digest == inspection.inspect_image(seen[0].path, decode_fully=False).digest


def test_a_name_that_is_not_utf_8_has_a_digest(tmp_path: Path) -> None:
    root = spoiled.good(tmp_path / "data")
    try:
        spoiled.unusual_name(root)
    except OSError as error:
        pytest.skip(f"this file system does not take it: {error}")
    from edgecsp.train.splits import digest

    learn, judge, _ = split(root, None, (), False, 0.1, 0)
    assert len(digest(learn, judge)) == 16
