"""From a data set of scenes to `codes.npz`: edgecsp train reads it, and what is baked is what was trained."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")
pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")

import edgecsp  # noqa: E402
from calib import CLASSES, bake, balance, everyday, shards  # noqa: E402
from edgecsp import zoo  # noqa: E402
from edgecsp.errors import BuildFailed, EdgecspError, SourceError, UsageError  # noqa: E402
from edgecsp.train import TrainSettings, train  # noqa: E402
from edgecsp.train.model import Layout  # noqa: E402
from edgecsp.train.network import Network  # noqa: E402
from edgecsp.zoo import bundled  # noqa: E402
from edgecsp.zoo._packed import PackedWeights, record_of  # noqa: E402

MODEL = "cspdensenetb-ref-prn"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    list(shards.make(shards.plan(folder, 8, 4, 8, 96, per_shard=4), 1))
    shards.describe(folder)
    settings = TrainSettings(epochs=1, batch=4, imgsz=96, warmup=2)
    return train(
        MODEL, folder / "data.yaml", settings=settings, weights="codes", out=folder / "run", workers=0, device="cpu"
    ).folder


def test_a_run_on_scenes_is_baked(run, tmp_path):
    out = tmp_path / "codes.npz"
    bake.from_run(run, out, partial(bake.on_scenes, count=6))
    record = record_of(out)
    assert record["labels"] == list(CLASSES) and record["imgsz"] == 96 and record["scenes"].startswith("12, digest ")
    assert "begun with the weights of codes" in record["trained"] and record["licence"] == "Apache-2.0"
    assert record["test"]["scenes"] == 6 and 0 <= record["test"]["ap50"] <= 1
    trained = torch.load(run / "best.pt", weights_only=True)["average"]
    layout = Layout.from_dict(json.loads((run / "run.json").read_text())["layout"])
    back = Network(layout.net()).load(PackedWeights(out)).state_dict()
    for key, value in back.items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, trained[key], rtol=1e-3, atol=1e-6)


def test_the_zoos_entry_of_what_was_baked_has_the_runs_heads(run, tmp_path):
    bake.from_run(run, tmp_path / "codes.npz", partial(bake.on_scenes, count=2))
    layout = Layout.from_dict(json.loads((run / "run.json").read_text())["layout"])
    made, theirs = bundled.entry(tmp_path / "codes.npz"), layout.net()
    ours = made.net()
    assert made.size == 96 and ours.heads == theirs.heads
    assert [head.scale_xy for _, head in ours.heads] == [2.0, 2.0]
    assert zoo.get("codes").size == 320 and zoo.get("codes").scale_xy == (2.0, 2.0)


def test_the_shipped_weights_survive_a_trip_through_torch(tmp_path):
    entry = zoo.get("codes")
    layout = Layout(MODEL, entry.size, CLASSES, entry.anchors, entry.masks)
    network = Network(layout.net()).load(zoo.bundled_weights("codes"))
    model = bake.packed(network, layout, {}, tmp_path / "codes.npz")
    assert model.labels == CLASSES
    assert [head.anchors_wh for head in model.heads] == [entry.anchors[3:], entry.anchors[:3]]
    pictures = np.random.default_rng(2).random((1, 3, entry.size, entry.size), np.float32)
    assert bake.furthest(model, network, pictures) < bake.CLOSE
    with np.load(tmp_path / "codes.npz") as mine, np.load(bake.SHIPPED / "codes.npz") as shipped:
        assert np.array_equal(mine["kernels"], shipped["kernels"]) and np.array_equal(mine["rest"], shipped["rest"])


def test_a_model_of_another_name_is_baked_with_a_threshold_of_its_own(run, tmp_path):
    data = run.parent / "data.yaml"
    bake.from_run(run, tmp_path / "mine.npz", partial(bake.on_photographs, data=data, empty=data))
    record, made = record_of(tmp_path / "mine.npz"), bundled.entry(tmp_path / "mine.npz")
    assert made.name == "mine" and made.title.endswith(f"trained to find {everyday.FINDS}")
    assert made.conf == record["conf"] == record["test"]["conf"] and record["licence"] == everyday.LICENCE
    assert made.trained.ap50 == record["test"]["ap50"] and made.trained.on.startswith("8 validation images of ")
    assert "12, digest " in made.trained.data and made.trained.command == record["command"]
    assert str(run.parent) not in json.dumps(record), "folders of this machine say nothing elsewhere"


def test_a_record_names_no_folders_of_the_machine():
    record = {"command": "edgecsp train x --data /a/b/c/data.yaml --name /a/run", "on": "1/2 of 3", "n": [1]}
    shortened = {"command": "edgecsp train x --data c/data.yaml --name a/run", "on": "1/2 of 3", "n": [1]}
    assert bake.without_folders(record) == shortened


def test_a_balanced_run_is_the_same_but_for_its_heads_biases(run, tmp_path):
    classes = np.array([0.8, 0.4, 0, 0, 0, 0])
    balance.write(run, tmp_path / "out", (classes, -0.3), 8)
    (_, layout, before), (began, _, after) = bake.read_run(run), bake.read_run(tmp_path / "out")
    assert began["balance"]["classes"]["qr"] == 0.8 and began["balance"]["objectness"] == -0.3
    images = torch.rand(1, 3, layout.side, layout.side)
    added = torch.tensor([0, 0, 0, 0, -0.3, *classes]).repeat(3)[:, None, None]
    with torch.no_grad():
        for old, new in zip(before.eval()(images), after.eval()(images)):
            torch.testing.assert_close(new - old, added.expand_as(new[0])[None].float(), rtol=0, atol=1e-4)


def test_what_balance_finds_is_what_edgecsp_finds():
    model = zoo.load_bundled("codes")
    detected = balance.look(model, balance.FIRST, 3)
    with edgecsp.load(model, engine="ort", precision="fp32", conf=balance.LOW) as detector:
        for i, mine in enumerate(detected.predictions.detections):
            theirs = detector(balance.scene(balance.FIRST + i, 640, natural=True)[0])
            np.testing.assert_allclose(mine.xyxy, theirs.xyxy, atol=0.5)
            np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-3)
            assert (mine.class_ids == theirs.class_ids).all()


def rated(wrong_of_0, right_of_1):
    """200 right detections of class 0 at 0.9, a wrong one and right ones of class 1 at given class logits."""
    chance = np.array([*np.full(200, 2.2), *np.full(40, wrong_of_0), *np.full(20, right_of_1)])
    ids = np.array([*np.zeros(240, int), *np.ones(20, int)])
    right = np.array([*np.ones(200, bool), *np.zeros(40, bool), *np.ones(20, bool)])
    return balance.Judged(np.full(260, 9.0), chance, ids, right, ~right, ~right, np.array([200, 20]), 100, 50)


def test_the_class_whose_scores_are_too_low_is_lifted():
    judged = rated(0.0, -0.4)
    classes, objectness = balance.choose(judged, lambda *_: 1.0)
    assert classes.tolist() == [0.0, 0.8], "then 0.91 is found above what is wrong"
    assert judged.recall(judged.scores(classes, objectness), 0.25) >= 0.91
    assert judged.cost(classes) < judged.cost(np.zeros(2))
    with pytest.raises(EdgecspError, match="no choice keeps AP50"):
        balance.choose(judged, lambda *_: 0.5)


def test_what_is_no_run_of_codes_is_refused(run, tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="is not a run of edgecsp train with a best epoch"):
        bake.read_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    record["layout"]["labels"] = ["cat", "dog", "cow", "horse", "sheep", "hen"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert bake.read_run(tmp_path, "everyday")[1].labels[:2] == ("cat", "dog")
    with pytest.raises(UsageError, match="learned cat, dog, cow, horse, sheep, hen; codes are qr"):
        bake.read_run(tmp_path)
    monkeypatch.setattr(bake, "furthest", lambda *_: float("nan"))
    with pytest.raises(BuildFailed, match="differ from the trained net's by nan"):
        bake.from_run(run, tmp_path / "codes.npz", partial(bake.on_scenes, count=2))
    assert not (tmp_path / "codes.npz").exists()
