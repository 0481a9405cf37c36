"""From a data set of scenes to `codes.npz`: edgecsp train reads it, and what is baked is what was trained."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")
pytest.importorskip("zxingcpp", reason="zxing-cpp writes the symbols (extra calib)")
pytest.importorskip("faster_coco_eval", reason="faster-coco-eval (extra val) is not installed")

from calib import CLASSES, bake, shards  # noqa: E402
from edgecsp import zoo  # noqa: E402
from edgecsp.errors import BuildFailed, SourceError, UsageError  # noqa: E402
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
    assert zoo.get("codes").size == 320 and zoo.get("codes").scale_xy == (), "what is shipped now was made without"


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


def test_what_is_no_run_of_codes_is_refused(run, tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="is not a run of edgecsp train with a best epoch"):
        bake.read_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    record["layout"]["labels"] = ["cat", "dog"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="learned cat, dog; codes are qr"):
        bake.read_run(tmp_path)
    monkeypatch.setattr(bake, "furthest", lambda *_: float("nan"))
    with pytest.raises(BuildFailed, match="differ from the trained net's by nan"):
        bake.from_run(run, tmp_path / "codes.npz", partial(bake.on_scenes, count=2))
    assert not (tmp_path / "codes.npz").exists()
