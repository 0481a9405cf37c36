"""darknet's rarer layers: residual blocks of two sizes, reorg, regions, connected layers, crops, shared weights."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np
import onnx
import pytest

from edgecsp import backends, importers
from edgecsp.errors import BadModel, BadWeights, UsageError
from edgecsp.graph import onnx_model
from edgecsp.importers import darknet
from edgecsp.importers.darknet.cfg import parse
from edgecsp.importers.darknet.layers import Build, build
from edgecsp.processing.heads.gaussian_yolo import GaussianYolo
from edgecsp.processing.heads.region import YoloRegion
from edgecsp.processing.heads.scores import Scores
from support import oracle
from support.darknet_nets import assert_close, run
from support.engines import require_engine

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=linear\n"
HALF = "[convolutional]\nfilters=8\nsize=3\npad=1\nstride=2\nactivation=leaky\n"
BACK = "[route]\nlayers=0\n"
REGION = "[convolutional]\nfilters=14\nactivation=linear\n[region]\nclasses=2\nnum=2\nanchors=1.5,2, 3,1\nsoftmax=1\n"
GAUSSIAN = "[convolutional]\nfilters=11\nactivation=linear\n[Gaussian_yolo]\nclasses=2\nnum=1\nanchors=10,20\n"


def built(text: str, net: str = NET) -> Build:
    return build(parse(net + text, "a.cfg"))[0]


def load(text: str, folder: Path) -> Tuple[darknet.DarknetImport, np.ndarray, list]:
    """A cfg with random weights: its import, a batch, and what the oracle computes of it."""
    sections = oracle.sections_of(text)
    net = sections[0][1]
    recorder = oracle.Recorder(3)
    shape = (3, int(net["height"]), int(net["width"]))
    batch = np.random.default_rng(5).random((1, *shape), np.float32)
    heads = oracle.darknet(text.lower(), batch[0], recorder)
    (folder / "a.cfg").write_text(text)
    (folder / "a.weights").write_bytes(recorder.data)
    return darknet.load(folder / "a.cfg", folder / "a.weights"), batch, heads


# -- shortcuts of two sizes --------------------------------------------------------------------------------------


def bottlenecks(depth: Tuple[int, ...], groups: int = 1) -> str:
    """A ResNet or ResNeXt as the public cfgs write them: from=-4, stride 2 in the middle of a stage's first block."""

    def conv(filters: int, size: int, stride: int = 1, act: str = "leaky", groups: int = 1) -> str:
        plain = f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
        return plain + f"groups={groups}\nactivation={act}\n"

    text = "[net]\nheight=256\nwidth=256\nchannels=3\n" + conv(64, 7, 2) + "[maxpool]\nsize=2\nstride=2\n"
    for stage, blocks in enumerate(depth):
        wide = (128 if groups > 1 else 64) << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            text += conv(wide, 1) + conv(wide, 3, stride, groups=groups) + conv(256 << stage, 1, act="linear")
            text += "[shortcut]\nfrom=-4\nactivation=leaky\n"
    last = "[convolutional]\nfilters=1000\nsize=1\nstride=1\npad=1\nactivation=linear\n"
    return text + "[avgpool]\n" + last + "[softmax]\ngroups=1\n"


@pytest.mark.parametrize(
    ("depth", "groups", "bflops"),
    [
        ((3, 4, 6, 3), 1, 9.74),  # ResNet-50, table 3 of the CSPNet paper
        ((3, 4, 23, 3), 1, None),
        ((3, 8, 36, 3), 1, 29.0),  # ResNet-152
        ((3, 4, 6, 3), 32, 10.11),  # ResNeXt-50
        ((3, 8, 36, 3), 32, None),
    ],
    ids=["resnet50", "resnet101", "resnet152", "resnext50", "resnext152"],
)
def test_residual_networks_of_the_papers_are_built(depth: tuple, groups: int, bflops: float) -> None:
    made, resize = build(parse(bottlenecks(depth, groups)))
    assert isinstance(made.net.heads[0][1], Scores) and made.net.heads[0][1].classes == 1000 and resize == "crop"
    assert sum(layer.op == "conv" for layer in made.net.layers) == 3 * sum(depth) + 2
    notes = [note for note in made.notes if "read at every n-th place" in note]
    assert len(notes) == 1, "said once, however many blocks there are"
    if bflops:
        assert made.net.bflops == pytest.approx(bflops, rel=0.01)


def test_a_shortcut_reads_every_second_place_of_a_larger_map(tmp_path: Path) -> None:
    text = NET + CONV + HALF.replace("8", "12") + "[shortcut]\nfrom=-2\nactivation=relu\n" + BACK + HALF
    text += "[shortcut]\nfrom=0\n" + REGION
    imported, batch, (head,) = load(text, tmp_path)
    assert_close(run(imported.model, batch)[0][0], head)
    model = onnx_model.reshape(imported.model, hw=(64, 96))
    fresh = darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights", hw=(64, 96)).model
    wide = np.random.default_rng(1).random((1, 3, 64, 96), np.float32)
    assert_close(run(model, wide)[0], run(fresh, wide)[0])


@pytest.mark.parametrize("side", [13, 15, 21])
def test_sizes_that_are_no_multiple_are_read_as_darknet_reads_them(side: int, tmp_path: Path) -> None:
    net = NET.replace("32", str(side))
    imported, batch, (head,) = load(net + CONV + HALF + HALF + "[shortcut]\nfrom=0\n" + REGION, tmp_path)
    assert_close(run(imported.model, batch)[0][0], head)


# -- heads -------------------------------------------------------------------------------------------------------


def test_a_region_keeps_its_anchors_in_pixels() -> None:
    made = built(HALF + HALF + REGION)
    head = made.net.heads[0][1]
    assert isinstance(head, YoloRegion) and made.nms_beta == 0
    assert (head.stride, head.classes, head.anchors_wh) == (4, 2, ((6, 8), (12, 4)))


def test_a_gaussian_head_keeps_its_mask_and_scale() -> None:
    made = built(
        GAUSSIAN.replace("anchors=10,20", "anchors=1,2, 10,20\nmask=1\nscale_x_y=1.1").replace("num=1", "num=2")
    )
    head = made.net.heads[0][1]
    assert isinstance(head, GaussianYolo)
    assert (head.anchors_wh, head.mask, head.scale_xy, head.classes) == (((10, 20),), (1,), 1.1, 2)


@pytest.mark.parametrize(("text", "decode"), [(REGION, oracle.region), (GAUSSIAN, oracle.gaussian_yolo)])
def test_a_file_says_how_its_boxes_are_decoded(text: str, decode: object, tmp_path: Path) -> None:
    imported, batch, (raw,) = load(NET + CONV + HALF + text, tmp_path)
    onnx_model.save(imported.model, tmp_path / "a.onnx")
    model = importers.load(tmp_path / "a.onnx")
    assert model.heads == imported.model.heads
    anchors = ((1.5, 2), (3, 1)) if text == REGION else ((10, 20),)
    wanted = sorted(decode(raw, anchors, 2, (32, 32), 0.05), key=lambda row: -row[4])
    session = backends.open(model, "ort")
    found = model.heads[0].candidates(model, session.run(batch), 0.05)
    session.close()
    assert len(wanted) == len(found.scores) > 20
    order = np.argsort(-found.scores, kind="stable")
    assert np.allclose(found.scores[order], [row[4] for row in wanted], atol=1e-5)
    assert np.allclose(np.sort(found.xyxy, 0), np.sort([row[:4] for row in wanted], 0), rtol=1e-4, atol=1e-3)


# -- every engine ------------------------------------------------------------------------------------------------

ALL_LAYERS = (
    "[net]\nwidth=36\nheight=28\nchannels=3\n[crop]\ncrop_height=24\ncrop_width=32\n"
    + CONV
    + "[batchnorm]\n"
    + HALF
    + "[shortcut]\nfrom=1\nactivation=leaky\n"
    + "[reorg]\nstride=2\n"
    + "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    + "[route]\nlayers=4\n[reorg3d]\nstride=2\n"
    + "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=linear\n" * 2
    + "[convolutional]\nfilters=4\nsize=3\npad=1\ndilation=2\nshare_index=-1\nactivation=leaky\n"
    + "[route]\nlayers=-1,6\n"
    + REGION
    + "[route]\nlayers=-4\n[connected]\noutput=6\nactivation=leaky\nbatch_normalize=1\n"
    + "[connected]\noutput=8\nactivation=linear\n[softmax]\ngroups=2\ntemperature=3\n"
    + GAUSSIAN
)


@pytest.mark.parametrize("engine", [name for name in backends.names() if not backends.info(name).is_dummy])
def test_every_engine_computes_them_as_the_oracle(engine: str, tmp_path: Path) -> None:
    require_engine(engine)
    imported, batch, heads = load(ALL_LAYERS, tmp_path)
    proto = onnx.load_model_from_string(imported.model.onnx)
    onnx.checker.check_model(proto, full_check=True)
    session = backends.open(imported.model, engine, precision="fp32")
    for out, wanted in zip(session.run(batch), heads):
        assert out[0].shape == wanted.shape and wanted.std() > 1e-3
        assert np.abs(out[0] - wanted).max() <= 1e-4 * np.abs(wanted).max()
    session.close()


def test_sizes_in_the_graph_are_not_changed(tmp_path: Path) -> None:
    for layers in ("[reorg]\nstride=2\n", "[crop]\ncrop_height=16\ncrop_width=16\n", "[connected]\noutput=8\n"):
        imported, _, _ = load(NET + CONV.replace("linear", "leaky") + layers + REGION, tmp_path)
        with pytest.raises(UsageError, match="cannot take images of 64x64"):
            onnx_model.reshape(imported.model, hw=(64, 64))
        batch = np.random.default_rng(1).random((2, 3, 32, 32), np.float32)
        assert run(onnx_model.reshape(imported.model, batch=2), batch)[0].shape[0] == 2


def test_a_connected_layers_weights_are_in_front_of_its_batch_norm(tmp_path: Path) -> None:
    text = NET + "[avgpool]\n[connected]\noutput=2\nbatch_normalize=1\nactivation=linear\n"
    (tmp_path / "a.cfg").write_text(text)
    kernel = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    floats = [np.array([10, 20]), kernel, np.array([2, 3]), np.array([0, 0]), np.array([1, 1]) - 1e-5]
    data = b"".join(part.astype("<f4").tobytes() for part in floats)
    (tmp_path / "a.weights").write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + data)
    model = darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights").model
    out = run(model, np.ones((1, 3, 32, 32), np.float32))[0].reshape(-1)
    assert np.allclose(out, [10 + 2 * 6, 20 + 3 * 15])


def test_shared_weights_are_stored_once(tmp_path: Path) -> None:
    conv = CONV.replace("filters=8", "filters=3")
    imported, batch, (head,) = load(NET + conv + conv + "share_index=0\ndilation=1\n" + REGION, tmp_path)
    assert imported.net.floats == (3 + 81) + (14 + 42)
    assert_close(run(imported.model, batch)[0][0], head)
    graph = onnx.load_model_from_string(imported.model.onnx).graph
    assert sum(const.name.endswith("conv.weight") for const in graph.initializer) == 2


# -- the small families ------------------------------------------------------------------------------------------


def face_detector() -> str:
    """A cfg of yoloface's and MobileNet-Yolo's kind: depthwise blocks, a pooled side path, squeeze and excitation."""

    def conv(filters: int, size: int = 1, stride: int = 1, groups: int = 1, act: str = "relu") -> str:
        options = f"filters={filters}\nsize={size}\ngroups={groups}\nstride={stride}\npad=1\n"
        return f"[convolutional]\n{options}batch_normalize=1\nactivation={act}\n"

    def block(wide: int, filters: int, stride: int = 1) -> str:
        text = conv(wide) + conv(wide, 3, stride, wide) + conv(filters, act="linear")
        return text + ("[shortcut]\nfrom=-4\nactivation=linear\n" if stride == 1 else "")

    def squeeze(filters: int) -> str:
        gates = "".join(
            f"[convolutional]\nfilters={n}\nsize=1\nstride=1\nactivation={act}\n"
            for n, act in ((filters // 2, "relu"), (filters, "logistic"))
        )
        return conv(filters) + "[avgpool]\n" + gates + "[scale_channels]\nfrom=-4\n" + conv(filters, 3, 1, filters)

    def head(mask: str) -> str:
        text = "[convolutional]\nsize=1\nstride=1\npad=1\nfilters=18\nactivation=linear\n[yolo]\n"
        text += f"mask = {mask}\nanchors = 4,  6,   6,  9,   8, 13,  12, 10,  13, 19,  19, 25\nclasses=1\nnum=6\n"
        return text + "scale_x_y = 1.0\nnms_kind=greedynms\nbeta_nms=0.2\n"

    text = "[net]\nwidth=96\nheight=64\nchannels=3\n" + conv(8, 3, 2) + conv(8, 3, 1, 8) + conv(4, act="linear")
    text += block(18, 6, 2) + block(36, 6) + conv(18)  # layer 10
    text += "[route]\nlayers = -8\n[maxpool]\nsize=2\nstride=2\n[route]\nlayers = -1,10\n" + conv(24)  # 14
    text += block(24, 8, 2) + squeeze(24) + head("3,4,5")
    text += "[route]\nlayers = -3\n[upsample]\nstride = 2\n[route]\nlayers=-1,14\n" + squeeze(18) + head("0,1,2")
    return text


def test_a_small_face_detector_is_the_oracles(tmp_path: Path) -> None:
    imported, batch, heads = load(face_detector(), tmp_path)
    assert [head.shape for head in heads] == [(18, 8, 12), (18, 16, 24)] and imported.model.nms_beta == 0.6
    for out, wanted in zip(run(imported.model, batch), heads):
        assert_close(out[0], wanted)


# -- numbers and limits ------------------------------------------------------------------------------------------


def test_the_ramp_of_old_cfgs_is_the_oracles(tmp_path: Path) -> None:
    """strided.cfg, and the first alexnet.cfg: above 0 it is 1.1 x."""
    ramp = CONV.replace("linear", "ramp")
    text = NET + ramp + ramp + ramp + "share_index=-1\n" + ramp.replace("filters=8", "filters=6") + "[avgpool]\n"
    imported, batch, (wanted,) = load(text, tmp_path)
    (got,) = run(imported.model, batch)
    assert_close(got[0].reshape(wanted.shape), wanted)


def test_white_space_inside_a_list_is_dropped_as_darknet_drops_it() -> None:
    made = built(GAUSSIAN.replace("anchors=10,20", "anchors = 1 0 ,\t2 0, "))
    assert made.net.heads[0][1].anchors_wh == ((10, 20),)


def test_a_missing_comma_joins_two_numbers_as_in_darknet() -> None:
    """The public cfg of CSPx-P7 with its hyperparameters has `61,45    61,45` in its anchors: 31 numbers for num=16."""
    text = GAUSSIAN.replace("anchors=10,20\n", "anchors = 13,17, 61,45    61,45\nmask=1,2\n").replace("num=1", "num=3")
    made = built(text.replace("filters=11", "filters=22"))
    assert made.net.heads[0][1].anchors_wh == ((61, 4561), (45, 0.5))
    assert any("lacks a comma in '45    61', which darknet reads as 4561" in note for note in made.notes)
    assert any("has 5 numbers, one too few for num; darknet's last one is 0.5" in note for note in made.notes)


def test_a_mask_past_num_takes_the_anchor_that_the_cfg_lists() -> None:
    """The public cfg of CSPx-P7 has 20 anchors, num=16 and mask=16,17,18,19."""
    text = GAUSSIAN.replace("anchors=10,20", "anchors=1,2, 10,20\nmask=1")
    made = built(text)
    assert made.net.heads[0][1].anchors_wh == ((10, 20),)
    assert any("mask=1 and num=1: darknet reads past the end" in note for note in made.notes)


def test_a_map_may_be_2_gb() -> None:
    big = NET.replace("32", "1536")
    assert built("[convolutional]\nfilters=64\nsize=3\npad=1\n", big).net.layers[0].shape == (64, 1536, 1536)
    with pytest.raises(BadModel, match=r"2\.2 GB; the largest allowed is 2\.0 GB"):
        built("[convolutional]\nfilters=256\nsize=3\npad=1\n", big)


# -- what is refused ---------------------------------------------------------------------------------------------

REFUSED = [
    (CONV + HALF + "[upsample]\nstride=3\n[shortcut]\nfrom=0\n", "as many times larger in both directions"),
    (CONV + HALF + CONV + "[shortcut]\nfrom=0,1\n", "not all are of its size; darknet defines that for one"),
    ("[reorg]\nstride=3\n", "reorg by 3 needs sides that it divides; found 32x32x3"),
    ("[reorg]\nstride=2\n", "reorg by 2 needs a multiple of 4 channels; found 32x32x3"),
    ("[reorg3d]\nstride=32\n", "reorg by 32: at most 16 is allowed"),
    ("[reorg]\nstride=2\nreverse=1\n", "reverse=1 changes the result"),
    ("[crop]\ncrop_height=40\ncrop_width=8\n", "cuts 8x40 out of a map of 32x32"),
    (CONV + "[softmax]\n", "softmax needs a map of 1x1; found 32x32x8"),
    ("[avgpool]\n[softmax]\ngroups=2\n", "3 channels cannot be split into 2 groups"),
    (CONV + CONV + "share_index=0\n", "the same channels, filters, size, groups and batch-norm"),
    (CONV + "[maxpool]\nsize=2\nstride=2\n" + CONV + "share_index=1\n", "with a convolution that has its own"),
    (REGION + "tree=data/9k.tree\n", "a softmax tree (YOLO9000) are not supported"),
    (REGION.replace("softmax=1", "softmax=0"), "needs softmax=1"),
    (REGION.replace("softmax=1\n", ""), "needs softmax=1"),
    (REGION + "coords=5\n", "only boxes of 4 coordinates"),
    (REGION + "classfix=-1\n", "classfix=-1 changes the result"),
    (REGION + "background=1\n", "background=1 changes the result"),
    (REGION.replace("num=2", "num=3"), "num=3, and there are 2 anchors"),
    (REGION.replace("=14", "=15"), "a region head of 2 anchors and 2 classes needs 14 channels"),
    (REGION + "[maxpool]\n", "follows a [region] directly"),
    (GAUSSIAN.replace("=11", "=14"), "a Gaussian YOLO head of 1 anchors and 2 classes needs 11 channels"),
    (GAUSSIAN + "yolo_point=left_top\n", "only boxes by their centre are supported"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_is_not_built_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadModel) as caught:
        built(text)
    assert str(caught.value).startswith("a.cfg, line ") and said in str(caught.value)


STAY_REFUSED = (
    "local", "rnn", "gru", "lstm", "crnn", "conv_lstm", "contrastive", "detection", "normalization", "lrn", "implicit",
    "yolo_bdp", "activation", "deconvolutional",
)  # fmt: skip


@pytest.mark.parametrize("kind", STAY_REFUSED)
def test_layers_that_are_refused_by_name(kind: str) -> None:
    with pytest.raises(BadModel, match=rf"line 5: \[{kind}\] is a darknet layer that edgecsp does not support"):
        built(f"[{kind}]\n")


def test_networks_that_read_no_image_are_refused_by_name() -> None:
    with pytest.raises(BadModel, match=r"line 2: \[net\] inputs= and no image: .*recurrent .* is not supported"):
        built("[rnn]\n", "[net]\ninputs=256\n")


def test_options_that_are_refused_by_name() -> None:
    for option in ("xnor=1", "binary=1", "antialiasing=1", "rotate=1", "flipped=1"):
        with pytest.raises(BadModel, match=f"{option} changes the result and is not supported"):
            built(CONV + option + "\n")


def test_a_file_that_is_too_short_names_the_layer(tmp_path: Path) -> None:
    load(NET + "[connected]\noutput=4\n" + REGION, tmp_path)
    data = (tmp_path / "a.weights").read_bytes()
    (tmp_path / "a.weights").write_bytes(data[:400])
    with pytest.raises(BadWeights, match=r"it ends in layer 0 \[connected\]"):
        darknet.load(tmp_path / "a.cfg", tmp_path / "a.weights")
