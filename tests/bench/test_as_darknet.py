"""The zoo's networks written as darknet's files are read back as the same networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import as_darknet
from edgecsp import backends, darknet, store, zoo
from edgecsp.darknet import cfg, layers
from edgecsp.errors import BadModel
from edgecsp.export import RandomWeights
from edgecsp.net import Net
from edgecsp.zoo._packed import PackedWeights

WRITTEN = ("codes", "yolov3-tiny", "yolov3-tiny-prn", "cspdensenet-ref-prn", "csppeleenet-ref-prn-3l")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_cfg_is_the_tape_that_it_was_written_from(name: str) -> None:
    entry = zoo.get(name)
    net = entry.net()
    again = layers.build(cfg.parse(as_darknet.text(net, entry.anchors)))[0].net
    assert [(each.op, each.inputs, each.shape, each.attrs) for each in again.layers] == [
        (each.op, each.inputs, each.shape, each.attrs) for each in net.layers
    ]
    assert again.heads == net.heads and again.bflops == net.bflops


def test_the_model_in_the_box_gives_the_same_heads_by_way_of_darknets_files(tmp_path: Path) -> None:
    entry, made = zoo.get("codes"), (tmp_path / "codes.cfg", tmp_path / "codes.weights")
    assert entry.shipped is not None
    as_darknet.write(entry.net(), PackedWeights(entry.shipped), entry.anchors, *made)
    model, batch = darknet.load(*made, resize="stretch").model, np.random.default_rng(0).random((1, 3, 320, 320))
    wanted, got = (backends.open(each, "ort").run(batch.astype(np.float32)) for each in (store.resolve("codes"), model))
    assert len(got) == 2 and all(np.array_equal(a, b) for a, b in zip(got, wanted))
    assert np.ptp(wanted[0]) > 1, "and they say something"


def test_what_a_cfg_cannot_say_is_not_written(tmp_path: Path) -> None:
    entry = zoo.get("csppeleenet-ref-efm-sam")
    with pytest.raises(BadModel, match=r"layer \d+ of the tape is (mul|maxout)"):
        as_darknet.text(entry.net(), entry.anchors)
    net = Net(3, 64, 64)
    net.yolo(net.conv(net.slice(net.conv(net.input, 8, 3), 4, 8), 18, 1, bn=False), classes=1, anchors_wh=[(9, 9)] * 3)
    with pytest.raises(BadModel, match="takes channels out"):
        as_darknet.write(net, RandomWeights(0), [(9, 9)] * 3, tmp_path / "x.cfg", tmp_path / "x.weights")
    assert not list(tmp_path.iterdir())
