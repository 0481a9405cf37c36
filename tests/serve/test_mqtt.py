"""A real MQTT broker that is stopped, killed and started again: nothing is lost, and the order is kept.

Debian: mosquitto
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest

from edgecsp.errors import EngineUnavailable, OutputError, UsageError
from edgecsp.options import Thresholds
from edgecsp.serve import events, mqtt
from edgecsp.serve.event_throttle import EventThrottle
from edgecsp.serve.live import StreamState
from edgecsp.serve.retry import Backoff
from edgecsp.serve.spool import Spool
from edgecsp.system import install
from support import crossing
from support.home_assistant import TOPIC
from support.mosquitto import PASSWORD, Listener, Mosquitto
from support.repository import REPO
from support.waiting import eventually
from support.watching import LABELS, detections, frame, threads

client = pytest.importorskip("paho.mqtt.client")


class Gate(Backoff):
    """Waits until it is opened: so the listener is there before we are."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()

    def next_s(self) -> float:
        self.open.wait(30)
        return 0.02


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.kill()


def happens(bus: events.Bus, first: int, last: int) -> None:
    for index in range(first, last):
        bus.publish(events.detections("door", frame(index), detections(index % 3 + 1)))


def test_what_a_broker_is_told(broker: Mosquitto, tmp_path: Path, log_lines: List[str]) -> None:
    listener, bus = Listener(broker.port), events.Bus()
    view = StreamState(
        "rtsp://eve:hunter2@10.0.0.9/live", "door", title="Front door", settings=Thresholds(classes=(1,))
    )
    sender = mqtt.Mqtt(
        mqtt.broker(broker.url()), [view], bus, labels=LABELS, every_s=0.0, spool=Spool(tmp_path / "x.db")
    )
    sender.start()
    view.publish(frame(0), detections(1), 10.0)
    bus.publish(events.state("door", "live", ""))
    happens(bus, 1, 4)
    eventually(lambda: len(listener.frames()) == 4)
    eventually(lambda: len(sender.spool) == 0)
    assert sender.sent == 4
    state = json.loads(eventually(lambda: listener.on("home/box/door/state"))[-1].payload)
    assert (state["state"], state["counts"]) == ("live", {"thing": 1})
    assert [bytes(m.payload) for m in listener.on("home/box/availability")] == [b"online"]
    _check_discovery(listener)
    sender.close()
    eventually(lambda: [bytes(m.payload) for m in listener.on("home/box/availability")] == [b"online", b"offline"])
    listener.close()
    late = Listener(broker.port)
    kept = {message.topic for message in eventually(lambda: len(late.got) >= 5 and late.got)}
    assert {"home/box/availability", "home/box/door/state"} < kept, "who comes later finds them"
    assert not any(topic.endswith("/events") for topic in kept)
    late.close()
    assert log_lines == [f"mqtt://127.0.0.1:{broker.port}/home/box: connected"]
    assert not any(PASSWORD.encode() in bytes(m.payload) for m in (*listener.got, *late.got))
    assert threads() == []


def _check_discovery(listener: Listener) -> None:
    jinja2 = pytest.importorskip("jinja2")
    said = {m.topic: json.loads(m.payload) for m in listener.got if m.topic.startswith("homeassistant/")}
    assert sorted(said) == [
        "homeassistant/binary_sensor/home_box_door/signal/config",
        "homeassistant/sensor/home_box_door/other_thing/config",
        "homeassistant/sensor/home_box_door/thing/config",
    ], "what was asked for, and what was seen"
    assert all(TOPIC.fullmatch(topic) for topic in said)
    assert len({entity["unique_id"] for entity in said.values()}) == 3
    assert {entity["device"]["name"] for entity in said.values()} == {"Front door"}
    values = {"state": "live", "counts": {"thing": 3}}
    shown = {
        entity["name"]: jinja2.Template(entity["value_template"]).render(value_json=values) for entity in said.values()
    }
    assert shown == {"Signal": "ON", "thing": "3", "other thing": "0"}
    sensor = said["homeassistant/sensor/home_box_door/thing/config"]
    assert sensor["state_topic"] == "home/box/door/state"
    assert [each["topic"] for each in sensor["availability"]] == ["home/box/availability", "home/box/door/state"]
    away = jinja2.Template(sensor["availability"][1]["value_template"]).render(value_json={"state": "no signal"})
    assert away == "offline", "a dead camera counts nothing, which is not to count 0"


def test_a_broker_is_told_what_happens_at_a_line(broker: Mosquitto, tmp_path: Path) -> None:
    """Each kind of each line or zone on a topic of its own; entities of removed ones are taken back."""
    listener, bus = Listener(broker.port), events.Bus()
    watched = StreamState("0", "door", areas=crossing.areas(save=lambda *_: None))
    watched.publish(frame(), detections(1), 1.0)
    sender = mqtt.Mqtt(mqtt.broker(broker.url()), [watched], bus, every_s=0.0, spool=Spool(tmp_path / "x.db"))
    sender.start()
    event = {**crossing.event(), "snapshot": None, "clip": None}
    bus.publish(events.area(event))
    (message,) = eventually(lambda: listener.on("home/box/door/areas/gate/cross"))
    assert json.loads(message.payload) == event and not message.retain
    trigger = "homeassistant/device_automation/home_box_door_areas/gate_cross_in/config"
    (announced,) = eventually(lambda: listener.on(trigger))
    assert TOPIC.fullmatch(trigger) and json.loads(announced.payload)["topic"] == message.topic
    assert watched.areas is not None
    watched.areas.replace([], [crossing.YARD])
    eventually(lambda: [bytes(each.payload) for each in listener.on(trigger)][-1] == b"")
    late = Listener(broker.port)
    eventually(lambda: late.on("home/box/door/state"))
    assert json.loads(late.on("home/box/door/state")[-1].payload)["areas"]["lines"] == {}
    eventually(lambda: late.on(trigger.replace("gate_cross_in", "yard_enter")))  # retained ones come in any order
    assert not late.on(trigger)
    for each in (listener, late, sender):
        each.close()


def test_a_broker_that_is_killed_misses_nothing(broker: Mosquitto, tmp_path: Path, log_lines: List[str]) -> None:
    listener, bus, gate = Listener(broker.port), events.Bus(), Gate()
    sender = mqtt.Mqtt(
        mqtt.broker(broker.url()), [StreamState("0", "door")], bus, every_s=0.0, spool=Spool(tmp_path / "x.db"),
        backoff=gate,
    )  # fmt: skip
    sender.start()
    last = 0
    for _ in range(3):
        gate.open.clear()
        happens(bus, last, last + 10)
        eventually(lambda last=last: len(listener.frames()) == last + 10)
        eventually(lambda: len(sender.spool) == 0)
        # Paused, it takes what is sent and acknowledges nothing: that is under way when it is killed.
        broker.pause()
        happens(bus, last + 10, last + 40)
        eventually(lambda: len(sender.spool) == 30)
        broker.kill()
        eventually(lambda: not sender.connected)
        happens(bus, last + 40, last + 60)
        eventually(lambda: len(sender.spool) == 50)
        broker.start()
        assert listener.ready.wait(10)
        gate.open.set()
        last += 60
        eventually(lambda last=last: len(listener.frames()) == last)
        eventually(lambda: len(sender.spool) == 0)
        assert listener.frames() == list(range(last))
        retained = [bytes(m.payload) for m in listener.on("home/box/availability")]
        assert retained[-1] == b"online", "the broker had forgotten it"
    assert sender.connects == 4
    assert sender.spool.dropped == 0
    sender.close()
    listener.close()
    assert PASSWORD not in str(log_lines)
    assert len(log_lines) >= 2, "people are told"


def test_when_we_are_killed_the_broker_says_so_and_what_waits_is_sent_next_time(
    broker: Mosquitto, tmp_path: Path
) -> None:
    listener = Listener(broker.port)
    words = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from edgecsp.serve import events, mqtt
from edgecsp.serve.live import StreamState
from edgecsp.serve.spool import Spool
from support.watching import detections, frame
bus = events.Bus()
spool = Spool({str(tmp_path / "x.db")!r})
sender = mqtt.Mqtt(mqtt.broker({broker.url()!r}), [StreamState("0", "door")], bus, every_s=0.0, spool=spool)
sender.start()
while not sender.connected:
    time.sleep(0.01)
print("there", flush=True)
for index in range(int(sys.stdin.readline())):
    bus.publish(events.detections("door", frame(index), detections(index % 3 + 1)))
while len(sender.spool) < 20:
    time.sleep(0.01)
print("done", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "there\n"
        eventually(lambda: listener.on("home/box/availability"))
        broker.pause()
        process.stdin.write("20\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
    finally:
        process.kill()
        process.communicate()
    broker.process.send_signal(signal.SIGCONT)
    eventually(lambda: [bytes(m.payload) for m in listener.on("home/box/availability")][-1] == b"offline")
    spool = Spool(tmp_path / "x.db")
    assert len(spool) == 20, "what was not acknowledged is on disk"
    sender = mqtt.Mqtt(mqtt.broker(broker.url()), [StreamState("0", "door")], events.Bus(), spool=spool)
    sender.start()
    eventually(lambda: listener.frames() == list(range(20)))
    eventually(lambda: len(spool) == 0)
    sender.close()
    listener.close()


@pytest.mark.slow
def test_serve_tells_a_broker_what_it_sees(broker: Mosquitto, tmp_path: Path) -> None:
    """All of it: the film of the repository, the model in the box, the command."""
    listener = Listener(broker.port)
    env = {**os.environ, "EDGECSP_MQTT": broker.url(), "EDGECSP_HOME": str(tmp_path)}
    words = [
        sys.executable,
        "-m",
        "edgecsp",
        "serve",
        str(REPO / "benchmarks" / "codes.mp4"),
        "--port",
        "0",
        "-e",
        "ort",
    ]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: len(listener.on("home/box/cam1/events")) > 3, 60)
        seen = [json.loads(message.payload) for message in listener.on("home/box/cam1/events")]
        labels = {row["label"] for event in seen for row in event.get("detections", ())}
        assert "qr" in labels
        assert "homeassistant/sensor/home_box_cam1/qr/config" in {message.topic for message in listener.got}
        assert seen[0]["type"] == "state"
        times = [message.timestamp for message in listener.on("home/box/cam1/events")][1:]
        assert all(later - sooner > 0.8 for sooner, later in zip(times, times[1:])), (
            "one a second, at 20 frames a second"
        )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert f"mqtt://127.0.0.1:{broker.port}/home/box: connected" in said
    assert PASSWORD not in said
    eventually(lambda: bytes(listener.on("home/box/availability")[-1].payload) == b"offline")
    assert json.loads(listener.on("home/box/cam1/state")[-1].payload)["state"] == "ended"
    listener.close()


def test_tls_and_a_login_that_is_wrong(tmp_path: Path, certificate: Path, log_lines: List[str]) -> None:
    broker = Mosquitto(tmp_path, certificate)
    broker.start()
    views = [StreamState("0", "door")]
    try:
        for url, ca, words in (
            (broker.url("mqtts", "localhost"), str(certificate), "connected"),
            (broker.url("mqtts", "localhost").replace(PASSWORD, "swordfish"), str(certificate), "Not authorized"),
            (broker.url("mqtts", "localhost"), None, "certificate"),
        ):
            log_lines.clear()
            target = mqtt.broker(url, ca=ca)
            sender = mqtt.Mqtt(target, views, events.Bus(), spool=Spool(tmp_path / f"{len(words)}.db"))
            sender.start()
            eventually(lambda: log_lines)
            sender.close()
            assert words.lower() in log_lines[0].lower()
            assert not any(secret in str(log_lines) + repr(target) for secret in (PASSWORD, "swordfish"))
    finally:
        broker.kill()


# -- what is worth a message -------------------------------------------------------------------------------------------


def test_only_what_changes_is_told_and_not_too_often() -> None:
    bus, now = events.Bus(), [0.0]
    with bus.subscribe(1000) as heard:
        notices = EventThrottle(heard, 1.0, clock=lambda: now[0])
        got = []
        for index, count in enumerate((1, 1, 2, 2, 3, 3, 3, 1)):  # 5 a second
            now[0] = index * 0.2
            bus.publish(events.detections("door", frame(index), detections(count)))
            event = heard.take()
            assert event is not None
            got += [(said["frame"], now[0]) for said in (*notices._accept(event), *notices._due())]
        # 0 at once; the twos and threes wait, and a second later it is threes; the last waits again.
        assert got == [(0, 0.0), (5, 1.0)]
        now[0] = 5.0
        assert [said["frame"] for said in notices._due()] == [7]
        bus.publish(events.detections("door", frame(8), detections(1)))
        bus.publish(events.state("door", "no signal", ""))
        bus.publish(events.detections("door", frame(9), detections(1)))
    kinds = [(said["type"], said.get("frame")) for said in notices]
    assert kinds == [("state", None), ("detections", 9)], "after an interruption all is new"


def test_a_spool_is_bounded_and_survives(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "x.db"
    spool = Spool(place, most=5)
    for number in range(8):
        spool.put("topic", str(number).encode())
    assert [message.payload for message in spool.after(0, 99)] == [b"3", b"4", b"5", b"6", b"7"]
    assert (len(spool), spool.dropped) == (5, 3)
    first, second = spool.after(0, 2)
    spool.remove(second.number)
    spool.remove(second.number)
    with pytest.raises(OutputError, match="change the prefix of one"):
        Spool(place)
    spool.close()
    again = Spool(place, most=5)
    assert next(message.number for message in again.after(0, 99)) == first.number
    again.put("topic", b"new")
    numbers = [message.number for message in again.after(0, 99)]
    assert numbers == sorted(numbers)
    assert numbers[-1] > second.number + 2
    again.close()
    large = Spool(tmp_path / "y.db", most_bytes=1000)
    for _ in range(10):
        large.put("topic", b"x" * 300)
    assert len(large) == 3
    large.put("topic", b"x" * 5000)
    assert len(large) == 1, "one may be as large as it is"
    large.close()


def test_a_spool_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(OutputError, match="cannot store messages"):
        Spool(tmp_path / "x.db")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://eve:hunter2@x/y", "is not a valid MQTT broker URL"),
        ("mqtt://", "is not a valid MQTT broker URL"),
        ("mqtt://eve:hunter2@x:hunter2", "the URL of the MQTT broker is invalid"),
        ("mqtt://[eve:hunter2@x", "the URL of the MQTT broker is invalid"),
        ("mqtt://eve:hunter2", "the URL of the MQTT broker is invalid"),
        ("mqtt://eve:hunter2@x/a/%23", "# are not allowed"),
        ("mqtt://eve:hunter2@x/a/+/b", r"\+ and # are not allowed"),
    ],
)
def test_what_is_no_broker_is_said_without_its_login(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        mqtt.broker(url)
    assert "hunter2" not in str(caught.value)


def test_without_paho_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    bus = events.Bus()
    with pytest.raises(EngineUnavailable, match=re.escape(install.command("serve"))):
        mqtt.Mqtt(mqtt.broker("mqtt://broker.lan"), [], bus)
    assert bus.listeners == 0


def test_a_broker_is_read_from_its_url() -> None:
    made = mqtt.broker("mqtt://eve:hunt%40er@broker.lan/home/")
    assert (made.host, made.port, made.tls, made.prefix) == ("broker.lan", 1883, False, "home")
    assert (made.username, made.password) == ("eve", "hunt@er")
    assert mqtt.broker("mqtts://broker.lan").port == 8883
    assert re.fullmatch(r"edgecsp/[a-z0-9_-]+", mqtt.broker("mqtt://broker.lan").prefix)
    begun = time.monotonic()
    sender = mqtt.Mqtt(made, [], events.Bus(), spool=Spool(":memory:"))
    sender.close()
    assert time.monotonic() - begun < 1
