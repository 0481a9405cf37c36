"""Whose class is whose."""

from __future__ import annotations

import pytest

from edgecsp.bench.accuracy import Boxes, Data, LabelledImage
from edgecsp.bench.accuracy.names import match_classes
from edgecsp.errors import UsageError
from edgecsp.graph import labels

OFFICIAL = {"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant"}
OFFICIAL.update(diningtable="dining table", tvmonitor="tv")


def data(*names: str, objects: str = "") -> Data:
    boxes = Boxes.from_rows([(names.index(name), 0, 0, 1, 1) for name in objects.split(",") if name])
    return Data("here.yaml", "", names, tuple(range(len(names))), (LabelledImage("a.jpg", 1, boxes),))


def test_darknets_coco_names_are_cocos() -> None:
    official = [OFFICIAL.get(name, name) for name in labels.COCO]
    assert match_classes(labels.COCO, data(*official), "m").tolist() == list(range(80))
    back = list(reversed(official))
    assert match_classes(labels.COCO, data(*back), "m").tolist() == list(range(79, -1, -1))


def test_by_name_whatever_the_number_and_the_spelling() -> None:
    assert match_classes(("qr", "Data-Matrix", "dog"), data("data matrix", "QR"), "m").tolist() == [1, 0, -1]
    assert match_classes(("class0", "class1"), data("b", "a", objects="a,b"), "m").tolist() == [0, 1]


def test_what_cannot_be_told_is_an_error_that_names_it() -> None:
    held = data("qr", "plate", "face", "dot", objects="qr,plate,face")
    with pytest.raises(
        UsageError, match=r"plate, face of here.yaml: codes has no class of that name. It knows qr, aztec; rename"
    ) as e:
        match_classes(("qr", "aztec"), held, "codes")
    assert "--classes 'qr'" in str(e.value) and "dot" not in str(e.value)
    with pytest.raises(UsageError, match=r"the 3 classes of m have no names, and here.yaml has 4 .* --names FILE"):
        match_classes(("class0", "class1", "class2"), held, "m")
    with pytest.raises(UsageError, match="two classes of one name: qr, QR; rename one"):
        match_classes(("qr",), data("qr", "QR"), "m")
