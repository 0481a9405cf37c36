"""What an ONNX file says of itself: there and back unchanged; damaged, it is refused and never believed."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, List

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp import backends, importers
from edgecsp.errors import BadModel, EdgecspError, UsageError
from edgecsp.graph import onnx_model
from edgecsp.graph.export import RandomWeights
from edgecsp.graph.layers import Net
from edgecsp.options.choices import RESIZES
from edgecsp.processing.heads.scores import Scores
from edgecsp.processing.heads.yolo import Yolo
from edgecsp.processing.preprocess import prepare
from edgecsp.types import Input, Model
from support.darknet_nets import Case, assert_close, cases, run
from support.effort import examples
from support.tiny import Tiny


def said_by(model: Model) -> Any:
    proto = onnx.load_model_from_string(model.onnx)
    return json.loads(next(prop.value for prop in proto.metadata_props if prop.key == onnx_model.KEY))


def with_said(model: Model, text: str) -> bytes:
    proto = onnx.load_model_from_string(model.onnx)
    onnx.helper.set_model_props(proto, {onnx_model.KEY: text})
    return proto.SerializeToString()


# -- there and back -----------------------------------------------------------------------------------------

text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
positive = st.floats(2**-10, 1000, width=32).map(float)


@st.composite
def models(draw: st.DrawFn) -> Model:
    h, w = 8 * draw(st.integers(1, 4)), 8 * draw(st.integers(1, 4))
    net = Net(draw(st.sampled_from([1, 3])), h, w)
    x = net.conv(net.input, 2, 3, stride=8)
    classes = draw(st.integers(1, 3))
    if draw(st.booleans()):
        for _ in range(draw(st.integers(1, 2))):
            anchors = draw(st.lists(st.tuples(positive, positive), min_size=1, max_size=3))
            head = net.conv(x, len(anchors) * (5 + classes), 1, bn=False, act="linear")
            mask = tuple(range(len(anchors)))
            net.yolo(head, classes=classes, anchors_wh=anchors, scale_xy=draw(positive), mask=mask)
    else:
        net.scores(net.global_avgpool(net.conv(x, classes, 1)))
    three = st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2))
    spec = Input(
        (h, w),
        draw(st.sampled_from(RESIZES)),
        draw(st.sampled_from(["rgb", "bgr"])),
        draw(positive),
        draw(three),
        draw(st.tuples(positive, positive, positive)),
        net.input.c,
    )
    return onnx_model.build(
        net,
        RandomWeights(),
        name=draw(text.filter(bool)),
        labels=tuple(draw(text) for _ in range(classes)),
        input=spec,
        conf=draw(st.floats(0, 1)),
        iou=draw(st.floats(0, 1)),
        nms_beta=draw(st.floats(0, 2)),
        origin=draw(st.dictionaries(text, text, max_size=3)),
    )


@examples(60)
@given(models())
def test_every_field_comes_back(model: Model) -> None:
    again = importers.parse(model.onnx)
    assert again == model and again.onnx == model.onnx
    onnx.checker.check_model(onnx.load_model_from_string(model.onnx), full_check=True)


# -- damaged ------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple = ()) -> List[tuple]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


WRONG = [
    None, True, False, 0, 1, -1, 2, 10**400, 2**31, 1e300, -1e300, 0.5, float("nan"), float("inf"), "", "x", "yolo",
    "scores", "head0", "0", [], [0], [1, 2], [[1, 2]], [[]], [-1, -1], [0.0, 0.0, 0.0], {}, {"a": 1}, [None], [1e9] * 3,
]  # fmt: skip


@examples(400)
@given(st.data())
def test_one_wrong_value_is_refused_or_still_a_model_that_runs(tiny: Tiny, data: st.DataObject) -> None:
    said = said_by(tiny.model)
    path = data.draw(st.sampled_from(places(said)))
    wrong = data.draw(st.sampled_from(WRONG))
    how = data.draw(st.sampled_from(["replace", "replace", "delete", "add"]))
    if not path:
        said = wrong
    else:
        parent = said
        for key in path[:-1]:
            parent = parent[key]
        if how == "delete":
            del parent[path[-1]]
        elif how == "add" and isinstance(parent, dict):
            parent["surprise"] = wrong
        else:
            parent[path[-1]] = wrong
    try:
        model = importers.parse(with_said(tiny.model, json.dumps(said)), "it.onnx")
    except BadModel as error:
        assert str(error).startswith("it.onnx") and "\n" not in str(error) and len(str(error)) < 1000
        return
    # What is believed must hold: types as declared, a picture through the whole line, and the same again.
    assert all(isinstance(label, str) for label in model.labels) and isinstance(model.conf, float)
    batch, _ = prepare(np.zeros((40, 50, 3), np.uint8), model.input)
    assert batch.shape == tiny.batch.shape and np.isfinite(batch).all()
    assert importers.parse(with_said(model, json.dumps(said_by(model)))) == model


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[]",
        "{",
        '{"version": 2}',
        "[" * 100_000,
        "1" * 10_000,
        '"\\ud800"',
        "NaN",
        '{"version": 1}',
        "\x00",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_metadata_that_is_no_model(tiny: Tiny, said: str) -> None:
    with pytest.raises(BadModel, match=r"^it\.onnx: its 'edgecsp' metadata cannot be used"):
        importers.parse(with_said(tiny.model, said), "it.onnx")


def test_metadata_that_speaks_of_another_graph(tiny: Tiny) -> None:
    for change in (
        lambda said: said["heads"][0].update(name="head7"),
        lambda said: said["input"].update(hw=[96, 64]),
        lambda said: said["input"].update(channels=1),
        lambda said: said["heads"][0].update(anchors_wh=[[1, 2]]),
    ):
        said = copy.deepcopy(said_by(tiny.model))
        change(said)
        with pytest.raises(BadModel, match=r"^it\.onnx: its metadata"):
            importers.parse(with_said(tiny.model, json.dumps(said)), "it.onnx")


# -- other sizes --------------------------------------------------------------------------------------------


@examples(60)
@given(cases(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_reshaped_equals_a_fresh_import_at_that_size(case: Case, down: int, across: int, batch: int) -> None:
    was = case.load().model
    hw = (was.input.hw[0] * down, was.input.hw[1] * across)
    try:
        model = onnx_model.reshape(was, hw=hw, batch=batch)
    except UsageError:
        return
    picture = np.random.default_rng(0).random((1, was.input.channels, *hw), np.float32)
    fresh = case.load(hw).model
    assert model.input == fresh.input and [h.name for h in model.heads] == [h.name for h in fresh.heads]
    for got, wanted in zip(run(model, np.repeat(picture, batch, 0)), run(fresh, picture)):
        for one in got:
            assert_close(one, wanted[0])


def test_reshaped_tiny(tiny: Tiny) -> None:
    from edgecsp.importers import darknet

    for hw in ((64, 128), (32, 32), (96, 64)):
        model = onnx_model.reshape(tiny.model, hw=hw)
        fresh = darknet.load(tiny.cfg, tiny.weights, hw=hw).model
        assert model == fresh
        onnx.checker.check_model(onnx.load_model_from_string(model.onnx), full_check=True)
        picture = np.random.default_rng(0).random((1, 3, *hw), np.float32)
        for got, wanted in zip(run(model, picture), run(fresh, picture)):
            assert_close(got, wanted)
    assert onnx_model.reshape(onnx_model.reshape(tiny.model, hw=(96, 160)), hw=(64, 64)) == tiny.model
    session = backends.open(onnx_model.reshape(tiny.model, batch=3), "ort")
    for got, wanted in zip(session.run(np.repeat(tiny.batch, 3, 0)), tiny.heads):
        assert got.shape[0] == 3
        assert_close(got[2], wanted[0])


@pytest.mark.parametrize("hw", [(65, 64), (63, 64), (8, 8), (0, 64), (-64, 64), (1 << 20, 1 << 20)])
def test_reshaped_to_what_does_not_fit(tiny: Tiny, hw: tuple) -> None:
    with pytest.raises(UsageError, match=f"cannot take .*{hw[1]}x{hw[0]}"):
        onnx_model.reshape(tiny.model, hw=hw)


def test_a_classifier_keeps_its_size() -> None:
    net = Net(3, 32, 32)
    net.scores(net.global_avgpool(net.conv(net.input, 4, 3, stride=2)))
    model = onnx_model.build(net, RandomWeights(), name="c", labels=tuple("abcd"))
    with pytest.raises(UsageError, match="its size is fixed"):
        onnx_model.reshape(model, hw=(64, 64))


# -- bytes that are no model --------------------------------------------------------------------------------


@examples(300)
@given(st.data())
def test_damaged_bytes_are_refused_or_a_model(tiny: Tiny, data: st.DataObject) -> None:
    out = bytearray(tiny.model.onnx)
    for _ in range(data.draw(st.integers(0, 4))):
        out[data.draw(st.integers(0, len(out) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del out[data.draw(st.integers(0, len(out))) :]
    try:
        model = importers.parse(bytes(out), "it.onnx")
        onnx_model.reshape(model, hw=(96, 96))
    except EdgecspError as error:
        assert re.match(r"it\.onnx|tiny", str(error)) and "\n" not in str(error)


def test_heads_check_themselves() -> None:
    for wrong in ({"classes": 0}, {"stride": 0}, {"anchors_wh": ()}, {"anchors_wh": ((0.0, 1.0),)}, {"scale_xy": 0.0}):
        with pytest.raises(BadModel, match="head 'head0'"):
            Yolo(**{"name": "head0", "classes": 1, "stride": 8, "anchors_wh": ((1.0, 2.0),), **wrong})
    assert Scores("s", 3).kind == "scores"
