"""A darknet cfg as MODEL: trained with its own layers, resumed without its file, refused where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp import backends, importers, zoo  # noqa: E402
from edgecsp.errors import BadModel, SourceError, UsageError  # noqa: E402
from edgecsp.importers import darknet  # noqa: E402
from edgecsp.importers.darknet import cfg, layers  # noqa: E402
from edgecsp.importers.darknet import weights as weights_file  # noqa: E402
from edgecsp.train import TrainSettings, from_cfg, train  # noqa: E402
from edgecsp.train.model import trainable  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

# Depthwise convolutions, groups, a gate a channel, SAM, Maxout, a sum of fewer channels; anchor 2 is of both heads.
CFG = """[net]
batch=64
width=96
height=96
channels=3

[conv]
batch_normalize=1
filters=16
size=3
stride=4
pad=1
activation=relu6

[convolutional]
batch_normalize=1
filters=16
groups=16
size=3
stride=2
pad=1
activation=swish

[avgpool]

[convolutional]
filters=16
activation=logistic

[scale_channels]
from=-3

[dropout]
probability=0.5

[route]
layers=-1
groups=2
group_id=1

[convolutional]
batch_normalize=1
filters=24
size=3
pad=1
activation=mish

[convolutional]
filters=24
activation=logistic

[sam]
from=-2

[shortcut]
from=-4
activation=leaky

[maxpool]
size=2
stride=2

[maxpool]
maxpool_depth=1
out_channels=12

[convolutional]
filters=255
activation=linear

[yolo]
mask=2,3,4
anchors=8,8, 16,16, 30,30, 40,40, 60,60
classes=80
num=5
nms_kind=greedynms

[route]
layers=-3

[local_avgpool]
size=3
stride=1

[upsample]
stride=2

[route]
layers=-1,10

[convolutional]
filters=255
activation=linear

[yolo]
mask=0,1,2
anchors=8,8, 16,16, 30,30, 40,40, 60,60
classes=80
num=5
"""
QUICK = TrainSettings(epochs=2, batch=4, warmup=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("shapes"), 4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mine.cfg"
    path.write_text(CFG)
    return path


@pytest.fixture
def weights(model: Path) -> Path:
    """As darknet would have trained it, on COCO."""
    net = layers.build(cfg.read(model))[0].net
    torch.manual_seed(5)
    path = model.with_suffix(".weights")
    with path.open("wb") as file:
        weights_file.write(file, Network(net).start().floats())
    return path


def test_a_cfg_is_trained_with_its_own_layers_and_its_weights(
    model: Path, weights: Path, data: Path, log_lines: List[str]
) -> None:
    out = model.parent / "run"
    run = train(str(model), data, settings=QUICK, weights=str(weights), out=out, workers=0)
    tensors = len(Network(layers.build(cfg.read(model))[0].net).state_dict())
    assert f"begins with mine.weights: {tensors - 4} of {tensors} tensors" in log_lines  # all but the heads
    made = importers.load(run.onnx)
    assert (made.name, made.input.hw, made.labels) == ("mine", (96, 96), ("square", "disc"))
    assert [(head.mask, head.stride, head.scale_xy) for head in made.heads] == [((3, 4, 5), 16, 2), ((0, 1, 2), 8, 2)]
    sizes = [np.prod(wh) for head in reversed(made.heads) for wh in head.anchors_wh]
    assert sizes == sorted(sizes) and max(sizes) < 60 * 60, "anchors are the data's, the larger ones at stride 16"
    assert made.origin["cfg"] == "mine.cfg" and "zoo" not in made.origin
    theirs = darknet.load(run.folder / "best.cfg", run.folder / "best.weights").model
    batch = np.random.default_rng(0).random((1, 3, 96, 96), np.float32)
    for a, b in zip(*(backends.open(each, "ort").run(batch) for each in (made, theirs))):
        assert np.ptp(a) > 0.01 and np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def test_a_run_of_a_cfg_goes_on_without_the_file(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecsp.train.trainer import Trainer

    class Killed(Exception):
        pass

    learn, out = Trainer.learn, model.parent / "run"

    def killed(self: Trainer, *batch: Any) -> Any:
        if self.step == 1:
            raise Killed
        return learn(self, *batch)

    whole = train(str(model), data, settings=QUICK, out=model.parent / "whole", workers=0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "learn", killed)
        train(str(model), data, settings=QUICK, out=out, workers=0)
    assert json.loads((out / "run.json").read_text())["layout"]["cfg"] == CFG
    model.write_text(CFG.replace("filters=24", "filters=32"))
    with pytest.raises(UsageError, match=r"started with model mine \(now .*mine.cfg with other lines\)"):
        train(str(model), data, settings=QUICK, resume=out, workers=0)
    with pytest.raises(UsageError, match=r"started with model mine \(now yolov3-tiny\)"):
        train("yolov3-tiny", data, settings=QUICK, resume=out, workers=0)
    model.unlink()
    train(str(model), data, settings=QUICK, resume=out, workers=0)
    ours, theirs = (torch.load(f / "last.pt", weights_only=True)["average"] for f in (out, whole.folder))
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-4)


def test_a_zoo_run_is_not_resumed_as_a_cfg(tmp_path: Path) -> None:
    from edgecsp.train.model import Layout, masks_of

    entry = zoo.get("yolov3-tiny")
    layout = Layout("yolov3-tiny", 96, ("a",), entry.anchors, masks_of(entry))
    assert layout.differs_from("yolov3-tiny") == ""
    assert layout.differs_from("yolov3-tiny.cfg") == "yolov3-tiny.cfg"
    assert layout.differs_from("yolov4-tiny") == "yolov4-tiny"


def test_imgsz_replaces_the_cfgs_size(model: Path) -> None:
    assert trainable(str(model)).size == 96 and trainable(str(model)).stride == 16
    model.write_text(CFG.replace("width=96", "width=128"))
    with pytest.raises(UsageError, match=r"mine.cfg has an input of 128x96, .*; add --imgsz 96"):
        trainable(str(model))
    entry = trainable(str(model), 64)
    assert [x[1:] for x, _ in entry.net((64, 64), 1, entry.anchors, entry.masks).heads] == [(18, 4, 4), (18, 8, 8)]
    with pytest.raises(UsageError, match="mine cannot take images of 72x72: both sides must be multiples of 16"):
        entry.net((72, 72))


LAST = "filters=255\nactivation=linear\n\n[yolo]\nmask=0,1,2"
REFUSED = [
    (("mask=0,1,2", "mask=0,1,2\nnew_coords=1"), r"mine.cfg, line 97: \[yolo\] new_coords=1: .*take it out"),
    ((LAST, "batch_normalize=1\n" + LAST), r"line 91: \[convolutional\] with batch_normalize=1 is read by a \[yolo\]"),
    ((LAST, "size=3\npad=1\n" + LAST), r"line 91: \[convolutional\] with size=3 .*training needs .* size=1"),
    ((LAST, LAST.replace("linear", "logistic")), r"line 91: \[convolutional\] with activation=logistic is read"),
    ((LAST, LAST.replace("[yolo]", "[dropout]\n[yolo]")), r"\[yolo\] follows a \[dropout\]: training needs"),
    (("channels=3", "channels=1"), r"line 5: \[net\] channels=1: training reads colour images; write channels=3"),
    (("channels=3", "channels=3\nletter_box=1"), r"line 6: \[net\] letter_box=1: .*take the option out"),
    (("[dropout]\n", "[reorg3d]\nstride=2\n"), r"layer \d+ \[reorg3d\] .*training does not know the layer reorg3d"),
    (("size=3\nstride=1", "size=2\nstride=1"), r"layer 16 \[local_avgpool\] .*: .*even padding only; write an odd"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message[-28:] for _, message in REFUSED])
def test_what_cannot_be_trained_is_named(change: Any, message: str, model: Path) -> None:
    assert CFG.count(change[0]) == 1, "the test changes one place"
    model.write_text(CFG.replace(*change))
    with pytest.raises(UsageError, match=message):
        trainable(str(model))


def test_layers_that_are_not_built_and_files_that_are_no_cfg(model: Path) -> None:
    model.write_text(CFG.replace("[dropout]", "[lstm]"))
    with pytest.raises(BadModel, match=r"line \d+: \[lstm\] is a darknet layer that edgecsp does not support"):
        trainable(str(model))
    model.write_text(CFG[: CFG.index("[yolo]")])
    with pytest.raises(UsageError, match=r"mine.cfg has no \[yolo\] and cannot be trained here"):
        trainable(str(model))
    with pytest.raises(SourceError, match=r"no cfg file at .*/min.cfg; did you mean .*/mine.cfg\?"):
        trainable(str(model.with_name("min.cfg")))
    model.write_bytes(b"\0\0")
    with pytest.raises(BadModel, match="is not a cfg but a binary file"):
        trainable(str(model))


def test_a_model_that_cannot_be_trained_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no cfg file at"):
        train(str(tmp_path / "no.cfg"), tmp_path / "no.yaml", settings=QUICK, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_cfg_are_refused(model: Path, weights: Path) -> None:
    from edgecsp.train.start import find

    weights.write_bytes(weights.read_bytes()[:-400])
    entry = trainable(str(model))
    with pytest.raises(UsageError, match="is not of mine, with any number of classes"):
        find(str(weights), entry)
    assert find(None, entry).name == "fresh weights" and not find(None, entry).state


def test_the_same_text_is_read_once() -> None:
    assert from_cfg.entry("mine", CFG) is from_cfg.entry("mine", CFG)


def test_a_real_cfg_with_its_own_weights(test_data: Path) -> None:
    """yolo-fastest, as its author published it: every tensor is taken, and of the heads the classes that are shared."""
    from edgecsp.train.model import Layout
    from edgecsp.train.start import find

    path = test_data / "weights" / "yolo-fastest-1.1-xl.cfg"
    entry = trainable(str(path))
    assert (entry.size, entry.stride, [len(mask) for mask in entry.masks]) == (320, 32, [3, 3])
    start = find(str(path.with_suffix(".weights")), entry)
    labels = ("cat", "no such thing", "motorcycle")
    assert start.shared(labels) == {0: 15, 2: 3} and start.anchors(labels, entry.masks) == entry.anchors
    assert start.shared(("a", "b")) == {} and start.anchors(("a", "b"), entry.masks) == ()
    network = Network(Layout(entry.name, 320, labels, entry.anchors, entry.masks, cfg.read_text(path)).net())
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    state = start.fit(network, labels)
    assert {name: value.shape for name, value in state.items()} == {name: value.shape for name, value in fresh.items()}
    differ = {name for name, value in state.items() if not torch.equal(value, start.state[name])}
    assert len(differ) == 4
    for name in differ:
        new, old, own = (tensors[name].unflatten(0, (3, -1)) for tensors in (state, start.state, fresh))
        assert torch.equal(new[:, :2] * 2, old[:, :2])  # of heads that reach twice as far
        assert torch.equal(new[:, 2:5], old[:, 2:5])
        assert torch.equal(new[:, 5], old[:, 5 + 15]) and torch.equal(new[:, 7], old[:, 5 + 3])
        assert torch.equal(new[:, 6], own[:, 6])
    assert {name for name in start.state if name not in start.fit(network, ("a", "b"))} == differ
