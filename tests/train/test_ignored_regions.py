"""Ignored regions: a crowd or an unsure teacher teaches neither that something is there nor that nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import zoo  # noqa: E402
from edgecsp.bench.accuracy import Boxes, Data, LabelledImage  # noqa: E402
from edgecsp.processing.heads.yolo import Yolo  # noqa: E402
from edgecsp.train.augment import Augment, Sample, sample  # noqa: E402
from edgecsp.train.data import Images, Samples, Steps, batches  # noqa: E402
from edgecsp.train.loss import Loss, are_ignored, predict  # noqa: E402


def heads() -> Tuple[Yolo, ...]:
    net = zoo.net("cspdensenetb-ref-prn", (96, 96), 2, scale_xy=(2.0, 2.0))
    return tuple(head for _, head in net.heads if isinstance(head, Yolo))


def raw(fill: float = 1.0) -> list:
    return [torch.full((2, 21, n, n), fill, requires_grad=True) for n in (3, 6)]


@pytest.mark.parametrize("assigner", ["dynamic", "shape"])
def test_an_anchor_in_an_ignored_region_is_no_background(assigner: str) -> None:
    region = torch.tensor([[0, 0, 48, 48, 2000, 2000, 0.0]])  # all of the first image
    outputs = raw()
    Loss(heads(), assigner)(outputs, region, (96, 96)).total.backward()
    for out in outputs:
        assert float(out.grad[0].abs().max()) == 0.0
        assert float(out.grad[1].abs().max()) > 0.0


def test_a_label_counts_inside_of_an_ignored_region() -> None:
    targets = torch.tensor([[0, 0, 48, 48, 900, 900, 0.0], [0, 1, 50, 40, 30, 20, 1.0]])
    outputs = raw(-2.0)
    terms = Loss(heads())(outputs, targets, (96, 96))
    terms.total.backward()
    assert terms.box.item() > 0 and terms.classes.item() > 0
    objectness = torch.cat([out.grad[0].view(3, 7, -1)[:, 4].flatten() for out in outputs])
    assert float(objectness.min()) < 0  # it is drawn up where the label is
    background = torch.cat([out.grad[1].view(3, 7, -1)[:, 4].flatten() for out in outputs])
    assert float(background.min()) > 0 and int((objectness > 0).sum()) < int((background > 0).sum())


def test_only_boxes_that_lie_mostly_inside_are_ignored() -> None:
    boxes = torch.tensor([[[20.0, 20, 10, 10], [29.0, 20, 10, 10], [31.0, 20, 10, 10], [20.0, 20, 90, 90]]])
    regions = torch.tensor([[0, 1, 20.0, 20, 20, 20, 0]])
    assert are_ignored(boxes, regions).tolist() == [[True, True, False, False]]
    assert not are_ignored(boxes, regions[:0]).any()


def test_a_label_of_half_the_confidence_counts_half() -> None:
    """Beside a sure one: the loss is a mean, weighted by how sure the labels are."""
    sure = [[0, 0, 40.0, 50, 30, 20, 1.0]]
    other = [[1, 1, 50.0, 40, 30, 20, 1.0]]
    half = [[*other[0][:6], 0.5]]
    measure = Loss(heads(), "shape")
    with torch.no_grad():
        outputs = [
            out.detach() + 0.1 * torch.randn(out.shape, generator=torch.Generator().manual_seed(3)) for out in raw()
        ]
        one, two, both, soft = (
            measure(outputs, torch.tensor(rows), (96, 96)) for rows in (sure, other, sure + other, sure + half)
        )
    # Numbers of places that answer for each: the mean over both tells them.
    k = float((both.box - two.box) / (one.box - both.box))  # places of the sure one over those of the other
    assert float(soft.box) == pytest.approx((k * float(one.box) + 0.5 * float(two.box)) / (k + 0.5), rel=1e-3)
    assert float(soft.classes) == pytest.approx(
        (k * float(one.classes) + 0.5 * float(two.classes)) / (k + 0.5), rel=1e-3
    )


def test_six_columns_are_labels_that_are_sure() -> None:
    targets = torch.tensor([[0, 1, 40.0, 50, 30, 20, 1.0]])
    outputs = raw(0.3)
    measure = Loss(heads())
    assert measure(outputs, targets, (96, 96)).total.item() == measure(outputs, targets[:, :6], (96, 96)).total.item()
    assert predict(heads(), outputs, (96, 96)).raw.shape[0] == 2


def crowd_data(folder: Path) -> Data:
    image = np.full((80, 80, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "a.png"), image)
    xywh = np.array([[10.0, 10, 20, 20], [30, 30, 50, 50]])
    boxes = Boxes(xywh, np.array([1, 0]), np.array([False, True]), xywh[:, 2] * xywh[:, 3])
    return Data("crowd", "made", ("a", "b"), (1, 2), (LabelledImage(str(folder / "a.png"), 1, boxes),))


def test_crowds_of_the_truth_reach_the_loss(tmp_path: Path) -> None:
    images = Images(crowd_data(tmp_path), 96)
    assert [len(sizes) for sizes in images.sizes] == [1]  # a crowd is no shape for an anchor
    how = Augment(mosaic=0, scale=0, shift=0, flip=0, hue=0, saturation=0, value=0)
    keys = Steps(0, 1, 1, lambda step: 96, 0)
    _, targets = next(batches(Samples(images, 0, how), keys, 0))
    assert targets.shape == (2, 7) and targets[:, 6].tolist() == [1.0, 0.0]
    outputs = [torch.zeros((1, 21, n, n)) for n in (3, 6)]
    dropped = targets[targets[:, 6] > 0]
    measure = Loss(heads())
    assert float(measure(outputs, targets, (96, 96)).objectness) < float(measure(outputs, dropped, (96, 96)).objectness)


def test_an_ignored_region_stays_where_an_object_is_cut_away() -> None:
    image = np.full((96, 96, 3), 90, np.uint8)
    box = np.array([[0, 0, 96, 96]] * 2, np.float32)
    one = Sample(image, box, np.array([0, 0]), np.array([1, 0], np.float32))
    lost = 0
    for seed in range(40):
        made = sample(lambda _: one, 0, 1, 96, Augment(mosaic=1.0, scale=1.0), np.random.default_rng(seed))
        ignored, sure = int((made.confidence == 0).sum()), int((made.confidence == 1).sum())
        assert ignored == 4 and len(made.boxes) == len(made.ids) == len(made.confidence)
        lost += 4 - sure
    assert lost
