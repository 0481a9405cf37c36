"""Events and messages of the server, and the ways that they leave it, declared once as the routes in `schemas`."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from .area_schemas import AREA_EVENT, COUNTS
from .fields import answer, count, list_of, object_of, text
from .schema import Field, Shape
from .schemas import FRAME, STREAM

_EVENT = {
    "id": count("grows, also from one start of the server to the next; identifies duplicates"),
    "stream": text("its name"),
    "time": text("UTC, ISO 8601"),
}
DETECTIONS_EVENT = answer(
    "DetectionsEvent",
    "the result of a frame",
    {"type": text(choices=("detections",)), **_EVENT, **FRAME},
    ("detections", "classes"),
)
STATE_EVENT = answer("StateEvent", "a stream changed its state", {
    "type": text(choices=("state",)), **_EVENT, "state": STREAM.fields["state"], "reason": STREAM.fields["reason"],
})  # fmt: skip
AREA_MESSAGE = answer("AreaMessage", "what happened at a line or in a zone of a stream", {
    "type": text(choices=("area",)), **_EVENT, "event": object_of(AREA_EVENT),
})  # fmt: skip
LOST_EVENT = answer("LostEvent", "this listener of /events was too slow", {"lost": count("events it did not get")})
STREAM_MESSAGE = answer("StreamMessage", "the latest state of a stream, retained by an MQTT broker", {
    "state": STREAM.fields["state"], "reason": STREAM.fields["reason"],
    "counts": Field("map", "objects in the latest frame, by label", of=count()), "time": _EVENT["time"],
    "areas": object_of(COUNTS),
}, ("areas",))  # fmt: skip

_NAMED_SOFTWARE = {name: text() for name in ("name", "sw_version")}
_DEVICE = {"identifiers": list_of(text()), **_NAMED_SOFTWARE, "manufacturer": text(), "model": text()}
_OF_SOME_ENTITIES = ("availability_mode", "device_class", "entity_category", "icon", "state_class")
DISCOVERY_MESSAGE = answer("DiscoveryMessage", "an entity of Home Assistant, retained by an MQTT broker", {
    **{name: text() for name in ("name", "unique_id", "state_topic", "value_template")},
    "availability": list_of(answer("", "", {"topic": text(), "value_template": text()}, ("value_template",))),
    "device": Field("object", of=answer("", "", _DEVICE)),
    "origin": Field("object", of=answer("", "", _NAMED_SOFTWARE)),
    **{name: text("of some entities") for name in _OF_SOME_ENTITIES},
}, _OF_SOME_ENTITIES)  # fmt: skip
_IN_SOME_TRIGGERS = ("payload", "value_template")
TRIGGER_MESSAGE = answer("TriggerMessage", "a device trigger of Home Assistant for a kind of event", {
    "automation_type": text(choices=("trigger",)),
    "topic": text(), "type": text("cross in, cross out, enter, leave, dwell, count"), "subtype": text("line or zone"),
    "device": DISCOVERY_MESSAGE.fields["device"], "origin": DISCOVERY_MESSAGE.fields["origin"],
    **{name: text("of a line: the direction") for name in _IN_SOME_TRIGGERS},
}, _IN_SOME_TRIGGERS)  # fmt: skip


class Channel(NamedTuple):
    """A way that events leave the server."""

    address: str
    description: str
    messages: Tuple[Shape, ...]


CHANNELS = (
    Channel(
        "GET /events",
        "Server-sent events: `event` is the type or `lost`, `data` the object, `id` its number. `Last-Event-ID` goes "
        "on after that event, within the latest 256.",
        (DETECTIONS_EVENT, STATE_EVENT, AREA_MESSAGE, LOST_EVENT),
    ),
    Channel(
        "POST to each webhook",
        "Headers: `X-Edgecsp-Event` (the type), `X-Edgecsp-Delivery` (the id), and with a secret "
        "`X-Edgecsp-Signature-256` (sha256= and the HMAC of the body in hex). Any status from 200 to 299 accepts it.",
        (DETECTIONS_EVENT, STATE_EVENT, AREA_MESSAGE),
    ),
    Channel("MQTT PREFIX/STREAM/events", "At least once, in order.", (DETECTIONS_EVENT, STATE_EVENT)),
    Channel(
        "MQTT PREFIX/STREAM/areas/AREA/KIND",
        "One topic for each line or zone and kind of event: `home/door/areas/gate/cross`. At least once, in order; at "
        "most one in `every_s` for each, and of a line for each direction.",
        (AREA_EVENT,),
    ),
    Channel("MQTT PREFIX/STREAM/state", "Retained. `PREFIX/availability` is `online` or `offline`.", (STREAM_MESSAGE,)),
    Channel(
        "MQTT homeassistant/COMPONENT/.../config",
        "Retained; for `discovery` of the site file.",
        (DISCOVERY_MESSAGE, TRIGGER_MESSAGE),
    ),
)
