"""docs/reference/messages.md and the pages on events: their examples are what the server sends."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Set

import numpy as np

from edgecsp.serve import areas, channels, events, homeassistant, homeassistant_areas, webhooks
from edgecsp.serve.event_store import EventStore
from edgecsp.types import Tracks
from support import crossing, messages
from support.pages import blocks_of, list_pages
from support.repository import REPO
from support.watching import detections, frame

PAGE = "reference/messages.md"


def examples() -> Dict[str, Dict[str, Any]]:
    """The page's objects by the names of their declarations."""
    objects = [json.loads(block.text) for block in blocks_of(PAGE) if block.language == "json"]
    return {messages.shape_of(each).name: each for each in objects}


def keys(value: Any) -> Any:
    """The names of an object's fields, at every depth but in maps by names of users."""
    if isinstance(value, list):
        return keys(value[0]) if value else None
    return {name: keys(each) for name, each in value.items()} if isinstance(value, dict) else None


def test_every_message_of_every_channel_has_an_example() -> None:
    assert set(examples()) == {shape.name for channel in channels.CHANNELS for shape in channel.messages}


def test_examples_have_the_fields_that_are_sent() -> None:
    shown = examples()
    boxes = Tracks.of(detections(1, labels=crossing.LABELS), np.array([1]))
    numbered = {"id": 1}
    assert keys(shown["DetectionsEvent"]) == keys({**events.detections("door", frame(), boxes), **numbered})
    assert keys(shown["StateEvent"]) == keys({**events.state("door", "live", ""), **numbered})
    store = EventStore()
    sent = crossing.event(stream="door")
    store.add(sent)
    stored = store.find(sent["id"])
    store.close()
    assert stored is not None and keys(shown["Event"]) == keys(stored)
    assert keys(shown["AreaMessage"]) == keys({**events.area(stored), **numbered})


def test_home_assistants_messages_are_those_that_are_sent() -> None:
    shown = examples()
    ids = homeassistant.Ids("home/box", ["door"], crossing.LABELS)
    stream = areas.StreamAreas("door", [crossing.GATE], [crossing.YARD])
    sent = list(homeassistant_areas.messages("homeassistant", "home/box", "door", stream, ids))
    of_a_topic = {each.get("unique_id") or each.get("type"): each for _, each in sent}
    for name in ("DiscoveryMessage", "TriggerMessage"):
        example = shown[name]
        assert example == of_a_topic[example.get("unique_id") or example["type"]]


def test_a_signature_is_checked_as_it_is_made() -> None:
    (code,) = (block.text for block in blocks_of(PAGE) if block.language == "python")
    names: Dict[str, Any] = {}
    exec(code, names)
    body = b'{"type": "area"}'
    assert names["is_signed"](body, webhooks.signature("key", body), "key")
    assert not names["is_signed"](body + b" ", webhooks.signature("key", body), "key")


def test_metrics_of_the_pages_exist() -> None:
    text = "".join((REPO / "docs" / page).read_text("utf-8") for page in list_pages())
    named: Set[str] = {name.rsplit("_total", 1)[0] for name in re.findall(r"`edgecsp_([a-z]+_[a-z_]+)`", text)}
    known = set(re.findall(r'"(?:edgecsp_)?([a-z_]+)"', (REPO / "edgecsp" / "serve" / "metrics.py").read_text("utf-8")))
    assert len(named) > 4 and named <= known


def test_the_page_on_engines_has_the_engine_that_is_tested() -> None:
    """CONTRIBUTING.md's is built and tested by tests/contract/test_engine_packages.py."""
    tested = (REPO / "CONTRIBUTING.md").read_text("utf-8")
    shown = [block.text for block in blocks_of("how-to/engine.md") if block.language in ("python", "text")]
    assert len(shown) == 3 and all(text in tested for text in shown)
