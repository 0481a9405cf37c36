"""What darknet's sections mean, and what is said of those that cannot be meant: file, line, and the way out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgecsp import importers
from edgecsp.errors import BadModel, BadWeights, SourceError
from edgecsp.importers import darknet
from edgecsp.importers.darknet.cfg import parse
from edgecsp.importers.darknet.layers import _UNSUPPORTED, build
from edgecsp.processing.heads.scores import Scores
from edgecsp.processing.heads.yolo import Yolo
from support.tiny import Tiny

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
HEAD = "[convolutional]\nfilters=6\nactivation=linear\n[yolo]\nclasses=1\nanchors=3,4\nnum=1\n"
CONV = "[convolutional]\nfilters=8\nactivation=linear\n"


def built(text: str):
    return build(parse(text, "a.cfg"))[0]


def shape(text: str):
    return built(NET + text).net.layers[-1].shape


# -- what is built ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[convolutional]\nfilters=4\nsize=3\npad=1\n", (4, 32, 32)),
        ("[convolutional]\nfilters=4\nsize=3\n", (4, 30, 30)),
        ("[convolutional]\nfilters=4\nsize=3\npadding=2\n", (4, 34, 34)),
        ("[convolutional]\nfilters=4\nsize=3\npad=1\npadding=9\n", (4, 32, 32)),
        ("[convolutional]\nfilters=4\nsize=3\npad=1\nstride=2\nstride_x=1\n", (4, 16, 32)),
        ("[convolutional]\nfilters=4\nsize=3\npad=1\ndilation=3\n", (4, 32, 32)),
        ("[convolutional]\nfilters=4\nsize=1\npadding=0\ndilation=7\n", (4, 32, 32)),
        ("[conv]\n", (1, 32, 32)),
        ("[maxpool]\nsize=2\nstride=2\n", (3, 16, 16)),
        ("[maxpool]\nsize=2\nstride=1\n", (3, 32, 32)),
        ("[maxpool]\nstride=2\n", (3, 16, 16)),
        ("[maxpool]\nsize=3\nstride=2\npadding=1\n", (3, 16, 16)),
        ("[max]\nsize=13\nstride=1\n", (3, 32, 32)),
        ("[local_avgpool]\nsize=3\nstride=1\npadding=0\n", (3, 30, 30)),
        ("[upsample]\n", (3, 64, 64)),
        ("[upsample]\nstride=3\n", (3, 96, 96)),
        (CONV + "[maxpool]\nmaxpool_depth=1\nout_channels=2\n", (2, 32, 32)),
        (CONV + "[route]\nlayers=-1\ngroups=4\ngroup_id=2\n", (2, 32, 32)),
        (CONV + CONV + "[route]\nlayers=-1,0,\n", (16, 32, 32)),
        (CONV + "[conv]\nfilters=5\n[shortcut]\nfrom=-2\nactivation=leaky\n", (5, 32, 32)),
        (CONV + "[avgpool]\n", (8, 1, 1)),
    ],
)
def test_shapes(text: str, wanted: tuple) -> None:
    assert shape(text) == wanted


def test_layers_that_no_head_needs_take_their_weights_and_are_left_out(tmp_path: Path) -> None:
    dead = "[convolutional]\nfilters=2\nactivation=linear\n[route]\nlayers=0\n"
    text = NET + "[convolutional]\nfilters=6\nactivation=linear\n" + dead + HEAD[HEAD.index("[yolo]") :]
    values = np.arange(6 + 18 + 2 + 12, dtype="<f4")
    (tmp_path / "a.cfg").write_text(text)
    (tmp_path / "a.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + values.tobytes())
    graph = onnx.load_model_from_string(darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights").model.onnx).graph
    assert [node.op_type for node in graph.node] == ["Conv"]


def test_heads_anchors_masks_and_strides(tiny: Tiny) -> None:
    first, second = tiny.model.heads
    assert isinstance(first, Yolo) and isinstance(second, Yolo)
    assert (first.name, first.classes, first.stride, first.mask) == ("head0", 3, 16, (2, 3))
    assert first.anchors_wh == ((20.0, 30.0), (40.0, 36.0)) and first.scale_xy == 1
    assert (second.stride, second.mask, second.scale_xy) == (8, (0, 1), 1.05)
    assert second.anchors_wh == ((8.0, 10.0), (14.0, 9.0))
    assert tiny.model.input.hw == (64, 64) and tiny.model.input.resize == "darknet"
    assert tiny.model.labels == ("class0", "class1", "class2") and tiny.model.nms_beta == 0


@pytest.mark.parametrize(
    ("option", "beta"),
    [
        ("", 0),
        ("nms_kind=default\nbeta_nms=0.9", 0),
        ("nms_kind=greedynms\nbeta_nms=0.6", 0.6),
        ("nms_kind=greedynms\nbeta_nms=0.9", 0.6),  # darknet's greedy kind has 0.6 built in
        ("nms_kind=diounms\nbeta_nms=0.9", 0.9),
        ("nms_kind=diounms", 0.6),
        ("nms_kind=cornersnms", 0),
    ],
)
def test_nms_kinds(option: str, beta: float) -> None:
    made = built(NET + HEAD + option)
    assert made.nms_beta == beta
    assert bool(made.notes) == ("corners" in option)
    # darknet asks the last [yolo] alone.
    both = NET + HEAD + "nms_kind=diounms\n[route]\nlayers=0\n[convolutional]\nfilters=6\nactivation=linear\n"
    both += HEAD[HEAD.index("[yolo]") :] + option
    assert built(both).nms_beta == beta


def test_new_coords_and_letter_box() -> None:
    made, resize = build(parse(NET + "letter_box=1\n" + HEAD + "new_coords=1\nscale_x_y=2\n"))
    head = made.net.heads[0][1]
    assert isinstance(head, Yolo) and head.new_coords and head.scale_xy == 2 and resize == "letterbox"


def test_a_classifier_ends_in_scores() -> None:
    made, resize = build(parse(NET + CONV + "[avgpool]\n[softmax]\ngroups=1\n[cost]\n"))
    assert isinstance(made.net.heads[0][1], Scores) and made.net.heads[0][1].classes == 8 and resize == "crop"


# -- what is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[convolutionel]\n", 5, "is not a darknet layer. Did you mean [convolutional]?"),
        ("[detection]\n", 5, "is a darknet layer that edgecsp does not support. Supported: avgpool"),
        ("[net]\n", 5, "comes a second time"),
        ("[convolutional]\nfilters=0\n", 6, "filters=0 is outside 1"),
        ("[convolutional]\nactivation=leeky\n", 6, "activation='leeky' is not one of linear, leaky"),
        ("[convolutional]\nfilters=4\ngroups=2\n", 5, "3 channels in and 4 out cannot be split into 2 groups"),
        ("[convolutional]\nxnor=1\n", 6, "xnor=1 changes the result and is not supported by edgecsp"),
        ("[convolutional]\nshare_index=0\n", 6, "share_index"),
        ("[convolutional]\nsize=3\n\ndilation=2\n", 8, "dilation=2 with size=3 and padding=0"),
        ("[convolutional]\nsize=33\n", 5, "conv of 32x32x3 leaves nothing: its output would be 0x0x1"),
        ("[convolutional]\nfilters=2000000\n", 5, "makes a map of 32x32x2000000, 7.6 GB; the largest allowed is 2.0"),
        ("[maxpool]\nsize=3\npadding=6\n", 5, "maxpool of size 3 with padding 6 would pool padding alone"),
        ("[maxpool]\nantialiasing=1\n", 6, "antialiasing=1 changes the result"),
        ("[maxpool]\nmaxpool_depth=1\nout_channels=2\n", 5, "3 channels are no multiple of 2"),
        ("[route]\n", 5, "needs layers="),
        ("[route]\nlayers=-1\n", 6, "layers=-1 is layer -1, seen from layer 0"),
        (CONV + "[route]\nlayers=1\n", 9, "layers=1 is layer 1, seen from layer 1; layers 0 to 0 come before it"),
        (CONV + "[route]\nlayers=0\ngroups=3\n", 10, "groups=3 does not divide the 8 channels"),
        (CONV + "[route]\nlayers=0\ngroups=2\ngroup_id=2\n", 11, "group_id=2: with groups=2 the last is 1"),
        (
            CONV + "[maxpool]\nstride=2\n[route]\nlayers=-1,-2\n",
            10,
            "concat needs maps of one size; found 16x16x8 and 32x3",
        ),
        (CONV + "[upsample]\nstride=2\n[shortcut]\nfrom=-2\n", 10, "shortcut needs maps of one size"),
        ("[shortcut]\n", 5, "needs from="),
        (CONV + "[shortcut]\nfrom=-1\nweights_type=per_channel\n", 10, "weights_type=per_channel changes the result"),
        ("[upsample]\nstride=-2\n", 6, "stride=-2 is outside 1"),
        (CONV + "[scale_channels]\nfrom=0\n", 8, "needs one of 1x1x8 before it; found 32x32x8"),
        (CONV + "[avgpool]\n[sam]\nfrom=0\n", 9, "multiplies maps of one size; found 1x1x8 and 32x32x8"),
        (CONV + "[softmax]\ntree=9k.tree\n", 9, "tree are not supported"),
        (HEAD + "[maxpool]\n", 12, "follows a [yolo] directly; a [route] must say which layer it reads"),
        (HEAD + "[route]\nlayers=-1\n", 13, "layers=-1 reads layer 1, a [yolo]"),
        (HEAD.replace("filters=6", "filters=7"), 8, "needs 6 channels; the layer before it has 7 (filters=6 in that"),
        (HEAD.replace("3,4", "3,4,5"), 10, "must be pairs of a width and a height above 0; found 3 numbers"),
        (HEAD.replace("3,4", "3,0"), 10, "must be pairs of a width and a height above 0"),
        (HEAD.replace("num=1", "num=2"), 11, "num=2, and there are 1 anchors"),
        (HEAD + "mask=1\n", 12, "mask=1: the last of 1 anchors is 0"),
        (HEAD + "mask=-1\n", 12, "mask=-1 is outside 0"),
    ],
)
def test_errors_name_file_line_and_section(text: str, line: int, said: str) -> None:
    with pytest.raises(BadModel) as caught:
        built(NET + text)
    assert str(caught.value).startswith(f"a.cfg, line {line}: [") and said in str(caught.value)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("[convolutional]\n", "line 1: [convolutional] comes first; a cfg begins with [net]"),
        ("[net]\nwidth=3\n", "needs width= and height="),
        ("[net]\nwidth=3\nheight=3\nchannels=4\n", "line 4: [net] channels=4: images have 3 or 1"),
        ("[net]\nwidth=16385\nheight=3\n", "line 2: [net] width=16385 is outside 0 to 16384"),
        ("[net]\nwidth=16384\nheight=16384\n", "cannot be meant"),
    ],
)
def test_a_net_that_is_none(net: str, said: str) -> None:
    with pytest.raises(BadModel, match=r"a\.cfg|input") as caught:
        built(net)
    assert said in str(caught.value)


def test_every_darknet_layer_we_do_not_build_says_so() -> None:
    for kind in _UNSUPPORTED:
        with pytest.raises(BadModel, match="does not support"):
            built(f"{NET}[{kind}]\n")


def test_load_without_a_head(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(NET + CONV)
    (tmp_path / "a.weights").write_bytes(bytes(20))
    with pytest.raises(BadModel, match=r"a\.cfg has no head"):
        darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights")


def test_load_says_where_the_model_comes_from(tiny: Tiny) -> None:
    imported = darknet.load(tiny.cfg, tiny.weights)
    assert imported.layers == 19
    assert imported.model.name == "tiny" and len(imported.model.origin["sha256"]) == 64
    assert imported.model.origin["source"] == "darknet: tiny.cfg + tiny.weights"
    assert [note[:10] for note in imported.notes] == ["no --names"]
    assert darknet.load(tiny.cfg, tiny.weights, hw=(96, 128), resize="letterbox").model.input.hw == (96, 128)
    assert importers.parse(imported.model.onnx) == imported.model


def test_names(tiny: Tiny, tmp_path: Path) -> None:
    names = tmp_path / "my.names"
    names.write_text("\ufeffa cat\r\n\n  dog \nünïcode\n", encoding="utf-8")
    assert darknet.load(tiny.cfg, tiny.weights, names).model.labels == ("a cat", "dog", "ünïcode")
    names.write_text("one\ntwo\n")
    with pytest.raises(BadModel, match=r"my\.names holds 2 labels and the cfg says classes=3"):
        darknet.load(tiny.cfg, tiny.weights, names)
    names.write_bytes(b"a\0b")
    with pytest.raises(BadModel, match="is not a names file"):
        darknet.read_names(names)
    with pytest.raises(SourceError, match=r"no names file at .*my\.name; did you mean"):
        darknet.read_names(tmp_path / "my.name")


def test_cfg_and_weights_the_wrong_way_round(tiny: Tiny) -> None:
    with pytest.raises(BadModel, match=r"the order is: edgecsp import MODEL\.cfg MODEL\.weights"):
        darknet.load(tiny.weights, tiny.cfg)
    with pytest.raises(BadWeights, match=r"tiny\.cfg is not a \.weights file"):
        darknet.load(tiny.cfg, tiny.cfg)
