"""What the settings of a run do: rates, smoothing, clipping, sizes, and what is frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

import edgecsp  # noqa: E402
from edgecsp.processing.heads.yolo import Yolo  # noqa: E402
from edgecsp.train import TrainSettings, train  # noqa: E402
from edgecsp.train.image_sizes import ImageSizes  # noqa: E402
from edgecsp.train.loss import Loss  # noqa: E402
from edgecsp.train.trainer import CLIP, Trainer  # noqa: E402
from support import toy_zoo  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402
from support.toy_training import batch, trainer  # noqa: E402


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    toy_zoo.add(monkeypatch)
    yield


def copied(made: Trainer) -> Any:
    return {key: value.clone() for key, value in made.network.state_dict().items()}


def test_what_is_frozen_stays_bit_for_bit() -> None:
    made = trainer(warmup=1)
    source = trainer(seed=3, labels=("a",)).network.state_dict()  # the heads of another class count are made anew
    assert made.begin_with(source)
    frozen = [key for key in source if not key.startswith("convolutions.8") and key in made.frozen]
    assert any(key.endswith("running_mean") for key in frozen) and any(key.endswith("running_var") for key in frozen)
    made.freeze_steps = 3
    before = copied(made)
    for seed in range(3):
        made.learn(*batch(seed))
    after = made.network.state_dict()
    assert made.frozen and all(torch.equal(before[key], after[key]) for key in made.frozen)
    average = made.average.state_dict()
    assert all(torch.equal(before[key], average[key]) for key in made.frozen if before[key].is_floating_point())
    assert any(not torch.equal(before[key], after[key]) for key in before if key not in made.frozen)
    made.learn(*batch(4))  # the frozen time is over
    thawed = [key for key in made.frozen if not torch.equal(before[key], made.network.state_dict()[key])]
    assert any(key.endswith("running_mean") for key in thawed) and any(key.endswith("0.weight") for key in thawed)


def test_statistics_alone_may_stay_throughout() -> None:
    made = trainer(warmup=1)
    source = trainer(seed=3, labels=("a",)).network.state_dict()
    made.begin_with(source)
    made.freezes_statistics = True
    going_on = trainer(warmup=1)
    going_on.load_state(made.state())
    before = copied(made)
    for seed in range(3):
        going_on.learn(*batch(seed))
    after = going_on.network.state_dict()
    statistics = {key for key in made.frozen if key.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert statistics and all(torch.equal(before[key], after[key]) for key in statistics)
    assert any(not torch.equal(before[key], after[key]) for key in made.frozen - statistics)


def test_heads_learn_even_if_all_weights_fit() -> None:
    made = trainer(warmup=1)
    source = trainer(seed=3).network.state_dict()
    assert made.begin_with(source) == len(source)
    made.freeze_steps = 5
    before = copied(made)
    made.learn(*batch())
    moved = {key for key, value in made.network.state_dict().items() if not torch.equal(before[key], value)}
    assert moved and all(not key.endswith(("running_mean", "running_var")) for key in moved)
    assert moved.isdisjoint(made.frozen)


def test_the_rate_rises_and_falls() -> None:
    made = trainer(steps=1000, warmup=50, lr=0.01)
    rates = []
    for step in range(1000):
        made.step = step
        rates.append(made.rate())
    top = max(range(1000), key=rates.__getitem__)
    assert rates[0] == pytest.approx(0.01 / 50, rel=1e-3) and 45 <= top <= 50 and rates[top] > 0.0098
    assert all(a >= b for a, b in zip(rates[50:], rates[51:]))
    assert rates[500] == pytest.approx(0.01 * (0.01 + 0.99 / 2), rel=1e-2) and rates[-1] < 0.01 * 0.011


def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer()
    norms: List[float] = []
    step = made.optimiser.step

    def measured() -> None:
        parts = [p.grad.norm() for p in made.network.parameters() if p.grad is not None]
        norms.append(float(torch.stack(parts).norm()))
        step()

    monkeypatch.setattr(made.optimiser, "step", measured)
    made.loss.weights = (1e6, 1e6, 1e6)
    made.learn(*batch())
    assert norms[0] == pytest.approx(CLIP, rel=1e-2)


def test_labels_are_smoothed() -> None:
    heads = [head for _, head in trainer().network.net.heads if isinstance(head, Yolo)]
    targets = torch.tensor([[0, 1, 30.0, 30, 20, 20]])
    sure = torch.zeros((1, 14, 2, 2))
    sure.view(1, 2, 7, 2, 2)[:, :, 6] = 12.0  # class 1 without a doubt
    sure.view(1, 2, 7, 2, 2)[:, :, 5] = -12.0
    plain, smooth = (Loss(heads, smooth=value)([sure], targets, (64, 64)).classes.item() for value in (0.0, 0.1))
    assert plain < 1e-3 and smooth == pytest.approx(2 * 0.05 * 12, rel=1e-2)


def test_batches_differ_in_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: List[Any] = []
    learn = Trainer.learn

    def seen(self: Trainer, images: Any, targets: Any) -> Any:
        sizes.append(tuple(images.shape))
        return learn(self, images, targets)

    monkeypatch.setattr(Trainer, "learn", seen)
    data = draw_shapes(tmp_path / "data", 8)
    settings = TrainSettings(epochs=6, batch=2, imgsz=160, multi_scale=True)
    train("toy", data, settings=settings, weights="none", out=tmp_path / "run", workers=0)
    assert {shape[2] for shape in sizes} == {128, 160, 192} and all(shape[2] == shape[3] for shape in sizes)
    assert all(shape[:2] == (2, 3) for shape in sizes)


def test_a_progressive_run_begins_with_smaller_images_and_ends_with_its_own(tmp_path: Path, monkeypatch: Any) -> None:
    seen: List[int] = []
    learn = Trainer.learn
    monkeypatch.setattr(
        Trainer, "learn", lambda self, images, targets: (seen.append(images.shape[-1]), learn(self, images, targets))[1]
    )
    data = draw_shapes(tmp_path / "data", 8)
    settings = TrainSettings(epochs=5, batch=2, imgsz=160, progressive=True)
    run = train("toy", data, settings=settings, weights="none", out=tmp_path / "run", workers=0)
    steps = len(seen)
    assert seen == [128] * int(0.6 * steps) + [160] * (steps - int(0.6 * steps))
    assert edgecsp.load(run.onnx, engine="ort").model.input.hw == (160, 160)


@pytest.mark.parametrize("multi_scale", [False, True])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_time_that_is_left_counts_the_pixels_of_the_steps(multi_scale: bool, progressive: bool) -> None:
    sides = ImageSizes(320, 32, 2000, 3, multi_scale, progressive)
    of_step = [(sides.at(step) / 320) ** 2 for step in range(2000)]
    for first, last in ((0, 700), (900, 1500), (1300, 2000)):
        truth = sum(of_step[first:last]) / sum(of_step)
        assert sides.pixels(first, last) / sides.pixels(0, 2000) == pytest.approx(truth, rel=0.03)
    assert sides.pixels(700, 700) == 0
