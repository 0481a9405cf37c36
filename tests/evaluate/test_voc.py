"""Pascal VOC's XML labels in every layout that people have, their parts, and what is wrong with one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Tuple

import numpy as np
import pytest

from edgecsp.bench import accuracy
from edgecsp.bench.accuracy import layouts
from edgecsp.errors import NoSplit, SourceError, UsageError
from support import labelled


def xml(name: str, database: str = "Unknown", difficult: int = 0) -> str:
    """A file as LabelImg writes it: corners in pixels; VOC's own count from 1."""
    h, w = labelled.SIZES[name]
    one = int("VOC20" in database)
    objects = "".join(
        f"<object>\n<name>{labelled.NAMES[c]}</name><difficult>{difficult}</difficult>\n<bndbox><xmin>{x + one}</xmin>"
        f"<ymin>{y + one}</ymin><xmax>{x + i}</xmax><ymax>{y + j}</ymax></bndbox>\n"
        "<part><name>hand</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
        "</object>\n"
        for c, x, y, i, j in labelled.BOXES[name]
    )
    return (
        f"<annotation>\n<filename>other.jpg</filename><source><database>{database}</database></source>\n"
        f"<size><width>{w}</width><height>{h}</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )


def labels(folder: Path, database: str = "Unknown", difficult: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in labelled.SIZES:
        (folder / f"{name}.xml").write_text(xml(name, database, difficult))


def kit(root: Path) -> Path:
    labelled.write_images(root / "VOC2012" / "JPEGImages")
    labels(root / "VOC2012" / "Annotations", "The VOC2012 Database")
    return root


def beside(root: Path) -> Path:
    labelled.write_images(root)
    labels(root)
    return root


def annotations(root: Path) -> Path:
    labelled.write_images(root / "images" / "all")
    labels(root / "annotations" / "all")
    return root


def labels_folder(root: Path) -> Path:
    labelled.write_images(root)
    labels(root / "labels")
    return root


def listed(root: Path) -> Path:
    beside(root)
    (root / "all.txt").write_text("a.png\nb.png\nc.png\n")
    return root / "all.txt"


@pytest.mark.parametrize("layout", [kit, beside, annotations, labels_folder, listed])
@pytest.mark.parametrize("named", [False, True])
def test_every_layout_of_xml_holds_the_same(layout: Callable[[Path], Path], named: bool, tmp_path: Path) -> None:
    path = layout(tmp_path)
    if named and layout is not kit:
        (tmp_path / "classes.txt").write_text("\n".join(labelled.NAMES) + "\n")
    data = accuracy.read(path)
    order = labelled.NAMES if named and layout is not kit else ("dark blue", "green", "red")
    assert data.names == order and data.layout == "Pascal VOC XML"
    assert [Path(each.path).name for each in data.images] == ["a.png", "b.png", "c.png"]
    for picture, (name, hw) in zip(data.images, labelled.SIZES.items()):
        assert picture.hw == hw
        boxes = picture.with_size(hw).boxes
        assert [data.names[i] for i in boxes.class_ids] == [labelled.NAMES[row[0]] for row in labelled.BOXES[name]]
        wanted = np.array([row[1:] for row in labelled.BOXES[name]], float).reshape(-1, 4)
        np.testing.assert_allclose(boxes.xywh, wanted)
        assert not boxes.crowd.any()


def test_difficult_objects_count_neither_way(tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "b.xml").write_text(xml("b", difficult=1))
    data = accuracy.read(tmp_path)
    assert data.images[1].boxes.crowd.tolist() == [True]
    assert dict(zip(data.names, data.counts)) == {"red": 2, "green": 0, "dark blue": 1}


def test_the_lists_of_voc_are_its_parts(tmp_path: Path) -> None:
    root = kit(tmp_path) / "VOC2012"
    sets = root / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a\nc\n")
    (sets / "val.txt").write_text("b  1\n")
    for path in (tmp_path, root):
        assert layouts.list_splits(path) == ("train", "val")
        parts = [accuracy.read(path, split=split) for split in ("train", "val")]
        assert [[Path(each.path).stem for each in part.images] for part in parts] == [["a", "c"], ["b"]]
        assert parts[0].names == parts[1].names == ("dark blue", "green", "red")
        with pytest.raises(NoSplit, match="has no 'test'; it has train, val"):
            accuracy.read(path, split="test")
    for folder, ending in (("JPEGImages", "*"), ("Annotations", "xml")):
        for path in list((root / folder).glob(f"b.{ending}")):
            path.rename(path.with_name(f"b 1{path.suffix}"))
    (sets / "val.txt").write_text("b 1\n")
    assert [Path(each.path).stem for each in accuracy.read(root, split="val").images] == ["b 1"], "a name with a space"
    (sets / "val.txt").write_text("b 1\nz\n")
    with pytest.raises(SourceError, match=r"val\.txt, line 2: there is no image z in .*JPEGImages"):
        accuracy.read(root)
    shutil.copytree(str(root), str(tmp_path / "VOC2007"))
    with pytest.raises(UsageError, match=r"several data sets; type one: --data .*VOC2007 or .*VOC2012"):
        accuracy.read(tmp_path)


def test_folders_of_parts(tmp_path: Path) -> None:
    """As Roboflow exports VOC: train/, valid/ with images and labels side by side."""
    beside(tmp_path / "train")
    beside(tmp_path / "valid")
    (tmp_path / "valid" / "a.png").unlink()
    (tmp_path / "valid" / "a.xml").unlink()
    assert layouts.list_splits(tmp_path) == ("train", "val")
    assert len(accuracy.read(tmp_path, split="train").images) == 3
    val = accuracy.read(tmp_path, split="val")
    assert len(val.images) == 2 and val.names == ("dark blue", "green", "red")


def test_the_parts_of_darknets_data_file(tmp_path: Path) -> None:
    path = labelled.darknet(tmp_path)
    with pytest.raises(NoSplit, match="has no line 'test = FILE'"):
        accuracy.read(path, split="test")
    (tmp_path / "data" / "train.txt").write_text("data/obj/a.png\n")
    assert layouts.list_splits(path) == ("train", "val")
    assert len(accuracy.read(path, split="train").images) == 1 and len(accuracy.read(path).images) == 3


def test_labelimgs_classes_lie_beside_its_labels(tmp_path: Path) -> None:
    for part in ("train", "val"):
        labelled.write_images(tmp_path / "images" / part)
        labelled.labels(tmp_path / "labels" / part)
        (tmp_path / "labels" / part / "classes.txt").write_text("\n".join(labelled.NAMES))
    assert accuracy.read(tmp_path, split="train").names == labelled.NAMES
    (tmp_path / "labels" / "val" / "classes.txt").write_text("red\nblue\ngreen\n")
    with pytest.raises(SourceError, match=r"has names in .* and in .*; one of them must go"):
        accuracy.read(tmp_path, split="train")


BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
BAD = {
    "not xml": ("<annotation>\n<object>\n</annotation>", "line 3: mismatched tag; it is not XML"),
    "other root": ("\n<html></html>", "line 2: <html> is not a Pascal VOC label file"),
    "empty": ("", "line 1: the file is empty"),
    "text": ("0 0.5 0.5 0.1 0.1", "line 1: syntax error; it is not XML"),
    "bomb": (
        '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>\n<annotation>&c;</annotation>',
        "line 2: it declares a document type or entities",
    ),
    "other file": (
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation></annotation>',
        "line 1: it declares a document type",
    ),
    "no name": (f"<annotation><object>\n{BOX.format(5)}</object></annotation>", "line 1: an <object> without a <name>"),
    "no box": (
        "<annotation>\n<object><name>a</name></object></annotation>",
        "line 2: the <object> 'a' has no <bndbox>",
    ),
    "turned": (
        f"<annotation><object><name>a</name>\n{BOX.format(0)}</object></annotation>",
        "line 2: xmin 1 and xmax 0 of 'a'",
    ),
    "word": (
        f"<annotation><object><name>a</name>\n\n{BOX.format('x')}</object></annotation>",
        "line 3: <xmax> is 'x'; a number of pixels is expected",
    ),
    "nan": (f"<annotation><object><name>a</name>{BOX.format('nan')}</object></annotation>", "line 1: <xmax> is 'nan'"),
    "deep": ("<annotation>" + "<a>" * 40 + "</a>" * 40 + "</annotation>", "line 1: elements lie more than 32 deep"),
    "encoding": ('<?xml version="1.0" encoding="klingon"?><annotation/>', "line 1: unknown encoding"),
    "class": (
        f"<annotation>\n<object><name>purple</name>{BOX.format(5)}</object></annotation>",
        "line 2: class 'purple' is none of the data's classes: red, green, dark blue",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_an_xml_file_that_is_wrong(case: str, tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "classes.txt").write_text("\n".join(labelled.NAMES))
    content, said = BAD[case]
    (tmp_path / "b.xml").write_text(content)
    with pytest.raises(SourceError) as error:
        accuracy.read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'b.xml'}, {said}"), error.value


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecsp.bench.accuracy import voc

    beside(tmp_path)
    monkeypatch.setattr(voc, "MAX_BYTES", 100)
    with pytest.raises(SourceError, match=r"a\.xml is larger than"):
        accuracy.read(tmp_path)


def hostile() -> Tuple[str, ...]:
    """Texts whose parsing must take steps in proportion to their size."""
    return ("<annotation>" + "x<b/>" * 400_000 + "</annotation>", "<annotation><name>" + "y" * 4_000_000 + "</name>")


@pytest.mark.parametrize("content", hostile(), ids=["many pieces", "one long"])
def test_a_hostile_file_is_read_in_little_memory(content: str, tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "b.xml").write_text(content)
    try:
        assert len(accuracy.read(tmp_path).images[1].boxes) == 0
    except SourceError as error:
        assert "b.xml, line 1: no element found" in str(error)


def test_all_that_is_wrong_is_collected(tmp_path: Path) -> None:
    beside(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.xml").write_text("<annotation>")
    faults: list = []
    data = accuracy.read(tmp_path, faults=faults)
    assert len(data.images) == 3 and {Path(text.split(",")[0]).name for text in faults} == {"a.xml", "b.xml"}
