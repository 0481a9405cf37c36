"""The declarations of the server's edge against a running server, JSON schema's own rules, and the page of docs."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecsp import pipeline
from edgecsp.errors import HTTPRequestError
from edgecsp.serve import channels, events, mqtt, reference, schema, schemas
from edgecsp.serve.live import StreamState
from edgecsp.serve.openapi import document, statuses
from edgecsp.serve.schema import Field, Shape
from edgecsp.serve.spool import Spool
from support import crossing, images, served
from support.repository import REPO, child_environment
from support.tiny import Tiny
from support.waiting import eventually
from support.watching import LABELS, detections, frame

CLOSED = schema.JSON_SCHEMA._replace(closed=True)


def validator(shape: Shape, dialect: schema.Dialect = CLOSED) -> Any:
    """Validates against a shape, with no fields beside those declared."""
    jsonschema = pytest.importorskip("jsonschema", reason="the validator of JSON schema is not installed")
    named = {each.name: schema.shape_schema(each, dialect) for each in schema.components([shape])}
    return jsonschema.Draft202012Validator({**schema.shape_schema(shape, dialect), "$defs": named})


def fits(shape: Shape, value: Any) -> Any:
    assert schema.find_mismatch(shape, value, "the answer") == ""
    validator(shape).validate(value)
    return value


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    door = StreamState("rtsp://eve:hunter2@door/live", "door", areas=crossing.areas(save=lambda *_: None))
    with served.served(tiny.model, [door, StreamState("1", "yard")]) as it:
        yield it


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return images.gradient()


# -- answers and events of a running server --------------------------------------------------------------------------


def requests_of(tiny: Tiny, image: np.ndarray) -> Dict[Tuple[str, str], List[Tuple[str, Any, Any]]]:
    """Requests by the route that they are for: path, body, headers. Each is answered with 200."""
    data = served.encoded(image)
    form, of_form = served.multipart(image=data, min_confidence="0.001")
    encoded = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(data).decode()]}
    infer = [
        ("infer", json.dumps({"id": "7", "inputs": [encoded], "parameters": parameters}).encode(), {})
        for parameters in ({"conf": 0.001}, {"conf": "0.001", "classes": "class0", "binary_data_output": False}, None)
    ]
    changes = [{"conf": 0.4, "classes": ["class1", 2]}, {"classes": []}, {"conf": None, "iou": None, "classes": None}]
    known: Dict[Tuple[str, str], List[Tuple[str, Any, Any]]] = {
        ("post", "/v1/detect"): [("?conf=0.001", data, {}), ("?conf=1", data, {}), ("", form, of_form)],
        ("post", "/v1/vision/detection"): [("", form, of_form)],
        ("put", "/api/streams/{name}"): [("", json.dumps(change).encode(), {}) for change in changes],
        ("put", "/api/streams/{name}/areas"): [("", b"{}", {}), ("", b'{"lines": []}', {})],
        ("get", "/api/events"): [("", None, {}), ("?stream=door&limit=3", None, {})],
        ("post", "/v2/models/{model}/infer"): [("", body, headers) for _, body, headers in infer],
        ("post", "/v2/models/{model}/versions/{version}/infer"): [("", infer[0][1], {})],
    }
    return known


def test_answers_of_every_route_are_as_declared(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    sent = requests_of(tiny, image)
    names = {"name": "door", "model": "tiny", "version": "1"}
    checked: Set[str] = set()
    with served.Camera(site.views[0], site.pool, lambda number: image):
        assert site.views[0].wait(2, 10) is not None
        for operation in schemas.OPERATIONS:
            declared = operation.answers.get(schemas.JSON)
            if not isinstance(declared, Shape):
                continue
            path = operation.path.format(**names)
            for more, body, headers in sent.get((operation.method, operation.path), [("", None, {})]):
                answer = site.ask(path + more, body, operation.method.upper(), headers)
                assert answer.status == 200, answer.body
                fits(declared, answer.json)
                checked.add(declared.name)
    assert checked == {each.name for each in schema.components(
        declared for operation in schemas.OPERATIONS for declared in [operation.answers.get(schemas.JSON)] if declared
    )} - {"Tensor", "Line", "Zone", "AreaCounts", "Event"}, "of these the answers are made"  # fmt: skip
    door = site.ask("/api/streams/door").json
    assert "hunter2" not in json.dumps(door) and any(door["plot"]["frames"])


def test_a_classifier_answers_as_declared(image: np.ndarray) -> None:
    model = pipeline.load("cspdensenetb-ref", "ort", weights="random", threads=1).model
    with served.served(model) as site:
        answer = fits(schemas.RESULT, site.ask("/v1/detect", served.encoded(image)).json)
        assert answer["classes"] and "detections" not in answer
        fits(schemas.STATE, site.ask("/api/state").json)
        fits(schemas.MODEL, site.ask(f"/v2/models/{model.name}").json)


def test_tensors_behind_the_json_are_as_declared(site: served.Site, tiny: Tiny) -> None:
    request = {
        "inputs": [{"name": "images", "datatype": "FP32", "shape": list(tiny.batch.shape), "data": None,
                    "parameters": {"binary_data_size": tiny.batch.nbytes}}],
        "parameters": {"binary_data_output": True},
    }  # fmt: skip
    fits(schemas.INFER_REQUEST, request)
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = site.ask("/v2/models/tiny/infer", head + tiny.batch.tobytes(), headers=headers)
    size = int(answer.headers["inference-header-content-length"])
    assert all("data" not in each for each in fits(schemas.INFER_ANSWER, json.loads(answer.body[:size]))["outputs"])


REFUSED: List[Tuple[str, str, Any, Dict[str, str], int]] = [
    ("post", "/v1/detect", b"x", {}, 415),
    ("post", "/v1/detect", b"", {}, 400),
    ("post", "/v1/vision/detection", b"x", {}, 415),
    ("get", "/api/streams/attic", None, {}, 404),
    ("put", "/api/streams/attic", b"{}", {}, 404),
    ("put", "/api/streams/door", b"{", {}, 400),
    ("put", "/api/streams/door", b"[" * 70_000, {}, 413),
    ("get", "/api/streams/attic/picture.jpg", None, {}, 404),
    ("get", "/api/streams/attic/areas", None, {}, 404),
    ("put", "/api/streams/yard/areas", b"{}", {}, 403),
    ("put", "/api/streams/door/areas", b"{", {}, 400),
    ("get", "/api/events?limit=x", None, {}, 400),
    ("get", "/api/events/x/clip.mp4", None, {}, 404),
    ("get", "/page/nothing", None, {}, 404),
    ("get", "/v2/models/other", None, {}, 404),
    ("get", "/v2/models/tiny/versions/2/ready", None, {}, 404),
    ("post", "/v2/models/tiny/infer", b"{}", {}, 400),
    ("post", "/v2/models/tiny/infer", b"{}", {"Content-Encoding": "gzip"}, 415),
    ("get", "/api/state", None, {"Host": "evil.example"}, 403),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status"), REFUSED)
def test_refusals_are_as_declared(
    site: served.Site, method: str, path: str, body: Any, headers: Dict[str, str], status: int
) -> None:
    answer = site.ask(path, body, method.upper(), headers)
    assert answer.status == status
    (operation,) = [
        each
        for each in schemas.OPERATIONS
        if each.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", each.path), path.split("?")[0])
    ]
    assert status in statuses(operation)
    fits(operation.refusals.get(status) or schemas.ERROR, answer.json)


def test_a_server_without_an_engine_says_so_as_declared(site: served.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(site.pool), "healthy", False)
    for path, shape in (("/v2/health/ready", schemas.READY), ("/v2/models/tiny/ready", schemas.MODEL_READY)):
        answer = site.ask(path)
        assert answer.status == 503 and fits(shape, answer.json)["ready"] is False


def read_events(site: served.Site, enough: int, last: str = "") -> List[Tuple[str, Any]]:
    field = f"Last-Event-ID: {last}\r\n" if last else ""
    held, text = site.raw(f"GET /events HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
    while text.count(b"\ndata: ") < enough:
        text += held.recv(1 << 16)
    held.close()
    blocks = [block for block in text.decode().replace("\r\n", "\n").split("\n\n") if "\ndata: " in block]
    return [
        (block.split("event: ")[1].split("\n")[0], json.loads(block.split("data: ")[1].split("\n")[0]))
        for block in blocks
    ]


def test_events_are_as_declared(site: served.Site) -> None:
    site.bus.publish(events.state("door", "live", ""))
    first = site.bus._last - 1
    site.bus.publish(events.detections("door", frame(7), detections(3)))
    site.bus.publish(events.state("door", "no signal", "no response"))
    heard = read_events(site, 3, str(first))
    assert [kind for kind, _ in heard] == ["state", "detections", "state"]
    for kind, event in heard:
        fits({"state": channels.STATE_EVENT, "detections": channels.DETECTIONS_EVENT}[kind], event)
    assert len(heard[1][1]["detections"]) == 3


def test_a_listener_that_is_too_slow_hears_it_as_declared() -> None:
    import asyncio

    async def hear() -> str:
        bus = events.Bus()
        stream = events.sse(bus, limit=1)
        await stream.__anext__()
        for state in ("live", "ended"):
            bus.publish(events.state("door", state, ""))
        block = await stream.__anext__()
        await stream.aclose()
        return block

    block = asyncio.run(hear())
    assert block.startswith("event: lost\n")
    fits(channels.LOST_EVENT, json.loads(block.split("data: ")[1]))


def test_messages_for_a_broker_are_as_declared(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client")
    bus, spool = events.Bus(), Spool(tmp_path / "spool.db")
    target = mqtt.broker("mqtt://127.0.0.1:1/home")
    sender = mqtt.Mqtt(target, [StreamState("0", "door")], bus, labels=LABELS, every_s=0.0, spool=spool)
    sender.start()
    bus.publish(events.detections("door", frame(7), detections(3)))
    bus.publish(events.state("door", "no signal", "no response"))
    eventually(lambda: len(spool) == 2)
    retained = sender.take_retained()
    waiting = spool.after(0, 2)
    sender.close()
    fits(channels.STREAM_MESSAGE, json.loads(retained.pop("home/door/state")))
    assert len(retained) == 3, "the signal, and a count of each label"
    for payload in retained.values():
        fits(channels.DISCOVERY_MESSAGE, json.loads(payload))
    assert [fits(shape, json.loads(payload))["type"] for shape, (_, topic, payload) in zip(
        (channels.DETECTIONS_EVENT, channels.STATE_EVENT), waiting
    )] == ["detections", "state"]  # fmt: skip


# -- checks ----------------------------------------------------------------------------------------------------------

WRONG: List[Tuple[Shape, Any, str]] = [
    (schemas.FILTERS, [], "the body must be a JSON object with conf, iou, classes"),
    (schemas.FILTERS, {"source": "x"}, "unknown setting 'source'; known: conf, iou, classes, "),
    (schemas.FILTERS, {"conf": 7}, "conf must be a number from 0 to 1, or null, not 7"),
    (schemas.FILTERS, {"conf": "0.4"}, "conf must be a number from 0 to 1, or null, not '0.4'"),
    (schemas.FILTERS, {"conf": True}, "conf must be a number from 0 to 1, or null, not True"),
    (schemas.FILTERS, {"iou": float("nan")}, "iou must be a number from 0 to 1, or null, not nan"),
    (schemas.FILTERS, {"classes": {}}, 'classes must be a list of names: ["person", "car"], or null, not an object'),
    (schemas.FILTERS, {"classes": [True]}, "classes must be a list of names"),
    (schemas.INFER_REQUEST, {}, "inputs is required"),
    (schemas.INFER_REQUEST, {"inputs": {}}, "inputs must be a list of 1, not an object"),
    (schemas.INFER_REQUEST, {"id": 7, "inputs": [{}]}, "id must be a string, or null, not 7"),
    (schemas.INFER_REQUEST, {"inputs": [7]}, "inputs[0] must be a JSON object with name"),
    (schemas.INFER_REQUEST, {"inputs": [{"parameters": {"binary_data_size": -1}}]},
     "inputs[0].parameters.binary_data_size must be at least 0, or null, not -1"),
    (schemas.INFER_REQUEST, {"inputs": [{}], "outputs": [{"parameters": {"binary_data": 1}}]},
     "outputs[0].parameters.binary_data must be true or false, not 1"),
    (schemas.INFER_REQUEST, {"inputs": [{}], "parameters": {"conf": "x"}}, "parameters.conf='x': must be a number"),
    (schemas.INFER_REQUEST, {"inputs": [{}], "parameters": {"iou": -1}}, "parameters.iou must be a number from 0 to 1"),
    (schemas.INFER_REQUEST, {"inputs": [{}], "parameters": [1]}, "parameters must be a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "value", "said"), WRONG)
def test_what_does_not_fit_is_named_with_what_does(shape: Shape, value: Any, said: str) -> None:
    with pytest.raises(HTTPRequestError) as caught:
        schema.check(shape, value, "the body", later=schemas.OF_THE_MODEL)
    assert str(caught.value).startswith(said) and caught.value.status == 400


def test_messages_quote_little_of_what_they_refuse() -> None:
    long, errors = "x" * 100_000, []
    for value in (long, [long], {long: long}, int("9" * 4000), [[long]] * 1000):
        for shape, name in ((schemas.FILTERS, "conf"), (schemas.FILTERS, "classes"), (schemas.FILTERS, long),
                            (schemas.INFER_REQUEST, "id"), (schemas.INFER_REQUEST, "outputs")):  # fmt: skip
            error = schema.find_mismatch(shape, {"inputs": [{}], name: value}, "the body", schemas.OF_THE_MODEL)
            errors.append(error)
            assert len(error) < 250
    assert sum(map(bool, errors)) > 15


def test_a_check_is_bounded_by_what_the_json_may_hold() -> None:
    """Ten thousand outputs, the most that `_json` lets through, are refused at the first that does not fit."""
    outputs: List[Any] = [{"name": "x", "parameters": {"binary_data": True}}] * 10_000
    request = {"inputs": [{}], "outputs": outputs}
    assert schema.check(schemas.INFER_REQUEST, request, "the request", schemas.OF_THE_MODEL) is request
    deep: Any = []
    for _ in range(sys.getrecursionlimit() * 2):
        deep = [deep]
    for name in ("id", "outputs", "parameters", "other"):
        schema.find_mismatch(schemas.INFER_REQUEST, {"inputs": [{"data": deep}], name: deep}, "it", ("name",))


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        (Field("number", least=0, most=1), " 0.25 ", 0.25),
        (Field("whole", least=1), "300", 300),
        (Field("flag"), "true", True),
        (Field("flag"), "0", False),
        (Field("texts"), "person, 2,,", ["person", " 2"]),
        (Field("texts"), ", ,", None),
        (Field("text", choices=("a", "b")), "b", "b"),
        (Field("number"), "  ", None),
    ],
)
def test_parameters_of_a_query_are_parsed_by_their_kind(declared: Field, text: str, value: Any) -> None:
    assert schema.parse_text(declared, "x", text) == value


@pytest.mark.parametrize(
    ("declared", "text", "said"),
    [
        (schemas.THRESHOLDS["conf"], "1.1", "x='1.1': must be a number from 0 to 1"),
        (schemas.THRESHOLDS["conf"], "nan", "x='nan': must be a number from 0 to 1"),
        (schemas.THRESHOLDS["iou"], "?" * 500, f"x='{'?' * 40}': must be a number from 0 to 1"),
        (Field("whole", least=1), "0", "x='0': must be at least 1"),
        (Field("whole"), "9" * 5000, f"x='{'9' * 40}': must be an integer"),
        (Field("flag"), "yes", "x='yes': must be true or false"),
        (Field("text", choices=("a", "b")), "c", "x='c': must be one of a, b"),
    ],
)
def test_parameters_that_do_not_fit_are_named(declared: Field, text: str, said: str) -> None:
    with pytest.raises(HTTPRequestError) as caught:
        schema.parse_text(declared, "x", text)
    assert str(caught.value) == said


def test_a_parameter_is_declared_by_one_entry(site: served.Site, image: np.ndarray) -> None:
    """Each threshold is a parameter of the query, a setting of a stream and a parameter of an inference request."""
    operations = document("m")["paths"]
    of_query = {each["name"] for each in operations["/v1/detect"]["post"]["parameters"]}
    described = document("m")["components"]["schemas"]
    of_infer = described["InferRequest"]["properties"]["parameters"]["properties"]
    assert set(schemas.THRESHOLDS) == of_query == set(described["Settings"]["properties"])
    assert set(schemas.THRESHOLDS) < set(of_infer)
    data = served.encoded(image)
    for name, declared in schemas.THRESHOLDS.items():
        text = "7" if declared.kind == "number" else "unicorn"
        assert name in site.ask(f"/v1/detect?{name}={text}", data).json["error"] or text == "unicorn"
        assert site.ask(f"/v1/detect?{name}={text}", data).status == 400


# -- JSON schema -----------------------------------------------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.5, -0.5, 1.5]) | st.sampled_from(["", "a"])
NAMES = st.sampled_from(sorted({
    name for shape in (schemas.FILTERS, schemas.INFER_REQUEST, schemas.STREAM, channels.DETECTIONS_EVENT)
    for name in shape.fields
} | {"binary_data", "binary_data_size", "binary_data_output", "datatype", "name", "shape", "xyxy"}))  # fmt: skip
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=6))


@st.composite
def nearly(draw: Any, declared: schema.Declared) -> Any:
    """A value that is as declared, but for some places where it may be anything."""
    if draw(st.integers(0, 29)) == 0:
        return draw(VALUES)
    if isinstance(declared, Shape):
        names = [name for name in declared.fields if name in declared.required or draw(st.booleans())]
        return {name: draw(nearly(declared.fields[name])) for name in names}
    if declared.nullable and draw(st.integers(0, 5)) == 0:
        return None
    if declared.choices:
        return draw(st.sampled_from(declared.choices))
    if declared.kind == "list":
        least = int(declared.least or 0)
        assert declared.of is not None
        return draw(st.lists(nearly(declared.of), min_size=least, max_size=int(declared.most or 3)))
    if declared.kind == "map":
        assert declared.of is not None
        return draw(st.dictionaries(st.sampled_from("ab"), nearly(declared.of), max_size=2))
    if declared.kind == "object":
        assert declared.of is not None
        return draw(nearly(declared.of))
    kinds = {
        "text": st.sampled_from(["", "x"]),
        "flag": st.booleans(),
        "whole": st.integers(0, 4),
        "number": st.sampled_from([0.25, 1]),
        "texts": st.lists(st.sampled_from(["a", 1]), max_size=2),
    }
    return draw(kinds.get(declared.kind, PLAIN))


COMPARED = (schemas.FILTERS, schemas.INFER_REQUEST, schemas.STREAM, channels.DETECTIONS_EVENT, channels.STREAM_MESSAGE)


@pytest.mark.parametrize("shape", COMPARED, ids=lambda shape: shape.name)
def test_checks_and_json_schema_agree(shape: Shape) -> None:
    """What is declared means the same to our check as to a validator of other people's."""
    other = validator(shape, schema.JSON_SCHEMA)
    verdicts: Set[bool] = set()

    @settings(max_examples=100, deadline=None, database=None)
    @given(nearly(shape))
    def agree(value: Any) -> None:
        try:
            fitting = schema.find_mismatch(shape, value, "the body") == ""
        except HTTPRequestError:  # text that no threshold is: JSON schema knows only that it is text
            return
        verdicts.add(fitting)
        assert fitting == other.is_valid(value), value

    agree()
    assert verdicts == {True, False}


def test_openapi_documents_are_valid() -> None:
    """The schemas are JSON schemas; references lead to components, and every component is used."""
    jsonschema = pytest.importorskip("jsonschema", reason="the validator of JSON schema is not installed")
    described = document("m", ["door"], ["index.html"])
    text = json.dumps(described)
    for name, declared in described["components"]["schemas"].items():
        jsonschema.Draft4Validator.check_schema(declared)
        assert f'"#/components/schemas/{name}"' in text, name
        assert declared["description"], name
    names = [operation.path for operation in schemas.OPERATIONS if operation.method == "get"]
    assert len(names) == len(set(names))


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_reference_is_what_is_declared(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edgecsp.serve.reference", str(tmp_path / "page.md")]
    subprocess.run(words, check=True, env=child_environment(), cwd=REPO, timeout=60)
    assert (tmp_path / "page.md").read_text("utf-8") == reference.render()
    page = (REPO / "docs" / "server-api.md").read_text("utf-8")
    assert page == reference.render(), "type: python -m edgecsp.serve.reference"
    for operation in schemas.OPERATIONS:
        assert f"`{operation.method.upper()} {operation.path}`" in page
    anchors = {line[4:].lower() for line in page.splitlines() if line.startswith("### ")}
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert links and links <= anchors
