"""What happens at lines and in zones reaches a broker, Home Assistant, webhooks and Prometheus, at a readable rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from edgecsp.serve import channels, events, homeassistant, homeassistant_areas, mqtt
from edgecsp.serve.areas import StreamAreas
from edgecsp.serve.event_throttle import EventThrottle
from edgecsp.serve.live import StreamState
from edgecsp.serve.metrics import Metrics
from edgecsp.serve.schema import find_mismatch
from edgecsp.serve.spool import Spool
from edgecsp.track import Line, Zone
from edgecsp.types import Tracks
from support.crossing import LABELS, YARD, areas, event
from support.waiting import eventually
from support.watching import detections, frame

client = pytest.importorskip("paho.mqtt.client")

# The published schema of a device trigger: home-assistant.io, "MQTT device trigger"; its source is
# homeassistant/components/mqtt/device_trigger.py.
TRIGGER_KEYS = {"automation_type", "topic", "type", "subtype", "device", "payload", "value_template", "origin", "qos",
                "platform"}  # fmt: skip


def falls(stream: StreamAreas) -> None:
    """One object falls through the gate into the yard."""
    for index, y in enumerate(range(0, 110, 5)):
        boxes = detections(1, labels=LABELS, box=(40, y, 60, y + 10))
        stream.update(frame(index * 3), Tracks.of(boxes, np.array([1])))


def view(save: Any = None) -> StreamState:
    made = StreamState("rtsp://eve:hunter2@10.0.0.9/live", "door", title="Front door", areas=areas(save))
    made.publish(frame(), detections(1, labels=LABELS), 1.0)
    return made


def sender(watched: StreamState, bus: events.Bus, tmp_path: Path) -> mqtt.Mqtt:
    target = mqtt.broker("mqtt://127.0.0.1:1/home")
    return mqtt.Mqtt(target, [watched], bus, labels=LABELS, every_s=0.0, spool=Spool(tmp_path / "x.db"))


def test_a_broker_has_a_topic_for_each_area_and_kind(tmp_path: Path) -> None:
    bus, watched = events.Bus(), view()
    made = sender(watched, bus, tmp_path)
    made.start()
    falls(watched.areas)  # type: ignore[arg-type]
    sent = {**event(), "snapshot": "/api/events/x/snapshot.jpg", "clip": None}
    bus.publish(events.area(sent))
    bus.publish(events.area({**sent, "area": "yard", "kind": "enter", "direction": None}))
    eventually(lambda: len(made.spool) == 2)
    waiting, retained = made.spool.after(0, 9), made.take_retained()
    made.close()
    assert [each.topic for each in waiting] == ["home/door/areas/gate/cross", "home/door/areas/yard/enter"]
    assert json.loads(waiting[0].payload) == sent
    assert find_mismatch(channels.AREA_EVENT, sent, "") == ""
    state = json.loads(retained["home/door/state"])
    assert find_mismatch(channels.STREAM_MESSAGE, state, "") == ""
    assert state["areas"]["lines"]["gate"]["in"] == {"square": 1} and state["counts"] == {}


def test_counts_are_retained_when_they_change_and_not_with_the_seconds(tmp_path: Path) -> None:
    watched = view()
    made = sender(watched, events.Bus(), tmp_path)
    assert "home/door/state" in made.take_retained()
    assert made.take_retained() == {}
    falls(watched.areas)  # type: ignore[arg-type]
    assert set(made.take_retained()) == {"home/door/state"}
    # It stays in the yard: only the seconds grow.
    boxes = detections(1, labels=LABELS, box=(40, 105, 60, 115))
    watched.areas.update(frame(66), Tracks.of(boxes, np.array([1])))  # type: ignore[union-attr]
    assert watched.areas.counts()["zones"]["yard"]["time_s"]["square"] > 0  # type: ignore[union-attr]
    assert made.take_retained() == {}
    made.close()


def test_home_assistant_gets_sensors_and_triggers() -> None:
    jinja2 = pytest.importorskip("jinja2")
    stream = StreamAreas(
        "door", [Line("gate", ((0, 0.5), (1, 0.5)), anchor="center")],
        [YARD, Zone("Zone Z", ((0.9, 0), (1, 0), (1, 0.1)), dwell_s=5, max_count=2)],
    )  # fmt: skip
    falls(stream)
    ids = homeassistant.Ids("home", ["door"], LABELS)
    by_topic = dict(homeassistant_areas.messages("homeassistant", "home", "Front door", stream, ids))
    sensors = {topic: entity for topic, entity in by_topic.items() if "/sensor/" in topic}
    triggers = {topic: entity for topic, entity in by_topic.items() if "/device_automation/" in topic}
    assert len(sensors) + len(triggers) == len(by_topic) and len(sensors) == 6
    values = {"state": "live", "areas": stream.counts()}
    shown = {
        entity["name"]: jinja2.Template(entity["value_template"]).render(value_json=values)
        for entity in sensors.values()
    }
    assert shown == {
        "gate in": "1", "gate out": "0", "yard inside": "1", "yard entered": "1", "Zone Z inside": "0",
        "Zone Z entered": "0",
    }  # fmt: skip
    assert len({entity["unique_id"] for entity in sensors.values()}) == 6
    assert sensors["homeassistant/sensor/home_door_areas/gate_in/config"]["state_class"] == "total_increasing"
    assert sensors["homeassistant/sensor/home_door_areas/yard_inside/config"]["state_class"] == "measurement"
    named = [(each["subtype"], each["type"]) for each in triggers.values()]
    assert named == [
        ("gate", "cross in"), ("gate", "cross out"), ("yard", "enter"), ("yard", "leave"),
        ("Zone Z", "enter"), ("Zone Z", "leave"), ("Zone Z", "dwell"), ("Zone Z", "count"),
    ]  # fmt: skip
    for trigger in triggers.values():
        assert trigger["automation_type"] == "trigger" and set(trigger) <= TRIGGER_KEYS
        assert trigger["device"]["identifiers"] == ["home_door"], "the device of the other entities"
    inwards = triggers["homeassistant/device_automation/home_door_areas/gate_cross_in/config"]
    assert inwards["topic"] == "home/door/areas/gate/cross"
    assert jinja2.Template(inwards["value_template"]).render(value_json=event()) == inwards["payload"] == "in"
    for shape, entities in ((channels.DISCOVERY_MESSAGE, sensors), (channels.TRIGGER_MESSAGE, triggers)):
        assert [find_mismatch(shape, entity, "") for entity in entities.values()] == [""] * len(entities)


def test_entities_of_removed_areas_are_removed(tmp_path: Path) -> None:
    watched = view(save=lambda lines, zones: None)
    made = sender(watched, events.Bus(), tmp_path)
    announced = {topic for topic in made.take_retained() if topic.startswith("homeassistant/")}
    watched.areas.replace([], [YARD])  # type: ignore[union-attr]
    after = made.take_retained()
    gone = {topic for topic, payload in after.items() if payload == b""}
    assert gone == {topic for topic in announced if "/gate_" in topic} and len(gone) == 4
    made.resend_retained()
    assert not any("/gate_" in topic for topic in made.take_retained())
    made.close()


def test_at_most_what_a_person_can_read() -> None:
    bus, now = events.Bus(), [100.0]
    heard = bus.subscribe()
    throttle = iter(EventThrottle(heard, 1.0, clock=lambda: now[0]))

    def passes(*sent: Dict[str, Any]) -> List[Any]:
        for each in sent:
            bus.publish(events.area(each))
        bus.publish(events.state("door", f"mark {now[0]}", ""))
        got = []
        while True:
            one = next(throttle)
            if one["type"] == "state":
                return got
            got.append((one["event"]["area"], one["event"]["kind"], one["event"]["direction"]))

    inwards, outwards = event(), event(direction="out")
    entered = event(area="yard", kind="enter", direction=None)
    assert passes(inwards, inwards, outwards, entered, inwards, entered) == [
        ("gate", "cross", "in"), ("gate", "cross", "out"), ("yard", "enter", None),
    ]  # fmt: skip
    now[0] += 0.5
    assert passes(inwards, event("yard")) == [("gate", "cross", "in")], "another stream's"
    now[0] += 0.5
    assert passes(inwards) == [("gate", "cross", "in")]
    heard.close()


def test_prometheus_counts_by_stream_area_label_and_direction() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    from types import SimpleNamespace

    watched = view()
    falls(watched.areas)  # type: ignore[arg-type]
    pool: Any = SimpleNamespace(model=SimpleNamespace(name="x"), healthy=True, restarts=0, depth=0, observe=None)
    metrics = Metrics(pool, [watched, StreamState("1", "attic")])
    text = metrics.render()[0].decode()
    rows = {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("edgecsp_line", "edgecsp_zone"))
    }
    labels = {"stream": "door", "label": "square"}
    line = json.dumps({**labels, "area": "gate", "direction": "in"}, sort_keys=True)
    zone = json.dumps({**labels, "area": "yard"}, sort_keys=True)
    seconds = rows.pop(f"edgecsp_zone_seconds_total{zone}")
    assert 0 < seconds < 2
    assert rows == {
        f"edgecsp_line_crossings_total{line}": 1.0, f"edgecsp_zone_entries_total{zone}": 1.0,
        f"edgecsp_zone_objects{zone}": 1.0,
    }  # fmt: skip
