"""MQTT discovery messages with which Home Assistant creates a device for each stream.

Source: home-assistant.io, "MQTT: MQTT discovery"; one message per entity, which all versions support.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Dict, Iterable, Iterator, Sequence, Set, Tuple

from .. import __version__

PREFIX = "homeassistant"
PROJECT = "edgecsp"


class Ids:
    """Names of streams and labels in topics and ids: unique, and the same at every start.

    A plain name without conflicts becomes its `slug`. A name that differs from another only by case, spaces or
    punctuation, is empty or not ASCII gets a digest appended. `streams` and `labels` are complete lists: labels that
    are seen later do not change an id.
    """

    def __init__(self, prefix: str, streams: Sequence[str], labels: Sequence[str]) -> None:
        nodes = _unique([f"{prefix}_{stream}" for stream in streams], set())
        self._nodes = {stream: nodes[f"{prefix}_{stream}"] for stream in streams}
        self._labels = _unique(labels, set())
        self._used_ids = {f"{node}_signal" for node in self._nodes.values()}
        self._sensors: Dict[Tuple[str, str], str] = {}
        for stream in streams:
            for label in labels:
                self.sensor(stream, label)

    def node(self, stream: str) -> str:
        """Return a stream's part of a topic, which is also its device id."""
        return self._nodes[stream]

    def label(self, label: str) -> str:
        """Return a label's part of a topic."""
        return self._labels.get(label) or _with_digest(label, set(self._labels.values()))

    def sensor(self, stream: str, label: str) -> str:
        """Return the unique id of the sensor that counts a label in a stream."""
        key = stream, label
        if key not in self._sensors:
            # "door" and "traffic light" joined are "door_traffic" and "light" joined.
            plain = f"{self.node(stream)}_{self.label(label)}"
            unique_id = _with_digest(f"{stream}/{label}", self._used_ids, plain) if plain in self._used_ids else plain
            self._used_ids.add(unique_id)
            self._sensors[key] = unique_id
        return self._sensors[key]


def _unique(names: Iterable[str], used: Set[str]) -> Dict[str, str]:
    names = list(dict.fromkeys(names))
    ids = {name: name for name in names if name == slug(name)}
    used |= set(ids)
    for name in names:
        if name not in ids:
            short = slug(name)
            plain = name.isascii() and re.search(r"[A-Za-z0-9-]", name) and short not in used
            ids[name] = short if plain else _with_digest(name, used)
            used.add(ids[name])
    return ids


def _with_digest(name: str, used: Set[str], short: str = "") -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    candidates = (f"{short or slug(name)}_{digest[:size]}" for size in range(6, 65))
    return next(each for each in candidates if each not in used)


def messages(
    discovery: str, prefix: str, stream: str, title: str, labels: Iterable[str], ids: Ids
) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield topics and JSON objects: a connectivity sensor of a stream, and a count sensor for each label.

    `discovery` is Home Assistant's prefix, `prefix` ours, with the topics "availability" and "STREAM/state"
    ({"state", "counts": {label: n}}). `ids` are those of the server.
    """
    node = ids.node(stream)
    common = common_fields(prefix, stream, title, node)
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
    for label in labels:
        yield (
            f"{discovery}/sensor/{node}/{ids.label(label)}/config",
            {
                **while_live(common),
                "name": label or "no name",
                "unique_id": ids.sensor(stream, label),
                "state_class": "measurement",
                "icon": "mdi:counter",
                "value_template": f"{{{{ value_json.counts.get({json.dumps(label, ensure_ascii=False)}, 0) }}}}",
            },
        )


def area_name(name: str) -> str:
    """The part of a topic and id for a line or zone: its name, or that with a digest where it has other signs."""
    return name if name == slug(name) else _with_digest(name, set())


def common_fields(prefix: str, stream: str, title: str, node: str) -> Dict[str, Any]:
    """Fields of all entities of a stream: topics, device and origin."""
    return {
        "state_topic": f"{prefix}/{stream}/state",
        "availability": [{"topic": f"{prefix}/availability"}],
        "device": {
            "identifiers": [node],
            "name": title,
            "manufacturer": PROJECT,
            "model": "stream",
            "sw_version": __version__,
        },
        "origin": {"name": PROJECT, "sw_version": __version__},
    }


def while_live(common: Dict[str, Any]) -> Dict[str, Any]:
    """The fields of an entity that is unavailable while its stream is not live: 0 of a dead camera would be wrong."""
    template = "{{ 'online' if value_json.state == 'live' else 'offline' }}"
    live = {"topic": common["state_topic"], "value_template": template}
    return {**common, "availability": [*common["availability"], live], "availability_mode": "all"}


def slug(text: str) -> str:
    """Convert a text to letters, digits, - and _ for topics and ids."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_").lower() or "x"
