"""The dynamic assigner: the matches of the plain form of SimOTA, on one thread."""

from __future__ import annotations

from typing import List, Tuple

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import zoo  # noqa: E402
from edgecsp.processing.heads.yolo import Yolo  # noqa: E402
from edgecsp.train import loss as losses  # noqa: E402
from edgecsp.train.threads import one_thread  # noqa: E402

HEADS = tuple(
    head
    for _, head in zoo.net("cspdensenetb-ref-prn", (160, 160), 4, scale_xy=(2.0, 2.0)).heads
    if isinstance(head, Yolo)
)


def predictions(seed: int, images: int, boxes: int, side: int = 160) -> Tuple[losses.Predictions, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    outputs = [torch.randn((images, 27, side // s, side // s), generator=random) for s in (32, 16)]
    middle = torch.rand((boxes, 2), generator=random) * side
    sizes = torch.rand((boxes, 2), generator=random) ** 2 * side + 1
    of = torch.randint(0, images, (boxes, 1), generator=random).float()
    named = torch.randint(0, 4, (boxes, 1), generator=random).float()
    return losses.predict(HEADS, outputs, (side, side)), torch.cat((of, named, middle, sizes), 1)


def plain(found: losses.Predictions, targets: torch.Tensor) -> List[Tuple[int, int, int]]:
    """SimOTA as it is written down: for every box all places, sorted by cost; (image, place, target) a match."""
    taken = {}
    for image in range(len(found.raw)):
        rows = [row for row in range(len(targets)) if int(targets[row, 0]) == image]
        if not rows:
            continue
        boxes = targets[rows, 2:]
        near = ((boxes[:, None, :2] - found.centres).abs() / found.strides[:, None]).amax(2) < 0.95
        ratio = boxes[:, None, 2:] / found.anchors
        fits = torch.maximum(ratio, 1 / ratio).amax(2) < 4
        able = near & (fits | ~fits.any(1, keepdim=True))
        anyone = able.any(0)
        for row, box, mine in zip(rows, boxes, able):
            overlap = losses.iou(box, found.boxes[image])
            count = max(1, int(overlap[anyone].sort(descending=True).values[:10].sum()))
            raw = found.raw[image]
            score = (raw[:, 5:].sigmoid() * raw[:, 4:5].sigmoid()).sqrt().clamp(1e-6, 1 - 1e-6)
            wanted = torch.nn.functional.one_hot(targets[row, 1].long(), 4).float().expand_as(score)
            cost = torch.nn.functional.binary_cross_entropy(score, wanted, reduction="none").sum(1)
            cost = cost - 3 * (overlap + 1e-8).log()
            for place in sorted(mine.nonzero()[:, 0].tolist(), key=lambda p: float(cost[p]))[:count]:
                before = taken.get((image, place))
                if before is None or float(cost[place]) < before[0]:
                    taken[image, place] = (float(cost[place]), row)
    return sorted((image, place, row) for (image, place), (_, row) in taken.items())


@pytest.mark.parametrize(("seed", "images", "boxes"), [(0, 3, 40), (1, 2, 3), (2, 1, 1), (3, 4, 90)])
def test_the_matches_are_those_of_the_plain_form(seed: int, images: int, boxes: int) -> None:
    found, targets = predictions(seed, images, boxes)
    match = losses.assign_dynamic(found, targets)
    assert sorted(zip(*(column.tolist() for column in match))) == plain(found, targets)


def test_the_assigner_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine its many small operations took ten times as long on two threads."""
    seen = []
    overlap = losses.iou
    monkeypatch.setattr(losses, "iou", lambda a, b: (seen.append(torch.get_num_threads()), overlap(a, b))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        losses.assign_dynamic(*predictions(0, 2, 5))
        assert set(seen) == {1} and torch.get_num_threads() == 2
        with pytest.raises(ValueError), one_thread(torch.device("cpu")):
            raise ValueError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
