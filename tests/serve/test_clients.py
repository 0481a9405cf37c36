"""What other programs need of an answer: HTTP/1.0 clients, browsers, Prometheus, Home Assistant, Frigate."""

from __future__ import annotations

import itertools
import json
import re
import socket
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pytest

pytest.importorskip("uvicorn")

from edgecsp.serve import events, homeassistant, mqtt, webhooks
from edgecsp.serve.live import StreamState
from edgecsp.serve.metrics import Metrics
from support import served
from support.tiny import Tiny
from support.waiting import eventually
from support.watching import detections, frame


@pytest.fixture
def site(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "door")]) as made:
        yield made


def raw(site: served.Site, request: bytes, until: bytes = b"", most: int = 1 << 20) -> Tuple[bytes, bytes]:
    """Head and body of an answer: all that comes until the connection ends, or until a text has come."""
    with socket.create_connection(("127.0.0.1", site.port), 10) as held:
        held.sendall(request)
        came = b""
        while len(came) < most and not (until and until in came):
            piece = held.recv(1 << 16)
            if not piece:
                break
            came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.mark.parametrize("path", ["/events", "/api/streams/door/video"])
def test_an_old_client_gets_no_chunks(site: served.Site, path: str) -> None:
    until = b": events of edgecsp\n" if path == "/events" else b"Content-Type: image/jpeg\r\n"
    head, body = raw(site, b"GET %b HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode(), until=until)
    if path == "/events":
        assert body.startswith(b": events of edgecsp\n"), body[:80]
    else:
        assert body.startswith(b"--edgecsp-frame\r\nContent-Type: image/jpeg\r\n"), body[:80]
    assert b"transfer-encoding" not in head
    newer, _ = raw(site, b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode(), until=b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in newer


def test_an_old_clients_answer_ends_with_its_connection(site: served.Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 10) as held:
        held.sendall(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        eventually(lambda: site.bus.listeners == 1)
        site.bus.publish(events.state("door", "live", ""))
        site.bus.close()
        came = b"".join(iter(lambda: held.recv(1 << 16), b""))
    head, _, body = came.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.endswith(b"\n\n"), "no chunk of length 0 behind it"
    assert b"event: state\ndata: {" in body


@pytest.mark.parametrize("path", ["/", "/docs", "/page/page.css", "/api/state", "/metrics", "/events", "/no"])
def test_no_answer_may_be_framed(site: served.Site, path: str) -> None:
    head, _ = raw(site, b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode(), until=b"\r\n\r\n")
    policies = [line for line in head.split(b"\r\n") if line.startswith(b"content-security-policy:")]
    assert len(policies) == 1, head
    assert b"frame-ancestors 'none'" in policies[0]


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"no request\r\n\r\n"])
def test_no_refusal_may_be_framed(site: served.Site, request_line: bytes) -> None:
    head, _ = raw(site, request_line)
    assert head.startswith(b"http/1.1 400")
    assert b"content-security-policy: frame-ancestors 'none'" in head


# -- webhooks ------------------------------------------------------------------------------------------------------


def test_two_webhooks_of_one_server_keep_figures_of_their_own(
    site: served.Site, monkeypatch: Any, log_lines: List[str]
) -> None:
    def post(self: Any, event: Any) -> Tuple[int, str]:
        return (200, "") if self.hook.target == "/good/opensesame" else (404, "the server answered 404 Not Found")

    monkeypatch.setattr(webhooks._Posts, "_post", post)
    targets = [webhooks.hook(f"http://127.0.0.1:9/{path}") for path in ("good/opensesame", "bad/opensesame")]
    hooks = webhooks.Webhooks(targets, site.bus)
    hooks.start()
    try:
        for state in ("live", "no signal", "live"):
            site.bus.publish(events.state("door", state, ""))
        eventually(lambda: sum(hooks.sent.values()) == 3 and sum(hooks.dropped.values()) == 3)
        first, second = "http://127.0.0.1:9", "http://127.0.0.1:9 #2"
        assert hooks.sent == {first: 3, second: 0}
        assert hooks.dropped == {first: 0, second: 3}
        metrics = Metrics(site.pool, site.views)
        metrics.webhooks = hooks
        page = metrics.render()[0].decode()
    finally:
        hooks.close()
    assert f'edgecsp_webhook_events_sent_total{{hook="{first}"}} 3.0' in page
    assert f'edgecsp_webhook_events_dropped_total{{hook="{second}"}} 3.0' in page
    assert log_lines == [f"webhook {second}: the server answered 404 Not Found; the event is dropped"]
    assert "opensesame" not in page + "".join(log_lines)


# -- Home Assistant ------------------------------------------------------------------------------------------------

LABELS = (
    "person", "traffic light", "traffic_light", "Traffic Light", "traffic-light", "light", "人", "犬", "🐕", "🐈", "",
    " ",
    "café", "caf", "x", "signal", "a/b", "a+b", "x_2d7116", "_", "__",
)  # fmt: skip
STREAMS = ("door", "Door", "DOOR", "door_traffic", "back-door", "cam1", "door_")


def discovered(prefix: str, streams: Sequence[str], labels: Sequence[str]) -> Dict[Tuple[str, str], Tuple[str, str]]:
    """(stream, label) -> topic and unique id, as `Mqtt` sends them."""
    ids = homeassistant.Ids(prefix, streams, labels)
    made = {}
    for stream in streams:
        sent = list(homeassistant.messages("homeassistant", prefix, stream, stream, labels, ids))
        for key, (topic, said) in zip(("(signal)", *labels), sent):
            made[stream, key] = topic, said["unique_id"]
    return made


def test_ids_are_unique_for_any_name() -> None:
    made = discovered("home/箱", STREAMS, LABELS)
    assert len(made) == len(STREAMS) * (len(LABELS) + 1)
    topics, ids = [topic for topic, _ in made.values()], [name for _, name in made.values()]
    assert len(set(topics)) == len(made)
    assert len(set(ids)) == len(made)
    assert all(re.fullmatch(r"homeassistant/\w+/[a-z0-9_-]+/[a-z0-9_-]+/config", topic, re.ASCII) for topic in topics)
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in ids)


def test_ids_are_the_same_at_every_start() -> None:
    assert discovered("home", STREAMS, LABELS) == discovered("home", STREAMS, LABELS)
    other = discovered("home", STREAMS, [*LABELS, "boat"])
    for key, value in discovered("home", STREAMS, LABELS).items():
        assert other[key] == value, "a label more changes no other's id"


def test_plain_names_have_the_ids_they_always_had() -> None:
    made = discovered("home/box", ["door", "cam-2", "Gate"], ["person", "traffic light", "Hot Dog"])
    node = {"door": "home_box_door", "cam-2": "home_box_cam-2", "Gate": "home_box_gate"}
    short = {"person": "person", "traffic light": "traffic_light", "Hot Dog": "hot_dog"}
    for stream, label in itertools.product(node, short):
        topic, name = made[stream, label]
        assert topic == f"homeassistant/sensor/{node[stream]}/{short[label]}/config"
        assert name == f"{node[stream]}_{short[label]}"


def test_a_count_of_any_label_is_found_by_its_template() -> None:
    jinja2 = pytest.importorskip("jinja2")
    ids = homeassistant.Ids("home", ["door"], LABELS)
    counts = {label: number for number, label in enumerate(LABELS, 1)}
    value = json.loads(json.dumps({"state": "live", "counts": counts}))
    sent = list(homeassistant.messages("homeassistant", "home", "door", "Door", LABELS, ids))[1:]
    shown = [jinja2.Template(said["value_template"]).render(value_json=value) for _, said in sent]
    assert shown == [str(number) for number in counts.values()]


def test_a_broker_is_sent_those_ids(tmp_path: Any) -> None:
    pytest.importorskip("paho.mqtt.client")
    from edgecsp.serve.spool import Spool

    views = [StreamState("0", name) for name in ("Door", "door")]
    bus = events.Bus()
    made = mqtt.Mqtt(
        mqtt.broker("mqtt://127.0.0.1:1/home"), views, bus, labels=("人", "犬"), spool=Spool(tmp_path / "spool.db")
    )
    for name in ("Door", "door"):
        made._seen_labels[name].update(("人", "犬"))
    made.resend_retained()
    sent = made.take_retained()
    made.spool.close()
    assert sum(topic.startswith("homeassistant/sensor/") for topic in sent) == 4
    assert sum(topic.startswith("homeassistant/binary_sensor/") for topic in sent) == 2


# -- Frigate -------------------------------------------------------------------------------------------------------


def test_a_frigate_client_gets_the_20_best(tiny: Tiny, monkeypatch: Any) -> None:
    from dataclasses import replace

    from edgecsp.serve.inference_context import InferenceContext

    scores = np.linspace(0.41, 0.99, 33).astype(np.float32)
    np.random.default_rng(3).shuffle(scores)
    many = replace(detections(33), scores=scores)
    monkeypatch.setattr(InferenceContext, "detect", lambda self, picture, settings: many)
    with served.served(tiny.model) as site:
        body, headers = served.multipart(image=served.encoded(frame().image))
        said = site.ask("/v1/vision/detection", body, headers=headers).json
        whole = site.ask("/v1/detect", served.encoded(frame().image), headers={"Content-Type": "image/png"}).json
    rows = said["predictions"]
    assert said["count"] == len(rows) == 20
    assert [row["confidence"] for row in rows] == pytest.approx(sorted(scores.tolist(), reverse=True)[:20], abs=1e-4)
    assert len(whole["detections"]) == 33, "our own answer has all"
    # Frigate's deepstack.py: detections = np.zeros((20, 6)); detections[i] = [...] for each prediction, in order
    rows_of_frigate = np.zeros((20, 6), np.float32)
    for i, row in enumerate(rows):
        rows_of_frigate[i, 1] = row["confidence"]
