"""Keys of the site file, declared as `schema.Field`s, and their JSON schema."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .. import backends
from ..options.uses import list_used_options
from .area_schemas import LINE_FIELDS, REQUIRED, ZONE_FIELDS
from .event_store import AFTER_S, BEFORE_S, MAX_DAYS, MAX_MB
from .schema import JSON_SCHEMA, Field, to_schema

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
LISTEN = r"^(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):[0-9]{1,5}$"


@dataclass(frozen=True)
class ConfigKey(Field):
    """Declaration of a key. `secret`: the value must not be in the file itself.

    `list_examples` lists values for editors to offer; others are valid too.
    """

    default: Any = None
    is_required: bool = False
    secret: bool = False
    list_examples: Optional[Callable[[], Tuple[str, ...]]] = None


def _list_engines() -> Tuple[str, ...]:
    return ("auto", *backends.names())


def _declare(use: str, **changes: Any) -> Dict[str, ConfigKey]:
    """Make keys of the options of a detector."""
    keys = {}
    for each in list_used_options(use).values():
        key = ConfigKey(each.kind, each.describe(), each.least, each.most, choices=each.choices, default=each.default)
        keys[each.key] = replace(key, list_examples=_list_engines if each.name == "engine" else None, **changes)
    return keys


def _declare_areas(fields: Mapping[str, Field]) -> Dict[str, ConfigKey]:
    """Make keys of the fields of a line or zone."""
    return {name: ConfigKey(**vars(each), is_required=name in REQUIRED) for name, each in fields.items()}


_EVERY = ConfigKey("number", "minimum seconds between two messages about a stream", 0.05, 3600, default=1.0)

KEYS: Dict[str, Dict[str, ConfigKey]] = {
    "": {
        **_declare("up"),
        "listen": ConfigKey(
            "text", "HOST:PORT; a host other than localhost needs a token", pattern=LISTEN, default="127.0.0.1:8080"
        ),
        "token": ConfigKey("text", "token that clients must send: env:NAME or file:PATH", secret=True),
        "queue": ConfigKey("whole", "maximum number of waiting requests", 1, 4096, default=64),
        "loop": ConfigKey("flag", "restart videos at their end", default=True),
    },
    "streams": {
        "name": ConfigKey(
            "text", "letters, digits, - and _, for URLs and topics; default: cam1, cam2 ...", pattern=NAME
        ),
        "title": ConfigKey("text", "title on the page"),
        "source": ConfigKey(
            "text", "camera number, rtsp:// or other URL, or video file; env:NAME or file:PATH", is_required=True
        ),
        **_declare("stream", default=None),
        "track": ConfigKey("flag", "give objects ids and count them; default: true with lines, zones or editable"),
        "editable": ConfigKey(
            "flag",
            "lines and zones may be changed on the page; saved in SITE.areas.json, which then wins",
            default=False,
        ),
    },
    "streams.lines": _declare_areas(LINE_FIELDS),
    "streams.zones": _declare_areas(ZONE_FIELDS),
    "events": {
        "folder": ConfigKey("text", "folder for snapshots and clips; made if it is missing", is_required=True),
        "clips": ConfigKey(
            "flag", "an mp4 beside each snapshot, of sources in H.264, H.265, AV1 or VP9 read by FFmpeg", default=True
        ),
        "before_s": ConfigKey("number", "seconds of a clip before its event", 0, 60, default=BEFORE_S),
        "after_s": ConfigKey("number", "seconds of a clip after its event", 0, 60, default=AFTER_S),
        "max_mb": ConfigKey("number", "above so many MB the oldest events are removed", 1, 10_000_000, default=MAX_MB),
        "max_days": ConfigKey("number", "older events are removed", 0.01, 36500, default=MAX_DAYS),
    },
    "mqtt": {
        "url": ConfigKey(
            "text", "mqtt://host:1883/prefix, or mqtts:// for TLS; env:NAME or file:PATH", is_required=True
        ),
        "username": ConfigKey("text", "env:NAME, file:PATH, or the name itself"),
        "password": ConfigKey("text", "env:NAME or file:PATH", secret=True),
        "ca": ConfigKey("text", "CA certificate file, for a broker with a private CA"),
        "discovery": ConfigKey("text", 'Home Assistant discovery prefix; "" for none', default="homeassistant"),
        "every_s": _EVERY,
    },
    "webhooks": {
        "url": ConfigKey("text", "https://host/path; env:NAME or file:PATH", is_required=True),
        "secret": ConfigKey("text", "key that signs events: env:NAME or file:PATH", secret=True),
        "streams": ConfigKey("texts", "names of the streams to send; default: all"),
    },
}
LISTS = ("streams", "streams.lines", "streams.zones", "webhooks")


def inner_tables(name: str) -> Dict[str, str]:
    """The tables inside of a table, "" for the file, by their key."""
    return {each.rpartition(".")[2]: each for each in KEYS if each and each.rpartition(".")[0] == name}


def schema() -> Dict[str, Any]:
    """Build the JSON schema of the site file (draft 2020-12), for editors and other programs."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A site of edgecsp", **_table_schema(""),
    }  # fmt: skip


def _table_schema(name: str) -> Dict[str, Any]:
    keys = KEYS[name]
    properties = {key: _key_schema(what) for key, what in keys.items()}
    for key, inner in inner_tables(name).items():
        table = _table_schema(inner)
        properties[key] = {"type": "array", "items": table} if inner in LISTS else table
    required = [key for key, what in keys.items() if what.is_required]
    return {
        "type": "object", "additionalProperties": False, "properties": properties,
        **({"required": required} if required else {}),
    }  # fmt: skip


def _key_schema(what: ConfigKey) -> Dict[str, Any]:
    result = to_schema(replace(what, pattern=what.pattern or (r"^(env|file):." if what.secret else "")), JSON_SCHEMA)
    if what.list_examples:
        result["examples"] = list(what.list_examples())
    if what.default is not None:
        result["default"] = what.default
    return result
