"""Training: the torch interpreter is the zoo's net, its weights come back whole, a run goes on where it stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra train)")

from calib import CLASSES, TEST_SEEDS, bake, data, detect, loss, plot, run, shards, train  # noqa: E402
from calib.scenes.dice import Dice  # noqa: E402
from edgecsp import zoo  # noqa: E402
from edgecsp.errors import UsageError  # noqa: E402
from edgecsp.export import RandomWeights, to_bytes  # noqa: E402
from edgecsp.train import anchors  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402
from edgecsp.zoo._packed import record_of  # noqa: E402

SIZES = ((12.0, 12.0), (25.0, 30.0), (60.0, 40.0), (50.0, 120.0), (140.0, 60.0), (200.0, 190.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    list(shards.make(shards.planned(out, range(60), 128, per_shard=30), 1))
    return out


@pytest.mark.parametrize(
    "name", ["cspdensenetb-ref-prn", "csppeleenet-ref-efm-sam", "yolov4-tiny"], ids=["prn", "efm-sam", "groups"]
)
def test_the_tape_is_the_exported_net(name):
    import onnxruntime

    net = zoo.net(name, (96, 64))
    tape = Network(net).load(RandomWeights(3)).eval()
    session = onnxruntime.InferenceSession(to_bytes(net, RandomWeights(3), name), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 3, 96, 64), np.float32)
    with torch.no_grad():
        mine = tape(torch.from_numpy(x))
    for a, b in zip(mine, session.run(None, {"images": x})):
        assert a.shape == b.shape
        assert np.abs(a.numpy() - b).max() < 1e-3 * max(1.0, np.abs(b).max())


def test_weights_come_back_through_the_zoo(tmp_path):
    torch.manual_seed(1)
    tape = Network(run.network(SIZES)).start()
    tape.train()
    for _ in range(8):  # batch-norms that have seen something
        tape(torch.rand(4, 3, 96, 96))
    model = bake.packed(tape, SIZES, {}, tmp_path / "codes.npz")
    assert model.labels == CLASSES
    assert [head.anchors_wh for head in model.heads] == [SIZES[3:], SIZES[:3]]
    pictures = np.random.default_rng(2).random((2, 3, run.SIDE, run.SIDE), np.float32)
    assert bake.furthest(model, tape, pictures) < bake.CLOSE


def _ideal(net, targets, side):
    """Raw heads that say exactly what `targets` hold."""
    heads = [head for _, head in net.heads]
    flat = [(i, a, wh) for i, head in enumerate(heads) for a, wh in enumerate(head.anchors_wh)]
    outputs = []
    for head in heads:
        n = side // head.stride
        raw = torch.zeros(1, 3, 5 + head.classes, n, n)
        raw[:, :, 4:] = -12
        outputs.append(raw)
    for _, name, cx, cy, w, h in targets.tolist():
        wh = np.array([[w * side, h * side]])
        best = int(anchors.shape_iou(wh, np.array([f[2] for f in flat])).argmax())
        i, a, (aw, ah) = flat[best]
        n = outputs[i].shape[3]
        x, y = cx * n, cy * n
        cell = outputs[i][0, a, :, int(y), int(x)]
        logit = [float(np.log((v % 1) / (1 - v % 1))) for v in (x, y)]
        cell[:4] = torch.tensor([*logit, np.log(w * side / aw), np.log(h * side / ah)])
        cell[4] = cell[5 + int(name)] = 12
    return [out.flatten(1, 2) for out in outputs]


@pytest.mark.parametrize("kind", ["mse", "giou", "ciou"])
def test_the_loss_is_least_where_the_boxes_are(kind):
    net = run.network(SIZES)
    targets = torch.tensor([[0, 4, 0.41, 0.63, 0.5, 0.2], [0, 1, 0.22, 0.17, 0.1, 0.1], [0, 0, 0.71, 0.34, 0.5, 0.55]])
    judge = loss.YoloLoss([head for _, head in net.heads], kind)
    outputs = _ideal(net, targets, run.SIDE)
    found = detect._boxes([h for _, h in net.heads], [o.numpy() for o in outputs], (run.SIDE,) * 2, 0.5)
    assert sorted(found.class_ids) == [0, 1, 4], "the decoder reads what the loss wants"
    best = judge(outputs, targets, run.SIDE)
    torch.manual_seed(0)
    for _ in range(5):
        worse = judge([o + 0.3 * torch.randn_like(o) for o in outputs], targets, run.SIDE)
        assert worse.total > best.total
    assert best.objectness < 0.1 and best.classes < 0.1
    if kind != "mse":
        assert best.box < 1e-3


def test_a_batch_without_boxes_has_a_loss_and_gradients():
    net = run.network(SIZES)
    outputs = [torch.zeros(2, x.c, x.h, x.w, requires_grad=True) for x, _ in net.heads]
    for also in (1.0, 0.3):
        terms = loss.YoloLoss([head for _, head in net.heads], also=also)(outputs, torch.zeros(0, 6), run.SIDE)
        assert terms.box == 0 and terms.classes == 0 and terms.objectness > 0
        terms.total.backward()


def test_augmentation_moves_boxes_with_their_pixels(monkeypatch):
    """A green block on black: wherever it goes, its box is with it."""
    image, box = np.zeros((128, 128, 3), np.uint8), np.array([[30.0, 50, 70, 80]], np.float32)
    image[50:80, 30:70, 1] = 255
    monkeypatch.setattr(Dice, "colour", lambda self: (0, 0, 0))  # what is outside of the picture
    for seed in range(150):
        d = Dice(seed)
        moved, boxes, _ = data._turned(d, *data._zoomed(d, image, box, np.array([2])))
        ys, xs = np.nonzero(moved[:, :, 1] > 128)
        if len(boxes):
            assert np.abs(boxes[0] - [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).max() < 2.5


def test_samples_are_a_function_of_their_number(folder):
    samples = data.Samples(data.Stored(folder), 5)
    for k in range(20):
        (a, b), (c, d) = samples[k, 96], samples[k, 96]
        assert torch.equal(a, c) and torch.equal(b, d)
        assert a.shape == (3, 96, 96) and b.shape[1] == 5
        assert (b[:, 1:] >= 0).all() and (b[:, 1:] <= 1).all()
    orders = [[data._shuffled(i, 60, epoch) for i in range(60)] for epoch in (0, 1)]
    assert all(sorted(order) == list(range(60)) for order in orders)
    assert orders[0] != orders[1]


def test_live_scenes_never_reach_the_test_seeds():
    with pytest.raises(AssertionError, match="test seeds"):
        data.Live(TEST_SEEDS - 5).get(5, 96)


def _asked(place, folder, *more):
    words = [str(place), "--shards", str(folder), "--steps", "4", "--batch", "4", "--sides", "96", "--workers", "0"]
    return train.parsed([*words, "--eval-count", "3", "--eval-every", "2", "--warmup", "1", "--cpu", *more])[0]


def test_a_run_goes_on_where_it_stopped(folder, tmp_path):
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    train.train(run.Run(whole, _asked(whole, folder)), float("inf"))
    stopped = run.Run(parts, _asked(parts, folder))
    train.train(stopped, 0.0)  # a deadline that has passed: one step
    assert stopped.step == 1
    again = run.Run(parts, _asked(parts, folder))
    assert again.step == 1
    train.train(again, float("inf"))
    one, other = (torch.load(path / "last.pt", weights_only=True) for path in (whole, parts))
    assert one["step"] == other["step"] == 4
    for key in one["tape"]:
        assert torch.allclose(one["tape"][key].float(), other["tape"][key].float(), atol=1e-5), key
    rows = [json.loads(line) for line in (parts / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4 and "ap50_qr" in rows[-1]
    assert (parts / "curves.png").stat().st_size > 500
    with pytest.raises(UsageError, match="begun with --box mse"):
        run.Run(parts, _asked(parts, folder, "--box", "ciou"))
    # Another run may begin with these weights and its own loss: what shipped says what was before.
    further = run.Run(
        tmp_path / "further", _asked(tmp_path / "further", folder, "--box", "ciou", "--start", str(parts))
    )
    assert further.step == 0 and further.sizes == again.sizes
    for key, value in further.tape.state_dict().items():
        assert torch.equal(value, other["average"][key]), key
    began = json.loads((tmp_path / "further" / "run.json").read_text())
    assert began["start"]["steps"] == 4 and began["start"]["asked"]["box"] == "mse" and began["asked"]["box"] == "ciou"
    with pytest.raises(UsageError, match="no run with a checkpoint"):
        run.Run(tmp_path / "none", _asked(tmp_path / "none", folder, "--start", str(tmp_path / "nowhere")))
    bake.from_run(parts, tmp_path / "codes.npz", 6)
    record = record_of(tmp_path / "codes.npz")
    assert record["labels"] == list(CLASSES) and record["scenes"].endswith("of the seeds 0 to 59")
    assert record["test"]["scenes"] == 6 and 0 <= record["test"]["ap50"] <= 1


def test_the_plot_stands_empty_data():
    assert plot.curves([], []).shape == (320, 900, 3)
    assert plot.curves([(1, 5.0), (2, 3.0)], [(2, 0.5)]).shape == (320, 900, 3)
