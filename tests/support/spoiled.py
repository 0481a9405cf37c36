"""A small data set that is right, and what can be wrong with its images and labels."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

import cv2
import numpy as np

from support import images, media

NAMES = ("square", "disc")
ROWS = "0 0.25 0.5 0.25 0.5\n1 0.75 0.5 0.25 0.5\n"


def good(root: Path, train: int = 4, val: int = 2) -> Path:
    """Two classes in YOLO's layout, 96 x 64 pixels: images/ and labels/ with train/ and val/ each, and classes.txt."""
    for part, count, first in (("train", train, 0), ("val", val, 100)):
        (root / "images" / part).mkdir(parents=True)
        (root / "labels" / part).mkdir(parents=True)
        for i in range(count):
            (root / "images" / part / f"{i}.jpg").write_bytes(media.jpeg(synthetic_image(first + i)))
            (root / "labels" / part / f"{i}.txt").write_text(ROWS)
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return root


def synthetic_image(seed: int) -> Any:
    """A square and a disc on coarse noise: (64, 96, 3)."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 6, 3), np.uint8)
    image = cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(image, (12, 16), (36, 48), (20, 20, 230), -1)
    cv2.ellipse(image, (72, 32), (12, 16), 0, 0, 360, (30, 220, 30), -1)
    return image


class Kind(NamedTuple):
    """A way to spoil a good data set, the message about it, and whether the data cannot be used so."""

    spoil: Callable[[Path], Any]
    message: str
    fatal: bool = False


def label(content: Any, name: str = "labels/train/1.txt") -> Callable[[Path], Any]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda root: (root / name).write_bytes(data)


def image(content: Any, name: str = "images/train/1.jpg") -> Callable[[Path], Any]:
    return lambda root: (root / name).write_bytes(content() if callable(content) else content)


def png(array: Any) -> Callable[[], bytes]:
    return lambda: images.encoded(".png", array)


def huge() -> bytes:
    """A PNG whose header says 60000 x 60000."""
    data = bytearray(images.encoded(".png", synthetic_image(1)))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    return bytes(data)


def truncated() -> bytes:
    data = media.jpeg(media.noise(1, 96, 64))
    return data[: len(data) // 2]


def without_end() -> bytes:
    return media.jpeg(synthetic_image(1))[:-2]


def linked(root: Path) -> None:
    (root / "images/train/x.jpg").symlink_to("x.jpg")


def linked_folder(root: Path) -> None:
    (root / "images/train/again").symlink_to(root / "images/train", target_is_directory=True)


def unusual_name(root: Path) -> None:
    for folder, ending in (("images", b".jpg"), ("labels", b".txt")):
        here = os.fsencode(root / folder / "train")
        os.rename(os.path.join(here, b"1" + ending), os.path.join(here, b"caf\xe9\x1b[2J\n" + ending))


def copied(root: Path) -> None:
    shutil.copy(str(root / "images/train/1.jpg"), str(root / "images/val/1.jpg"))


def encoded_again(root: Path) -> None:
    data = cv2.imencode(".jpg", cv2.resize(synthetic_image(1), (120, 80)), [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    (root / "images/val/1.jpg").write_bytes(data)


def no_labels_at_all(root: Path) -> None:
    shutil.rmtree(str(root / "labels/train"))


def no_image_is_left(root: Path) -> None:
    for file in (root / "images").rglob("*.jpg"):
        file.write_bytes(b"")


def yaml(content: str) -> Callable[[Path], Any]:
    return lambda root: (root / "data.yaml").write_text(content)


def unlabelled_test(root: Path) -> None:
    (root / "images/test").mkdir()
    (root / "images/test/0.jpg").write_bytes(media.jpeg(synthetic_image(500)))
    parts = "".join(f"{part}: images/{part}\n" for part in ("train", "val", "test"))
    (root / "data.yaml").write_text(f"{parts}names: [square, disc]\n")


XML = (
    "<annotation>\n<size><width>96</width><height>64</height></size>\n<object>\n<name>disc</name>\n"
    "<bndbox><xmin>60</xmin><ymin>16</ymin><xmax>84</xmax><ymax>48</ymax></bndbox>\n</object>\n</annotation>\n"
)


def xml(old: str = "", new: str = "") -> Callable[[Path], Any]:
    """The label of one image as XML, a part of it replaced."""
    assert old in XML

    def spoil(root: Path) -> None:
        (root / "labels/train/1.txt").unlink()
        (root / "labels/train/1.xml").write_text(XML.replace(old, new, 1) if old else XML)

    return spoil


def coco(change: Callable[[Dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """The training part as COCO's annotations, changed."""

    def spoil(root: Path) -> None:
        shutil.rmtree(str(root / "images/val"))
        names: List[str] = sorted(os.listdir(root / "images/train"))
        annotations: Dict[str, Any] = {
            "images": [{"id": i, "file_name": f"train/{name}"} for i, name in enumerate(names)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": i % 2, "bbox": [12, 16, 24, 32], "area": 768}
                for i in range(len(names))
            ],
        }
        change(annotations)
        (root / "instances.json").write_text(json.dumps(annotations))

    return spoil


def annotation(**values: Any) -> Callable[[Path], Any]:
    return coco(lambda annotations: annotations["annotations"][1].update(values))


CLEAN = "no problem found"
GREY = synthetic_image(7)[:, :, 0]

# What goes on: a warning, or nothing at all.
SURVIVED: Dict[str, Kind] = {
    "empty label": Kind(label(""), r"train: 4 images, 1 of them without a box; 6 boxes"),
    "label of blank lines": Kind(label("\n \n\t\n"), r"1 of them without a box"),
    "byte order mark": Kind(label(b"\xef\xbb\xbf" + ROWS.encode()), CLEAN),
    "CRLF": Kind(label(ROWS.replace("\n", "\r\n")), CLEAN),
    "polygons": Kind(label("0 0.1 0.1 0.4 0.1 0.4 0.6\n1 0.6 0.6 0.9 0.6 0.9 0.9 0.6 0.9\n"), CLEAN),
    "box over the edge": Kind(label("0 0.9 0.5 0.6 0.5\n"), r"1 boxes reach beyond their image: .*train/1\.jpg"),
    "box twice": Kind(label(ROWS + ROWS), r"2 boxes are on their image twice: .*train/1\.jpg"),
    "no label": Kind(
        lambda root: (root / "labels/train/1.txt").unlink(), r"1 of 4 images have no label file .*train/1\.jpg"
    ),
    "label without image": Kind(label(ROWS, "labels/train/z.txt"), r"1 label files have no image: .*train/z\.txt"),
    "truncated JPEG": Kind(image(truncated), r"1 images cannot be read: .*train/1\.jpg .*premature end"),
    "damaged JPEG": Kind(image(images.damaged_jpeg), r"1 images were read with warnings: .*train/1\.jpg \(damaged"),
    "JPEG without its end": Kind(image(without_end), r"train/1\.jpg \(the end marker is missing"),
    "zero bytes": Kind(image(b""), r"1 images cannot be read: .*train/1\.jpg is empty \(0 bytes\)"),
    "text named jpg": Kind(image(b"not an image\n"), r"1 images cannot be read: .*1\.jpg .*is text \('not an image"),
    "page named jpg": Kind(image(b"<html>404</html>"), r"train/1\.jpg .*is HTML or XML text"),
    "PNG named jpg": Kind(image(png(synthetic_image(1))), CLEAN),
    "PNG of 16 bits": Kind(image(png(synthetic_image(1).astype(np.uint16) * 257)), CLEAN),
    "grey image": Kind(image(png(GREY)), CLEAN),
    "image with alpha": Kind(image(png(np.dstack((synthetic_image(1), GREY)))), CLEAN),
    "huge header": Kind(image(huge), r"train/1\.jpg is 60000x60000, 3600 megapixels; the limit is"),
    "truncated PNG": Kind(image(lambda: images.encoded(".png", media.noise(1))[:200]), r"train/1\.jpg"),
    "turned by EXIF": Kind(image(lambda: media.jpeg(synthetic_image(1), 6)), CLEAN),
    "FIFO": Kind(lambda root: os.mkfifo(root / "images/train/x.jpg"), r"x\.jpg \(not a regular file\)"),
    "link to itself": Kind(linked, r"1 of the names below .*x\.jpg \(a broken link\)"),
    "folders in a loop": Kind(linked_folder, CLEAN),
    "folder named jpg": Kind(lambda root: (root / "images/train/x.jpg").mkdir(), r"x\.jpg \(a folder\)"),
    "name that is not UTF-8": Kind(unusual_name, CLEAN),
    "image in two parts": Kind(copied, r"1 images of val are also in train: .*val/1\.jpg = .*train/1\.jpg"),
    "image encoded again": Kind(encoded_again, r"1 images of val look like some of train: .*val/1\.jpg = .*train/1"),
    "class without boxes": Kind(label("square\ndisc\nring\n", "classes.txt"), r"1 classes have no box: ring"),
    "XML among text": Kind(xml(), CLEAN),
    "XML without size": Kind(xml("<size><width>96</width><height>64</height></size>"), CLEAN),
    "XML of another size": Kind(xml("<width>96", "<width>64"), r"1\.jpg is 96x64, and labelled as 64x64"),
    "XML box outside": Kind(xml("<xmax>84", "<xmax>184"), r"1 boxes reach beyond their image: .*train/1\.jpg"),
    "XML box of no area": Kind(xml("<xmax>84", "<xmax>60"), r"1 boxes have no area and are not learned: .*1\.jpg"),
    "yaml of a test part without labels": Kind(
        unlabelled_test, r"test is left out: .*none of the 1 images has labels; looked for .*labels/test/0\.txt"
    ),
    "COCO box outside": Kind(annotation(bbox=[90, 16, 24, 32]), r"1 boxes reach beyond their image: .*1\.jpg"),
    "COCO box of no area": Kind(annotation(bbox=[9, 16, 0, 32]), r"1 boxes have no area"),
}

# What stops: the file and the line.
FATAL: Dict[str, Kind] = {
    "NaN": Kind(label("0 nan 0.5 0.1 0.1\n"), r"labels/train/1\.txt, line 1: x y w h are relative", True),
    "4 columns": Kind(label(ROWS + "0 0.5 0.5 0.1\n"), r"labels/train/1\.txt, line 3: 4 numbers", True),
    "class out of range": Kind(label("2 0.5 0.5 0.1 0.1\n"), r"1\.txt, line 1: class 2, and the classes", True),
    "negative class": Kind(label("\n-1 0.5 0.5 0.1 0.1\n"), r"1\.txt, line 2: class -1, and the classes", True),
    "half a class": Kind(label("0.5 0.5 0.5 0.1 0.1\n"), r"1\.txt, line 1: the class is a whole number", True),
    "pixels": Kind(label("0 40 30 20 20\n"), r"1\.txt, line 1: x y w h are relative to the image", True),
    "zero area": Kind(label("0 0.5 0.5 0 0.1\n"), r"1\.txt, line 1: a box has a width and a height above 0", True),
    "names for numbers": Kind(label("disc 0.5 0.5 0.1 0.1\n"), r"1\.txt, line 1: numbers are expected", True),
    "UTF-16": Kind(label(ROWS.encode("utf-16")), r"1\.txt is UTF-16 text; save it as UTF-8", True),
    "another encoding": Kind(label(b"0 0.5 0.5 0.1 0.1\n\xe9"), r"1\.txt, line 2 is not UTF-8 text", True),
    "two that are wrong": Kind(
        lambda root: [label("x\n")(root), label("y\n", "labels/val/1.txt")(root)], r"error: 2 errors in labels: ", True
    ),
    "no labels": Kind(no_labels_at_all, r"none of the 4 images has labels; looked for .*labels/train/0\.txt", True),
    "no image is left": Kind(no_image_is_left, r"none of the 6 images can be read: .*is empty", True),
    "no classes.txt": Kind(
        lambda root: (root / "classes.txt").unlink(), r"names no classes; write their names into .*classes\.txt", True
    ),
    "classes.txt in another encoding": Kind(label(b"square\ndis\xe9\n", "classes.txt"), r"classes\.txt, line 2", True),
    "yaml without names": Kind(yaml("train: images/train\nval: images/val\n"), r"data\.yaml has no names", True),
    "yaml of another count": Kind(
        yaml("train: images/train\nval: images/val\nnc: 3\nnames: [a, b]\n"), r"has nc: 3 and 2 names", True
    ),
    "yaml with tabs": Kind(yaml("train: images/train\n\tval: x\n"), r"data\.yaml, line 2: .*'\\t'.* not YAML", True),
    "yaml of lost images": Kind(
        yaml("train: images/train\nval: images/vall\nnames: [a, b]\n"), r"its val images are not there", True
    ),
    "XML turned": Kind(xml("<xmin>60", "<xmin>90"), r"1\.xml, line 5: xmin 90 and xmax 84 of 'disc'", True),
    "XML of an unknown class": Kind(xml("disc", "ring"), r"1\.xml, line 3: class 'ring' is none of the data's", True),
    "XML with an entity bomb": Kind(
        xml("<annotation>", '<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><annotation>'),
        r"1\.xml, line 1: it declares a document type or entities",
        True,
    ),
    "XML cut off": Kind(xml("</object>\n</annotation>\n"), r"1\.xml, line 6: no element found; it is not XML", True),
    "COCO box null": Kind(annotation(bbox=None), r"instances\.json: annotations\[1\] has bbox None", True),
    "COCO box of a huge number": Kind(annotation(bbox=[0, 0, 10**400, 1]), r"annotations\[1\] has bbox", True),
    "COCO category missing": Kind(annotation(category_id=None), r"annotations\[1\] has category_id None", True),
    "COCO category a list": Kind(annotation(category_id=[1]), r"annotations\[1\] has category_id \[1\]", True),
    "COCO unknown image": Kind(annotation(image_id=77), r"annotations\[1\] is on image 77", True),
    "COCO image id twice": Kind(
        coco(lambda annotations: annotations["images"][2].update(id=0)),
        r"first images\[2\]: 0, the id of images\[0\]",
        True,
    ),
}
