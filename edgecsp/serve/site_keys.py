"""All that may stand in a site's file: its keys, what fits them, where they stand, and the JSON schema of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from ..backends import recipes
from ..pipeline import BUNDLED_MODEL

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
LISTEN = r"^(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):[0-9]{1,5}$"


@dataclass(frozen=True)
class ConfigKey:
    """What may stand under a key: its kind, its bounds, its words for people. `secret`: not in the file itself."""

    kind: str
    says: str
    least: Optional[float] = None
    most: Optional[float] = None
    pattern: str = ""
    choices: Tuple[str, ...] = ()
    default: Any = None
    needed: bool = False
    secret: bool = False


_CONF = ConfigKey("number", "lowest score to keep; the model's own when not given", 0, 1)
_IOU = ConfigKey("number", "NMS threshold; the model's own when not given", 0, 1)
_CLASSES = ConfigKey("texts", "names or numbers of the classes to keep; all when not given")
_EVERY = ConfigKey("number", "at most one message about a stream in so many seconds", 0.05, 3600, default=1.0)

KEYS: Dict[str, Dict[str, ConfigKey]] = {
    "": {
        "model": ConfigKey("text", "a name (edgecsp models list), or an ONNX file", default=BUNDLED_MODEL),
        "engine": ConfigKey("text", "see: edgecsp engines", default="auto"),
        "device": ConfigKey("text", "cpu, cuda, or what else the engine offers", default="auto"),
        "threads": ConfigKey("whole", "one a physical core when not given", 1, 1024),
        "precision": ConfigKey("text", "the graph's own when not given", choices=recipes.PRECISIONS),
        "imgsz": ConfigKey("sides", "the network's input, [height, width]; the model's own when not given", 1, 99999),
        "conf": _CONF,
        "iou": _IOU,
        "classes": _CLASSES,
        "listen": ConfigKey(
            "text", "HOST:PORT; any host but this machine's own needs a token", pattern=LISTEN, default="127.0.0.1:8080"
        ),
        "token": ConfigKey("text", "what a caller must know: env:NAME or file:PATH", secret=True),
        "queue": ConfigKey("whole", "requests that may wait for the engine", 1, 4096, default=64),
        "loop": ConfigKey("flag", "begin films again at their end", default=True),
    },
    "streams": {
        "name": ConfigKey(
            "text", "letters, digits, - and _: in addresses and topics; cam1, cam2 ... when not given", pattern=NAME
        ),
        "title": ConfigKey("text", "for people"),
        "source": ConfigKey(
            "text", "a camera's number, rtsp:// or another URL, a video; env:NAME or file:PATH", needed=True
        ),
        "conf": _CONF,
        "iou": _IOU,
        "classes": _CLASSES,
    },
    "mqtt": {
        "url": ConfigKey("text", "mqtt://host:1883/prefix, or mqtts:// for TLS; env:NAME or file:PATH", needed=True),
        "username": ConfigKey("text", "env:NAME or file:PATH, or the name itself"),
        "password": ConfigKey("text", "env:NAME or file:PATH", secret=True),
        "ca": ConfigKey("text", "a file of certificates to trust, for a broker that has one of its own"),
        "discovery": ConfigKey("text", 'Home Assistant\'s prefix; "" for none', default="homeassistant"),
        "every_s": _EVERY,
    },
    "webhooks": {
        "url": ConfigKey("text", "https://host/path; env:NAME or file:PATH", needed=True),
        "secret": ConfigKey("text", "what events are signed with: env:NAME or file:PATH", secret=True),
        "streams": ConfigKey("texts", "names of the streams to tell of; all when not given"),
    },
}
LISTS = ("streams", "webhooks")


def unfit(what: ConfigKey, value: Any) -> str:
    """What is wanted under a key, "" when the value is it."""
    bounds = f" from {what.least:g} to {what.most:g}" if what.least is not None and what.most is not None else ""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    items = value if isinstance(value, list) else []
    least, most = what.least if what.least is not None else 0, what.most if what.most is not None else 0
    texts = [isinstance(each, str) or (isinstance(each, int) and not isinstance(each, bool)) for each in items]
    sides = [isinstance(each, int) and not isinstance(each, bool) and least <= each <= most for each in items]
    fit, wanted = {
        "text": (isinstance(value, str), "a text"),
        "flag": (isinstance(value, bool), "true or false"),
        "whole": (whole and least <= value <= most, f"a whole number{bounds}"),
        "number": (number and least <= value <= most, f"a number{bounds}"),
        "texts": (bool(texts) and all(texts), 'a list of names: ["person", "car"]'),
        "sides": (len(sides) == 2 and all(sides), "[height, width] in pixels"),
    }[what.kind]
    if fit and what.choices and value not in what.choices:
        return "one of " + ", ".join(what.choices)
    if fit and what.pattern and not re.match(what.pattern, value):
        return what.says
    return "" if fit else wanted


def shown_key(key: Sequence[Union[str, int]]) -> str:
    """A key as people read it: streams[1].conf, the first being 1."""
    return "".join(f"[{each + 1}]" if isinstance(each, int) else f".{each}" for each in key).lstrip(".")


def line_of(text: str, key: Sequence[Union[str, int]]) -> Optional[int]:
    """The line on which a key stands, else its table, counted from 1; None when neither is found (an inline table)."""
    *table, name = (*key, "") if key and isinstance(key[-1], int) else (*key,) if key else ("",)
    here: Tuple[Union[str, int], ...] = ()
    seen: Dict[str, int] = {}
    header: Optional[int] = None
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*(\[\[?)\s*\"?([\w-]+)\"?\s*\]", line)
        if opened:
            label = opened[2]
            if opened[1] == "[[":
                seen[label] = seen.get(label, -1) + 1
                here = (label, seen[label])
            else:
                here = (label,)
            if here == tuple(table) or (not table and here[:1] == (name,)):
                header = header or number
            continue
        said = re.match(r"\s*\"?([\w-]+)\"?\s*=", line)
        if said and here == tuple(table) and said[1] == name:
            return number
    return header


def schema() -> Dict[str, Any]:
    """The JSON schema of a site's file (draft 2020-12), for editors and for other programs."""
    made = _table_schema("")
    for name in KEYS:
        if name:
            table = _table_schema(name)
            made["properties"][name] = {"type": "array", "items": table} if name in LISTS else table
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A site of edgecsp", **made}


def _table_schema(name: str) -> Dict[str, Any]:
    keys = KEYS[name]
    made: Dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _key_schema(what) for key, what in keys.items()},
    }
    needed = [key for key, what in keys.items() if what.needed]
    return {**made, "required": needed} if needed else made


def _key_schema(what: ConfigKey) -> Dict[str, Any]:
    bounds = {} if what.least is None else {"minimum": what.least, "maximum": what.most}
    kinds: Dict[str, Dict[str, Any]] = {
        "text": {"type": "string"},
        "flag": {"type": "boolean"},
        "whole": {"type": "integer", **bounds},
        "number": {"type": "number", **bounds},
        "texts": {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
        "sides": {"type": "array", "items": {"type": "integer", **bounds}, "minItems": 2, "maxItems": 2},
    }
    made = {**kinds[what.kind], "description": what.says}
    pattern = what.pattern or (r"^(env|file):." if what.secret else "")
    if pattern:
        made["pattern"] = pattern
    if what.choices:
        made["enum"] = list(what.choices)
    if what.default is not None:
        made["default"] = what.default
    return made
