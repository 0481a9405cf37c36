"""What Home Assistant is told of a stream, so that it makes a device of it by itself.

Source: home-assistant.io, "MQTT: MQTT discovery"; one message an entity, which all its versions understand.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, Iterator, Tuple

from .. import __version__

PREFIX = "homeassistant"
PROJECT = "edgecsp"


def messages(
    discovery: str, prefix: str, stream: str, title: str, labels: Iterable[str]
) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Topics and JSON objects: a connectivity sensor of a stream, and for each label a sensor that counts it.

    `discovery` is Home Assistant's prefix, `prefix` ours: under it lie "availability", and "STREAM/state" with
    {"state", "counts": {label: n}}.
    """
    node = slug(f"{prefix}_{stream}")
    state_topic = f"{prefix}/{stream}/state"
    ours = {"topic": f"{prefix}/availability"}
    common = {
        "state_topic": state_topic,
        "availability": [ours],
        "device": {
            "identifiers": [node],
            "name": title,
            "manufacturer": PROJECT,
            "model": "stream",
            "sw_version": __version__,
        },
        "origin": {"name": PROJECT, "sw_version": __version__},
    }
    yield (
        f"{discovery}/binary_sensor/{node}/signal/config",
        {
            **common,
            "name": "Signal",
            "unique_id": f"{node}_signal",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.state == 'live' else 'OFF' }}",
        },
    )
    # A count of nothing from a camera that is dead would be a lie: without a picture the sensors are not available.
    live = {"topic": state_topic, "value_template": "{{ 'online' if value_json.state == 'live' else 'offline' }}"}
    for label in labels:
        name = slug(label)
        yield (
            f"{discovery}/sensor/{node}/{name}/config",
            {
                **common,
                "availability": [ours, live],
                "availability_mode": "all",
                "name": label,
                "unique_id": f"{node}_{name}",
                "state_class": "measurement",
                "icon": "mdi:counter",
                "value_template": f"{{{{ value_json.counts.get({json.dumps(label)}, 0) }}}}",
            },
        )


def slug(text: str) -> str:
    """A text as a part of a topic and of an id: letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_").lower() or "x"
