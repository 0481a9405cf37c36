"""/v1/detect, CodeProject.AI's address, streams, and what OpenAPI says of all of it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Dict, Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecsp import pipeline
from edgecsp.errors import HTTPRequestError
from edgecsp.media.sinks.rows import to_dict
from edgecsp.media.sources.image_probe import Probe, probe
from edgecsp.options import Thresholds
from edgecsp.serve import app, header, multipart, openapi
from edgecsp.serve.live import StreamState
from edgecsp.types import Frame, Stream
from support import images, served
from support.tiny import Tiny

LOW = "conf=0.001"


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    views = [StreamState("0", "door", title="Front door"), StreamState("1", "yard")]
    with served.served(tiny.model, views) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return images.gradient()


def expected(tiny: Tiny, image: np.ndarray, **settings: Any) -> Dict[str, Any]:
    with pipeline.load(tiny.model, "ort", threads=1, **settings) as detector:
        said: Dict[str, Any] = to_dict(Frame(image, Stream("picture")), detector(image))
    return said


def test_a_picture_is_answered_in_the_words_of_run(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    wanted = expected(tiny, image, conf=0.001)
    assert len(wanted["detections"]) > 3
    data = served.encoded(image)
    plain = site.ask(f"/v1/detect?{LOW}", data, headers={"Content-Type": "image/png"})
    assert plain.status == 200 and plain.json == wanted
    form, headers = served.multipart(note="x", image=data)
    assert site.ask(f"/v1/detect?{LOW}", form, headers=headers).json == {**wanted, "source": "x.jpg"}
    # What curl --data-binary says of itself is not meant.
    assert site.ask(f"/v1/detect?{LOW}", data, headers={"Content-Type": "application/octet-stream"}).status == 200


def test_what_a_request_keeps(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    data, label = served.encoded(image), tiny.model.labels[1]
    found = site.ask(f"/v1/detect?{LOW}&classes={label}&iou=0.9", data).json
    assert found == expected(tiny, image, conf=0.001, iou=0.9, classes=[label])
    assert {row["label"] for row in found["detections"]} == {label}


def test_options_may_be_fields_of_the_form(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    data, labels = served.encoded(image), tiny.model.labels
    form, headers = served.multipart(conf="0.001", classes=labels[1], note="x", image=data)
    found = site.ask(f"/v1/detect?classes={labels[0]}&classes={labels[1]}", form, headers=headers).json
    wanted = expected(tiny, image, conf=0.001, classes=[labels[0], labels[1]])
    assert found["detections"] == wanted["detections"] and len(found["detections"]) > 1
    assert site.ask("/v1/detect?conf=0.5", form, headers=headers).json == {"error": "conf is given twice"}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("conf=x", "conf='x'"),
        ("confidence=0.4", "unknown option 'confidence'; known: conf, iou, classes"),
        ("conf=0.4&conf=0.5", "conf is given twice"),
        ("conf=2", "0 to 1"),
        ("iou=nan", "iou='nan'"),
        ("classes=unicorn", "no class of tiny is called 'unicorn'"),
    ],
)
def test_wrong_words_are_named(site: served.Site, image: np.ndarray, query: str, why: str) -> None:
    said = site.ask(f"/v1/detect?{query}", served.encoded(image))
    assert said.status == 400 and why in said.json["error"]


@pytest.mark.parametrize(
    ("data", "kind", "status", "why"),
    [
        (b"", "image/png", 400, "is empty"),
        (b"GIF89a" + b"\0" * 40, "image/gif", 415, "is a GIF"),
        (b"hello", "image/png", 415, "is text"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "image/jpeg", 400, "JPEG"),
        (b"{}", "application/json", 415, "application/json"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400, "no field image"),
        (b"", "multipart/form-data", 400, "boundary"),
    ],
)
def test_what_is_no_picture(site: served.Site, data: bytes, kind: str, status: int, why: str) -> None:
    said = site.ask("/v1/detect", data, headers={"Content-Type": kind})
    assert said.status == status and why in said.json["error"]


def test_half_a_picture_is_the_senders_fault(site: served.Site, image: np.ndarray) -> None:
    data = served.encoded(np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8))
    said = site.ask("/v1/detect", data[: len(data) // 2])
    assert said.status in (200, 400), "libpng may give what there is"
    assert site.ask("/v1/detect", data[:60]).status == 400


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp"])
def test_sizes_are_read_from_headers(kind: str) -> None:
    for width, height in ((1, 1), (83, 61), (300, 2)):
        data = served.encoded(np.full((height, width, 3), 90, np.uint8), kind)
        found = probe(data)
        assert found is not None and (found.width, found.height, found.doubt) == (width, height, "")
    lossless = cv2.imencode(".webp", np.zeros((61, 83, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert lossless[12:16] == b"VP8L" and probe(lossless) == Probe("WebP", 83, 61)


@given(
    st.binary(max_size=64),
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"BM", b""]),
)
def test_no_header_is_a_crash(rest: bytes, begin: bytes) -> None:
    try:
        header.check(begin + rest, 1000)
    except HTTPRequestError as error:
        assert error.status in (400, 413, 415)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_no_form_is_a_crash(data: bytes, boundary: str) -> None:
    try:
        form = multipart.Form(f"multipart/form-data; boundary={boundary}")
        form.feed(b"--" + boundary.encode() + b"\r\n" + data)
        form.close()
    except HTTPRequestError as error:
        assert error.status == 400


# -- CodeProject.AI ------------------------------------------------------------------------------------------------


def test_codeproject_ai(site: served.Site, tiny: Tiny, image: np.ndarray) -> None:
    """As Frigate's `deepstack` detector and Viseron's `codeprojectai` send and read it."""
    form, headers = served.multipart(api_key="", min_confidence="0.001", image=served.encoded(image, ".jpg"))
    answer = site.ask("/v1/vision/detection", form, headers=headers)
    said = answer.json
    decoded = cv2.imdecode(np.frombuffer(served.encoded(image, ".jpg"), np.uint8), 1)
    wanted = expected(tiny, decoded, conf=0.001)["detections"]
    assert answer.status == 200 and said["success"] is True
    assert said["count"] == len(said["predictions"]) == min(20, len(wanted)) > 3
    for row, other in zip(said["predictions"], wanted):
        assert row["label"] == other["label"] and row["confidence"] == other["score"]
        assert [row[key] for key in ("x_min", "y_min", "x_max", "y_max")] == [round(v) for v in other["xyxy"]]
    assert said["inferenceMs"] <= said["processMs"] and said["code"] == 200 and said["executionProvider"] == "ort"
    scores = [row["confidence"] for row in said["predictions"]]
    assert scores == sorted(scores, reverse=True), "Frigate stops at the first one below 0.4"


def test_codeproject_ai_refuses_in_its_own_words(site: served.Site) -> None:
    form, headers = served.multipart(image=b"x")
    said = site.ask("/v1/vision/detection", form, headers=headers)
    assert said.status == 415 and said.json["success"] is False and said.json["predictions"] == []
    assert "text" in said.json["error"]


# -- streams -------------------------------------------------------------------------------------------------------


def test_streams_are_told_and_changed(site: served.Site) -> None:
    assert [each["name"] for each in site.ask("/api/streams").json["streams"]] == ["door", "yard"]
    change = json.dumps({"conf": 0.4, "classes": ["class1", 2]}).encode()
    said = site.ask("/api/streams/door", change, "PUT")
    assert said.status == 200 and (said.json["conf"], said.json["iou"], said.json["class_ids"]) == (0.4, None, [1, 2])
    assert site.views[0].settings == Thresholds(conf=0.4, classes=(1, 2)) and site.views[1].settings == Thresholds()
    site.ask("/api/streams/door", b'{"conf": null, "classes": null}', "PUT")
    assert site.views[0].settings == Thresholds()
    state = site.ask("/api/state").json
    assert state["engine"] == "ort" and state["model"]["name"] == "tiny" and len(state["streams"]) == 2


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"cnof": 1}', b'{"conf": "1"}', b'{"conf": true}', b'{"conf": NaN}', b'{"iou": 7}',
             b'{"classes": "person"}', b'{"classes": ["unicorn"]}', b'{"classes": [true]}', b'{"conf": 1e999}'],
)  # fmt: skip
def test_a_change_that_cannot_be_meant_changes_nothing(site: served.Site, body: bytes) -> None:
    before = site.views[0].settings
    said = site.ask("/api/streams/door", body, "PUT")
    assert said.status == 400 and said.json["error"] and site.views[0].settings == before


def test_a_change_holds_from_the_next_frame(site: served.Site, image: np.ndarray) -> None:
    view = site.views[1]
    with served.Camera(view, site.pool, lambda number: image):
        site.ask("/api/streams/yard", b'{"conf": 0.001}', "PUT")
        time.sleep(0.3)
        shot = view.latest()
        assert shot is not None and len(shot.result) > 3
        site.ask("/api/streams/yard", b'{"conf": 1.0}', "PUT")
        number = shot.number + 2  # one may have been on its way
        later = view.wait(number, 5)
        assert later is not None and len(later.result) == 0
    site.ask("/api/streams/yard", b'{"conf": null}', "PUT")


def test_pictures_and_video(site: served.Site, image: np.ndarray) -> None:
    shot = site.ask("/api/streams/door/picture.jpg")
    assert (
        shot.headers["content-type"] == "image/jpeg" and cv2.imdecode(np.frombuffer(shot.body, np.uint8), 1) is not None
    )
    with served.Camera(site.views[0], site.pool, lambda number: np.roll(image, number * 5, 1)):
        held, header = site.raw(b"GET /api/streams/door/video HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"multipart/x-mixed-replace; boundary=edgecsp-frame" in header
        data = b""
        while data.count(b"Content-Type: image/jpeg") < 6:
            data += held.recv(1 << 16)
        held.close()
    shown = [b"\xff\xd8\xff" + each for each in data.split(b"\xff\xd8\xff")[1:-1]]
    pictures = [cv2.imdecode(np.frombuffer(each, np.uint8), 1) for each in shown]
    last = pictures[-1]
    assert last.shape == image.shape
    # On a busy machine one comes twice, and "no signal" first.
    assert max(np.abs(last.astype(int) - each).max() for each in pictures if each.shape == last.shape) > 30, "it moves"
    until_nobody_looks(site)


def test_events_come_as_they_happen(site: served.Site) -> None:
    held, header = site.raw(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"text/event-stream" in header
    while site.bus.listeners == 0:
        time.sleep(0.01)
    site.bus.publish({"type": "state", "stream": "door", "state": "live"})
    data = b""
    while b"data: " not in data:
        data += held.recv(1 << 16)
    assert b"event: state" in data and b'"stream": "door"' in data
    held.close()
    until_nobody_looks(site)


def until_nobody_looks(site: served.Site) -> None:
    end = time.monotonic() + 10
    while site.server._app_state.viewers:
        assert time.monotonic() < end, "whoever has gone still has a seat"
        time.sleep(0.02)


def test_metrics_answer(site: served.Site) -> None:
    said = site.ask("/metrics")
    assert said.status == 200 and b"edgecsp_" in said.body and said.headers["content-type"].startswith("text/plain")


def test_unknown_things_are_404_and_wrong_methods_405(site: served.Site) -> None:
    for path in (
        "/nothing",
        "/api/streams/attic",
        "/api/streams/attic/video",
        "/page/..%2fapp.py",
        "/page/x",
        "/v2/models/x",
    ):
        said = site.ask(path)
        assert said.status == 404 and said.json["error"], path
    said = site.ask("/v1/detect")
    assert said.status == 405 and "POST" in said.headers["allow"]


# -- what is written down ------------------------------------------------------------------------------------------


def test_openapi_lists_every_route_and_nothing_else() -> None:
    routed = {
        (route.path, method.lower()) for route in app.routes() for method in route.methods or () if method != "HEAD"
    }
    described = {(path, verb) for path, verbs in openapi.document("x")["paths"].items() for verb in verbs}
    assert described == routed


def test_openapi_lists_what_any_request_may_be_refused_with() -> None:
    """Too many connections, too large a header: refused before the route is known."""
    for path, operations in openapi.document("x")["paths"].items():
        for method, operation in operations.items():
            assert {"429", "431"} <= set(operation["responses"]), f"{method} {path}"


def test_openapi_is_served_and_its_references_hold(site: served.Site) -> None:
    said = site.ask("/openapi.json").json
    text = json.dumps(said)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in said["components"]["schemas"]


def test_many_at_the_same_time(site: served.Site, tiny: Tiny) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (50, 60, 3), np.uint8) for seed in range(8)]
    wanted = [expected(tiny, image, conf=0.001)["detections"] for image in images]
    wrong = []

    def caller(at: int) -> None:
        for _ in range(5):
            said = site.ask(f"/v1/detect?{LOW}", served.encoded(images[at]))
            if said.status != 200 or said.json["detections"] != wanted[at]:
                wrong.append((at, said.status))

    threads = [threading.Thread(target=caller, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_a_classifier_says_what_and_not_where(image: np.ndarray) -> None:
    model = pipeline.load("cspdensenetb-ref", "ort", weights="random", threads=1).model
    with served.served(model) as site:
        said = site.ask("/v1/detect", served.encoded(image)).json
        assert "detections" not in said and len(said["classes"]) >= 5
        form, headers = served.multipart(image=served.encoded(image))
        refused = site.ask("/v1/vision/detection", form, headers=headers)
        assert refused.status == 400 and "has no boxes" in refused.json["error"]
        described = site.ask(f"/v2/models/{model.name}").json
        assert [each["name"] for each in described["outputs"]][-3:] == ["scores", "class_ids", "labels"]
