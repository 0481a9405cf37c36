"""Distillation: the loss against a slow count of it, whom it takes for a teacher, and a run that learns by it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Tuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import zoo  # noqa: E402
from edgecsp.errors import SourceError, UsageError  # noqa: E402
from edgecsp.train import TrainSettings, train  # noqa: E402
from edgecsp.train.distill import Distillation  # noqa: E402
from edgecsp.train.loss import ciou, predict  # noqa: E402
from edgecsp.train.model import Layout, masks_of  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402
from edgecsp.train.start import Start, find_teacher  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

MODEL = "cspdensenetb-ref-prn"


def layout(*labels: str, name: str = MODEL) -> Layout:
    entry = zoo.get(name)
    return Layout(name, 64, labels, entry.anchors, masks_of(entry))


def teacher(*labels: str, name: str = MODEL) -> Start:
    torch.manual_seed(3)
    net = layout(*labels, name=name).net()
    network = Network(net).start(objectness=0.3)
    for x, _ in net.heads:  # heads that say something of each place
        torch.nn.init.normal_(network.convolutions[str(x.layer)][0].weight, 0, 0.05)
    return Start("the teacher", network.state_dict(), net, labels)


def heads(classes: int, seed: int) -> Tuple[Any, Any]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 3 * (5 + classes), side, side, generator=rng) for side in (2, 4))  # type: ignore[return-value]


def test_the_loss_is_what_a_slow_count_gives() -> None:
    mine = layout("b", "a")
    soft = Distillation(teacher("a", "x", "b"), mine)
    outputs, taught = heads(2, 0), heads(3, 1)
    box, objectness, classes = (float(term) for term in soft(outputs, taught, (64, 64)))
    ours, theirs = predict(soft.heads, outputs, (64, 64)), predict(soft._theirs, taught, (64, 64))
    want, count = [0.0, 0.0, 0.0], 0.0

    def entropy(logit: float, target: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -target * math.log(p) - (1 - target) * math.log(1 - p)

    for image in range(2):
        for place in range(ours.raw.shape[1]):
            raw = theirs.raw[image, place].sigmoid().tolist()
            scores = [raw[4] * raw[5 + 2], raw[4] * raw[5 + 0]]  # b, then a
            present = max(scores)
            count += present
            own = ours.raw[image, place].tolist()
            want[1] += entropy(own[4], present)
            if present > 0.01:
                want[0] += 5 * present * (1 - float(ciou(ours.boxes[image, place], theirs.boxes[image, place])))
                want[2] += present * sum(entropy(own[5 + i], score / present) for i, score in enumerate(scores))
    assert [box, objectness, classes] == pytest.approx([value / count for value in want], rel=1e-4)


def test_nothing_is_to_be_learned_from_oneself() -> None:
    mine = layout("a", "b")
    start = teacher("a", "b")
    soft = Distillation(start, mine)
    outputs = [head.clone() for head in heads(1, 0)]
    own = [torch.cat([head, head[:, :3]], 1).requires_grad_() for head in outputs]
    with torch.no_grad():
        for head in own:  # objectness as sure as the better class, and one class of which it is certain
            rows = head.view(2, 3, 7, *head.shape[2:])
            rows[:, :, 5], rows[:, :, 6] = 30.0, -30.0
    terms = soft(own, [head.detach() for head in own], (64, 64))
    assert float(terms.box.detach()) == pytest.approx(0, abs=1e-5)
    assert float(terms.classes.detach()) == pytest.approx(0, abs=1e-5)
    terms.total.backward()
    assert max(float(head.grad.abs().max()) for head in own) < 1e-5


def test_the_teacher_sees_what_its_own_network_does() -> None:
    start = teacher("a", "b")
    soft = Distillation(start, layout("a"))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = Network(start.net).eval()
    network.load_state_dict(dict(start.state))
    with torch.no_grad():
        for taught, direct in zip(soft.teach(images), network(images)):
            torch.testing.assert_close(taught, direct, rtol=1e-4, atol=1e-3)  # channels last or not


def test_who_cannot_teach() -> None:
    with pytest.raises(UsageError, match=r"the teacher does not know dog; it knows a, b"):
        Distillation(teacher("a", "b"), layout("a", "dog"))
    with pytest.raises(UsageError, match=r"does not say which classes it knows; put X\.names"):
        Distillation(replace(teacher("a"), labels=()), layout("a"))
    with pytest.raises(UsageError, match=r"has other heads than cspdensenetb-ref-prn: anchors .* at stride 8"):
        Distillation(teacher("a", name="csppeleenet-ref-prn-3l"), layout("a"))
    with pytest.raises(SourceError, match=r"--distill model: give X\.cfg with X\.weights beside it"):
        find_teacher("model")
    with pytest.raises(SourceError, match=r"no cfg file at .*none\.cfg"):
        find_teacher("none.cfg")


@pytest.mark.slow
def test_a_run_learns_from_another_whose_images_it_has_no_labels_of(tmp_path: Path) -> None:
    data = draw_shapes(tmp_path / "shapes")
    quick = TrainSettings(epochs=25, batch=6, imgsz=96, warmup=10, mosaic=0.3, scale=0.2)
    first = train(MODEL, data, settings=quick, weights="codes", out=tmp_path / "teacher", workers=0)
    taught = replace(quick, epochs=2, distill=str(first.onnx))
    run = train(MODEL, data, settings=taught, weights="codes", out=tmp_path / "student", workers=0)
    record, of_first = (json.loads((each.folder / "run.json").read_text()) for each in (run, first))
    assert record["settings"]["distill"] == str(first.onnx)
    assert record["layout"]["anchors"] == of_first["layout"]["anchors"], "the teacher's, so that places are the same"
    alone = train(MODEL, data, settings=replace(taught, distill=""), weights="codes", out=tmp_path / "alone", workers=0)
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    apart = []
    for each in (run, alone):
        start = find_teacher(str(each.folder))
        soft = Distillation(find_teacher(str(first.folder)), Layout.from_dict(record["layout"]))
        network = Network(start.net).eval()
        network.load_state_dict(dict(start.state))
        with torch.no_grad():
            apart.append(float(soft(network(images), soft.teach(images), (96, 96)).total))
    assert np.isfinite(apart).all() and apart[0] < apart[1]
    with pytest.raises(UsageError, match="was started with distill"):
        train(MODEL, data, settings=replace(taught, distill=""), resume=run.folder, workers=0)
