"""Every discovery message held against Home Assistant's published keys: an unknown one is a failure."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from edgecsp.serve import events, homeassistant, homeassistant_areas, mqtt
from edgecsp.serve.areas import StreamAreas
from edgecsp.serve.live import StreamState
from edgecsp.serve.spool import Spool
from edgecsp.track import Line, Zone
from support import home_assistant
from support.crossing import LABELS, areas
from support.watching import detections, frame

pytest.importorskip("jinja2", reason="Home Assistant's templates are Jinja2's")
STREAMS = {"door": "Front door", "Straße 7": "Straße, Nr. 7", "a/b c": 'the "best" camera'}
NAMES = ["traffic light", 'it\'s "odd" {{ 1 }}', "größe", "", "a_b", "a b"]


def announced() -> Dict[str, Any]:
    """All that a site of three streams announces, with every kind of event of lines and zones."""
    ids = homeassistant.Ids("home/box", list(STREAMS), NAMES)
    messages: Dict[str, Any] = {}
    for stream, title in STREAMS.items():
        square = ((0, 0), (0.5, 0), (0.5, 0.5))
        drawn = StreamAreas(
            stream, [Line("gate", ((0, 0.5), (1, 0.5))), Line("Gate 2", ((0, 0.6), (1, 0.6)))],
            [Zone("yard", square), Zone("Zone Z", square, dwell_s=5, max_count=2), Zone("full", square, max_count=0)],
        )  # fmt: skip
        every = [
            *homeassistant.messages("homeassistant", "home/box", stream, title, NAMES, ids),
            *homeassistant_areas.messages("homeassistant", "home/box", title, drawn, ids),
        ]
        assert not set(messages) & {topic for topic, _ in every}, "no topic twice"
        messages.update(every)
    return json.loads(json.dumps(messages))  # type: ignore[no-any-return]


def test_home_assistant_takes_every_message() -> None:
    messages = announced()
    assert list(home_assistant.problems(messages)) == []
    components = [home_assistant.TOPIC.fullmatch(topic)["component"] for topic in messages]  # type: ignore[index]
    assert {each: components.count(each) for each in components} == {
        "binary_sensor": 3,
        "sensor": 3 * (len(NAMES) + 4 + 6),
        "device_automation": 3 * (4 + 2 + 4 + 3),
    }


def test_the_messages_that_a_broker_gets_are_these(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client")
    watched = StreamState("rtsp://10.0.0.9/live", "door", title="Front door", areas=areas())
    watched.publish(frame(), detections(1, labels=LABELS), 1.0)
    target = mqtt.broker("mqtt://127.0.0.1:1/home")
    sender = mqtt.Mqtt(target, [watched], events.Bus(), labels=LABELS, every_s=0.0, spool=Spool(tmp_path / "x.db"))
    retained = sender.take_retained()
    sender.close()
    messages = {topic: json.loads(text) for topic, text in retained.items() if topic.startswith("homeassistant/")}
    assert {topic.split("/")[1] for topic in messages} == set(home_assistant.COMPONENTS)
    assert list(home_assistant.problems(messages)) == []
    # What entities read is what is published.
    read = {message["state_topic"] for message in messages.values() if "state_topic" in message}
    assert read == {"home/door/state"} and read <= set(retained)
    assert all(each["topic"] in {"home/availability", "home/door/state"}
               for message in messages.values() for each in message.get("availability", ()))  # fmt: skip


@pytest.mark.parametrize(
    ("component", "spoil", "problem"),
    [
        ("sensor", lambda it: it.update(colour="red"), "colour is no key"),
        ("sensor", lambda it: it.pop("state_topic"), "state_topic is missing"),
        ("sensor", lambda it: it.update(state_class="counter"), "state_class cannot be"),
        ("sensor", lambda it: it.update(device_class="connectivity"), "device_class cannot be"),
        ("sensor", lambda it: it.update(value_template="{{ value_json.x "), "value_template cannot be"),
        ("sensor", lambda it: it.update(state_topic="home/+/state"), "state_topic cannot be"),
        ("sensor", lambda it: it.update(unique_id="home_box_door_areas_gate_in"), "another entity's"),
        ("sensor", lambda it: it["device"].update(identifiers=[]), "identifiers"),
        ("sensor", lambda it: it["availability"][0].update(state="x"), "state is no key"),
        ("sensor", lambda it: it.update(availability_topic="x"), "exclude each other"),
        ("binary_sensor", lambda it: it.update(state_class="measurement"), "state_class is no key"),
        ("binary_sensor", lambda it: it.update(entity_category="config"), "entity_category cannot be"),
        ("device_automation", lambda it: it.update(unique_id="x"), "unique_id is no key"),
        ("device_automation", lambda it: it.pop("subtype"), "subtype is missing"),
        ("device_automation", lambda it: it.update(automation_type="action"), "automation_type cannot be"),
        ("device_automation", lambda it: it["origin"].pop("name"), "name is missing"),
    ],
)
def test_a_spoiled_message_is_refused(component: str, spoil: Callable[[Any], Any], problem: str) -> None:
    messages = copy.deepcopy(announced())
    topic = next(each for each in reversed(list(messages)) if f"/{component}/" in each)
    spoil(messages[topic])
    assert any(problem in each for each in home_assistant.problems(messages))
