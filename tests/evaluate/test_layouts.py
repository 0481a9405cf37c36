"""Data sets are read alike whatever their layout, and what is wrong with one is said with its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from edgecsp.bench import accuracy
from edgecsp.errors import EdgecspError, SourceError, UsageError
from support import labelled


@pytest.mark.parametrize("layout", labelled.LAYOUTS)
def test_every_layout_holds_the_same(layout: Callable[[Path], Path], tmp_path: Path) -> None:
    if layout in (labelled.yolo, labelled.ultralytics):
        pytest.importorskip("yaml", reason="PyYAML (extra val) is not installed")
    data = accuracy.read(layout(tmp_path), labels=labelled.NAMES)
    assert data.names == labelled.NAMES and data.counts == [2, 1, 1]
    assert data.category_ids == ((1, 4, 7) if layout is labelled.coco else (1, 2, 3))
    assert [Path(each.path).name for each in data.images] == ["a.png", "b.png", "c.png"]
    for picture, (name, hw) in zip(data.images, labelled.SIZES.items()):
        boxes = picture.with_size(hw).boxes
        assert boxes.class_ids.tolist() == [row[0] for row in labelled.BOXES[name]] and not boxes.crowd.any()
        wanted = np.array([row[1:] for row in labelled.BOXES[name]], float).reshape(-1, 4)
        np.testing.assert_allclose(boxes.xywh, wanted, atol=1e-9)
        np.testing.assert_allclose(boxes.areas, wanted[:, 2] * wanted[:, 3], atol=1e-9)
    told = " ".join(data.notes)
    assert ("1 of 3 images have no label file" in told) == (layout is labelled.beside)
    assert ("names no classes" in told) == (layout is labelled.two_folders)


def test_a_folder_and_its_file_are_the_same(tmp_path: Path) -> None:
    labelled.coco(tmp_path)
    assert accuracy.read(tmp_path).name == str(tmp_path / "instances.json")
    folder = tmp_path / "annotations"
    folder.mkdir()
    (tmp_path / "instances.json").rename(folder / "instances_val2017.json")
    (tmp_path / "images").rename(tmp_path / "val2017")
    assert len(accuracy.read(tmp_path).images) == 3
    (folder / "instances_train2017.json").write_text((folder / "instances_val2017.json").read_text())
    assert "val2017" in accuracy.read(tmp_path).name
    with pytest.raises(SourceError, match=r"a\.png, are not in .*train2017.*type: --image-dir FOLDER"):
        accuracy.read(tmp_path, split="train")
    assert len(accuracy.read(tmp_path, split="train", images=tmp_path / "val2017").images) == 3


BAD_LINES = [
    (b"0 0.5 0.5 0.1\n", "line 1: 4 numbers; class x y w h is expected"),
    (b"\n0 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.1 0.1\n", "line 3: class 3, and the classes are 0 to 2"),
    (b"-1 0.5 0.5 0.1 0.1", "line 1: class -1, and the classes are 0 to 2"),
    (b"red 0.5 0.5 0.1 0.1", "line 1: numbers are expected, class x y w h; found 'red 0.5 0.5 0.1 0.1'"),
    (b"0.5 0.5 0.5 0.1 0.1", "line 1: the class is a whole number; found 0.5"),
    (b"nan 0.5 0.5 0.1 0.1", "line 1: the class is a whole number; found nan"),
    (b"inf 0.5 0.5 0.1 0.1", "line 1: the class is a whole number; found inf"),
    (b"0 80 60 16 12", "line 1: x y w h are relative to the image, from 0 to 1; found '0 80 60 16 12'"),
    (b"0 nan 0.5 0.1 0.1", "line 1: x y w h are relative"),
    (b"0 0.5 0.5 0 0.1", "line 1: a box has a width and a height above 0"),
    (b"0 0.5 0.5 0.1 0.1 0.9", "line 1: 6 numbers"),
    (b"\x89PNG\r\n\x1a\n\xff", "is not UTF-8 text"),
]


@pytest.mark.parametrize(("content", "said"), BAD_LINES)
def test_a_label_file_that_is_wrong(content: bytes, said: str, tmp_path: Path) -> None:
    labelled.beside(tmp_path)
    (tmp_path / "b.txt").write_bytes(content)
    with pytest.raises(SourceError) as error:
        accuracy.read(tmp_path)
    assert str(tmp_path / "b.txt") in str(error.value) and said in str(error.value)


def test_boxes_are_clipped_and_polygons_boxed(tmp_path: Path) -> None:
    labelled.beside(tmp_path)
    (tmp_path / "b.txt").write_text("1 1.0 0.5 0.5 1.0\n2 0.1 0.2 0.3 0.2 0.3 0.6\n")
    boxes = accuracy.read(tmp_path).images[1].boxes
    np.testing.assert_allclose(boxes.xywh, [[0.75, 0, 0.25, 1], [0.1, 0.2, 0.2, 0.4]])


def broken(change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        labelled.coco(root)
        said = labelled.coco_annotations()
        (root / "instances.json").write_text(json.dumps(change(said) or said))
        return root / "instances.json"

    return made


def put(key: str, i: int, **values: Any) -> Callable[[Path], Path]:
    return broken(lambda said: said[key][i].update(values))


def text(name: str, content: str, layout: Callable[[Path], Path] = labelled.beside) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        layout(root)
        (root / name).write_text(content)
        return root / name

    return made


def emptied(root: Path) -> Path:
    labelled.beside(root)
    for file in root.glob("?.txt"):
        file.unlink()
    return root


def both(root: Path) -> Path:
    (root / "data.yaml").write_text("val: images\n")
    return labelled.coco(root)


BAD = {
    "no path": (lambda root: root / "instance.json", "there is no .*; data is COCO's annotations"),
    "typo": (lambda root: labelled.coco(root) / "instance.json", "did you mean .*instances.json"),
    "no json": (text("x.json", '{"images": [}'), "x.json is not JSON: .*line 1 column 13"),
    "results": (text("x.json", "[]"), "x.json is a list, as results are"),
    "no list": (broken(lambda said: said.pop("categories") and None), "has no list of categories"),
    "no image": (broken(lambda said: said["images"].clear()), "lists 0 images"),
    "strange box": (put("annotations", 1, bbox=[1, 2, 3]), r"annotations\[1\] has bbox \[1, 2, 3\]; \[left, top"),
    "negative box": (put("annotations", 1, bbox=[1, 2, -3, 4]), r"annotations\[1\] has bbox"),
    "box of words": (put("annotations", 1, bbox=[1, 2, None, "4"]), r"annotations\[1\] has bbox"),
    "strange area": (put("annotations", 2, area="large"), r"annotations\[2\] has area 'large'"),
    "no category": (put("annotations", 0, category_id=2), r"annotations\[0\] has category_id 2, which no category has"),
    "no such image": (put("annotations", 0, image_id=99), r"annotations\[0\] is on image 99"),
    "image twice": (put("images", 0, id=11), "1 of its images have the id of another"),
    "no file name": (put("images", 0, file_name=None), r"images\[0\] has file_name None"),
    "file missing": (put("images", 1, file_name="z.png"), "1 of its 3 images are not in .*images, the first z.png"),
    "no yaml": (text("data.yaml", "val: [images\n"), "data.yaml, line 1: expected .*; it is not YAML"),
    "yaml with a date": (text("data.yaml", "a: 2020-99-99\n"), "data.yaml is not YAML"),
    "yaml of text": (text("data.yaml", "images"), "holds no keys"),
    "no names": (text("data.yaml", "val: ."), "has no names"),
    "names with a gap": (text("data.yaml", "val: .\nnames: {0: a, 2: b}"), "class numbers from 0 on"),
    "names of yaml's yes": (text("data.yaml", "val: .\nnames: [on, off, c]"), "put such names into quotes"),
    "nc": (text("data.yaml", "val: .\nnc: 4\nnames: [a, b, c]"), "has nc: 4 and 3 names"),
    "no split": (text("data.yaml", "train: .\nnames: [a, b, c]"), "has no 'val'; it has train: --split says which"),
    "no folder": (text("data.yaml", "val: pics\nnames: [a, b, c]"), "its val images are not there; looked for"),
    "no names file": (text("x.data", "valid = valid.txt"), "x.data has no line 'names = FILE'"),
    "no key": (text("x.data", "valid\n"), "x.data, line 1: KEY = VALUE is expected"),
    "lost list": (
        text("x.data", "valid = v.txt\nnames = classes.txt"),
        "x.data names the file v.txt, which is none of",
    ),
    "count": (text("x.data", "classes=4\nvalid = v.txt\nnames = classes.txt"), "classes = 4, and classes.txt holds 3"),
    "lost picture": (text("v.txt", "a.png\nz.png\n"), "v.txt, line 2: there is no .*z.png"),
    "empty list": (text("v.txt", "\n"), "lists no image"),
    "twice": (text("v.txt", "a.png\na.png\n"), "has .*a.png twice"),
    "no labels": (emptied, r"none of the 3 images has labels; looked for .*a\.txt"),
    "other file": (text("x.xml", "<a/>"), "x.xml is not a data set; supported: COCO's annotations"),
    "two": (both, "holds several data sets; type one: --data .*data.yaml or .*instances.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_data_set_that_is_wrong(case: str, tmp_path: Path) -> None:
    if "yaml" in case or case in ("no names", "names with a gap", "nc", "no split", "no folder"):
        pytest.importorskip("yaml", reason="PyYAML (extra val) is not installed")
    make, said = BAD[case]
    with pytest.raises(EdgecspError, match=said) as error:
        accuracy.read(make(tmp_path), labels=labelled.NAMES)
    assert error.value.exit_code in (2, 3) and "\n" not in str(error.value)


def test_what_flags_cannot_mean(tmp_path: Path) -> None:
    labelled.beside(tmp_path)
    with pytest.raises(UsageError, match=r"no split is called 'vall'. Did you mean 'val'"):
        accuracy.read(tmp_path, split="vall")
    with pytest.raises(UsageError, match="is for COCO annotations"):
        accuracy.read(tmp_path, images=tmp_path)
    with pytest.raises(UsageError, match=r"no class of .* is called 'blue'. Did you mean 'dark blue'"):
        accuracy.read(tmp_path).select_classes(["blue"])


def test_only_some_classes(tmp_path: Path) -> None:
    data = accuracy.read(labelled.coco(tmp_path)).select_classes(["dark blue", "RED"])
    assert data.names == ("red", "dark blue") and data.category_ids == (1, 7) and data.counts == [2, 1]
    assert [each.boxes.class_ids.tolist() for each in data.images] == [[0, 1, 0], [], []]


def test_a_stem_that_two_pictures_have(tmp_path: Path) -> None:
    for name in ("x", "y"):
        labelled.write_images(tmp_path / "images" / name)
        labelled.labels(tmp_path / "labels" / name)
    ids = [each.image_id for each in accuracy.read(tmp_path, labels=labelled.NAMES).images]
    assert len(set(ids)) == 6
