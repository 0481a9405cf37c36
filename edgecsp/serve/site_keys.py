"""Keys of the site file, declared as `schema.Field`s, with their line numbers and JSON schema."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

from .. import backends
from ..pipeline import BUNDLED_MODEL
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


_CONF = ConfigKey("number", "confidence threshold; default: the model's", 0, 1)
_IOU = ConfigKey("number", "NMS IoU threshold; default: the model's", 0, 1)
_CLASSES = ConfigKey("texts", "names or numbers of the classes to detect; default: all")
_EVERY = ConfigKey("number", "minimum seconds between two messages about a stream", 0.05, 3600, default=1.0)

KEYS: Dict[str, Dict[str, ConfigKey]] = {
    "": {
        "model": ConfigKey("text", "a name (edgecsp models list), or an ONNX file", default=BUNDLED_MODEL),
        "engine": ConfigKey("text", "see: edgecsp engines", default="auto", list_examples=_list_engines),
        "device": ConfigKey("text", "cpu, cuda, or another device of the engine", default="auto"),
        "threads": ConfigKey("whole", "default: one per physical core", 1, 1024),
        "precision": ConfigKey("text", "default: the graph's", choices=backends.PRECISIONS),
        "imgsz": ConfigKey("sides", "network input size, [height, width]; default: the model's", 1, 99999),
        "conf": _CONF,
        "iou": _IOU,
        "classes": _CLASSES,
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
        "conf": _CONF,
        "iou": _IOU,
        "classes": _CLASSES,
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
LISTS = ("streams", "webhooks")


def format_key(key: Sequence[Union[str, int]]) -> str:
    """Format a key for people: streams[1].conf, counted from 1."""
    return "".join(f"[{each + 1}]" if isinstance(each, int) else f".{each}" for each in key).lstrip(".")


def line_of(text: str, key: Sequence[Union[str, int]]) -> Optional[int]:
    """Find the line of a key, else of its table, counted from 1; None for neither (an inline table)."""
    *table, name = (*key, "") if key and isinstance(key[-1], int) else (*key,) if key else ("",)
    here: Tuple[Union[str, int], ...] = ()
    indices: Dict[str, int] = {}
    header: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*(\[\[?)\s*\"?([\w-]+)\"?\s*\]", line)
        if opened:
            label = opened[2]
            if opened[1] == "[[":
                indices[label] = indices.get(label, -1) + 1
                here = (label, indices[label])
            else:
                here = (label,)
            if here == tuple(table) or (not table and here[:1] == (name,)):
                header = header or number
            continue
        assignment = re.match(r"\s*\"?([\w-]+)\"?\s*=", line)
        if assignment and here == tuple(table) and assignment[1] == name:
            return number
    return header


def schema() -> Dict[str, Any]:
    """Build the JSON schema of the site file (draft 2020-12), for editors and other programs."""
    result = _table_schema("")
    for name in KEYS:
        if name:
            table = _table_schema(name)
            result["properties"][name] = {"type": "array", "items": table} if name in LISTS else table
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A site of edgecsp", **result}


def _table_schema(name: str) -> Dict[str, Any]:
    keys = KEYS[name]
    result: Dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _key_schema(what) for key, what in keys.items()},
    }
    required = [key for key, what in keys.items() if what.is_required]
    return {**result, "required": required} if required else result


def _key_schema(what: ConfigKey) -> Dict[str, Any]:
    result = to_schema(replace(what, pattern=what.pattern or (r"^(env|file):." if what.secret else "")), JSON_SCHEMA)
    if what.list_examples:
        result["examples"] = list(what.list_examples())
    if what.default is not None:
        result["default"] = what.default
    return result
