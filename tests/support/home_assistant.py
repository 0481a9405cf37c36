"""The MQTT discovery messages that Home Assistant takes, from its documentation and written strictly.

Sources: home-assistant.io, "MQTT", "MQTT sensor", "MQTT binary sensor", "MQTT device trigger", "Sensor", "Binary
sensor" (2025.1); what a key may hold is `homeassistant/components/mqtt/schemas.py`'s and `discovery.py`'s. Home
Assistant drops keys that it does not know; here such a key is a problem, since it would do nothing.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Set, Tuple

Check = Callable[[Any], bool]

TOPIC = re.compile(r"homeassistant/(?P<component>\w+)/(?:(?P<node>[a-zA-Z0-9_-]+)/)?(?P<object>[a-zA-Z0-9_-]+)/config")
ICON = re.compile(r"[a-z0-9]+:[a-z0-9-]+")
URL = re.compile(r"(https?|homeassistant)://\S+")
SENSOR_CLASSES = """
    apparent_power aqi area atmospheric_pressure battery blood_glucose_concentration carbon_dioxide carbon_monoxide
    conductivity current data_rate data_size date distance duration energy energy_distance energy_storage enum
    frequency gas humidity illuminance irradiance moisture monetary nitrogen_dioxide nitrogen_monoxide nitrous_oxide
    ozone ph pm1 pm10 pm25 power power_factor precipitation precipitation_intensity pressure reactive_power
    signal_strength sound_pressure speed sulphur_dioxide temperature timestamp volatile_organic_compounds
    volatile_organic_compounds_parts voltage volume volume_flow_rate volume_storage water weight wind_direction
    wind_speed
"""
BINARY_CLASSES = """
    battery battery_charging carbon_monoxide cold connectivity door garage_door gas heat light lock moisture motion
    moving occupancy opening plug power presence problem running safety smoke sound tamper update vibration window
"""


def text(value: Any) -> bool:
    return isinstance(value, str)


def some_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def name(value: Any) -> bool:
    return value is None or some_text(value)


def topic(value: Any) -> bool:
    """A topic to subscribe to (MQTT 3.1.1, 4.7); a wildcard would be taken, and be wrong for a state."""
    return some_text(value) and len(value.encode()) <= 65535 and not set(value) & set("\0+#")


def template(value: Any) -> bool:
    """A Jinja2 template that compiles; `sum` and `get` are Jinja2's and Python's own, as Home Assistant has them."""
    import jinja2

    try:
        jinja2.Environment().parse(value)
    except (jinja2.TemplateError, TypeError):
        return False
    return some_text(value)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def icon(value: Any) -> bool:
    return isinstance(value, str) and ICON.fullmatch(value) is not None


def url(value: Any) -> bool:
    return isinstance(value, str) and URL.fullmatch(value) is not None


def qos(value: Any) -> bool:
    return value in (0, 1, 2) and not isinstance(value, bool)


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_list(value: Any) -> bool:
    return isinstance(value, list)


def one_of(*values: str) -> Check:
    return lambda value: value in values


def texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(some_text, value))


def connections(value: Any) -> bool:
    return isinstance(value, list) and all(texts(pair) and len(pair) == 2 for pair in value)


class Fields(NamedTuple):
    """Keys that must be there and keys that may, with what they hold."""

    required: Dict[str, Check]
    optional: Dict[str, Check]


DEVICE = Fields({}, {
    "identifiers": texts, "connections": connections, "name": some_text, "manufacturer": text, "model": text,
    "model_id": text, "hw_version": text, "sw_version": text, "serial_number": text, "suggested_area": text,
    "via_device": text, "configuration_url": url,
})  # fmt: skip
ORIGIN = Fields({"name": some_text}, {"sw_version": text, "support_url": url})
AVAILABILITY = Fields(
    {"topic": topic}, {"payload_available": text, "payload_not_available": text, "value_template": template}
)
ENTITY = Fields(
    # A device needs a unique id; an origin is recommended, and what the log of Home Assistant names.
    {"state_topic": topic, "unique_id": some_text, "device": is_object, "origin": is_object},
    {
        "name": name, "value_template": template, "qos": qos, "encoding": text, "availability": is_list,
        "availability_mode": one_of("all", "any", "latest"), "availability_topic": topic,
        "availability_template": template, "payload_available": text, "payload_not_available": text,
        "enabled_by_default": flag, "entity_category": one_of("diagnostic"), "entity_picture": url, "icon": icon,
        "json_attributes_topic": topic, "json_attributes_template": template, "object_id": some_text,
        "platform": one_of("mqtt"), "expire_after": number, "force_update": flag,
    },
)  # fmt: skip
COMPONENTS = {
    "sensor": Fields(ENTITY.required, {
        **ENTITY.optional, "device_class": one_of(*SENSOR_CLASSES.split()), "unit_of_measurement": some_text,
        "state_class": one_of("measurement", "measurement_angle", "total", "total_increasing"), "options": texts,
        "last_reset_value_template": template, "suggested_display_precision": number,
    }),
    "binary_sensor": Fields(ENTITY.required, {
        **ENTITY.optional, "device_class": one_of(*BINARY_CLASSES.split()), "payload_on": text, "payload_off": text,
        "off_delay": number,
    }),
    "device_automation": Fields(
        {
            "automation_type": one_of("trigger"), "topic": topic, "type": some_text, "subtype": some_text,
            "device": is_object,
        },
        {"payload": some_text, "value_template": template, "qos": qos, "platform": one_of("device_automation"),
         "origin": is_object},
    ),
}  # fmt: skip


def problems(messages: Mapping[str, Any]) -> Iterator[str]:
    """Find what Home Assistant would refuse or ignore of discovery messages by topic."""
    unique_ids: Set[Tuple[str, str]] = set()
    for where, message in messages.items():
        match = TOPIC.fullmatch(where)
        if match is None or match["component"] not in COMPONENTS:
            yield f"{where}: not a topic of a known component"
            continue
        component = match["component"]
        yield from _of_fields(where, message, COMPONENTS[component])
        yield from _of_parts(where, message)
        if component == "device_automation":
            continue
        if (component, message.get("unique_id")) in unique_ids:
            yield f"{where}: unique_id is another entity's too"
        unique_ids.add((component, message.get("unique_id")))
        if "availability" in message and "availability_topic" in message:
            yield f"{where}: availability and availability_topic exclude each other"
        if "options" in message and ("state_class" in message or message.get("device_class") != "enum"):
            yield f"{where}: options are those of the device class enum, without a state class"


def _of_parts(where: str, message: Mapping[str, Any]) -> Iterator[str]:
    for key, fields in (("device", DEVICE), ("origin", ORIGIN)):
        if isinstance(message.get(key), dict):
            yield from _of_fields(f"{where} {key}", message[key], fields)
    device = message.get("device")
    if isinstance(device, dict) and not device.get("identifiers") and not device.get("connections"):
        yield f"{where}: the device has neither identifiers nor connections"
    for each in message.get("availability", ()):
        yield from _of_fields(f"{where} availability", each, AVAILABILITY)


def _of_fields(where: str, message: Any, fields: Fields) -> Iterator[str]:
    if not isinstance(message, dict):
        yield f"{where}: no object"
        return
    known = {**fields.required, **fields.optional}
    yield from (f"{where}: {key} is missing" for key in fields.required if key not in message)
    for key, value in message.items():
        if key not in known:
            yield f"{where}: {key} is no key of it"
        elif not known[key](value):
            yield f"{where}: {key} cannot be {value!r}"
