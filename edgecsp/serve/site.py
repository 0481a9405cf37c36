"""A site in one TOML file: the model, the streams, where it listens, to whom it tells what it sees.

    model = "yolov4-tiny"
    listen = "0.0.0.0:8080"
    token = "file:token"

    [[streams]]
    name = "door"
    source = "env:DOOR_URL"                  # rtsp://user:password@camera/stream
    classes = ["person"]

    [mqtt]
    url = "mqtt://broker/home"
    password = "env:MQTT_PASSWORD"

A path is meant from the file's folder; "env:NAME" and "file:PATH" stand for what is written there. `KEYS` says all that
may be in it: what reads it, the JSON schema and the errors are made of that.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..cache.files import suggest_similar
from ..errors import EdgecspError, SourceError, UnknownName, UsageError
from ..pipeline import Settings
from ..types import Model
from . import mqtt, secret_files, webhooks
from .guard import check_token, is_loopback
from .live import StreamState
from .site_keys import KEYS, LISTS, ConfigKey, line_of, shown_key, unfit
from .streams import check


@dataclass(frozen=True)
class StreamConfig:
    """A stream of a site. `uri` may have a login in it."""

    name: str
    title: str
    uri: str
    conf: Optional[float]
    iou: Optional[float]
    classes: Optional[Tuple[str, ...]]

    def __repr__(self) -> str:
        return f"<Watched {self.name}>"


class ServerConfig:
    """What a site's file says, with its secrets read. Raises `UsageError` that names the file, the line and the key.

    `[key]` is of the upper table; `watched`, `broker` and `hooks` are the rest, `host` and `port` where to listen.
    """

    def __init__(self, place: Path, text: str, said: Mapping[str, Any]) -> None:
        self._reader = reader = _Reader(place, text)
        tables = {name: said.get(name, [] if name in LISTS else None) for name in KEYS if name}
        self._top = reader.table((), {key: value for key, value in said.items() if key not in tables})
        self.host, self.port = reader.address(str(self["listen"]))
        token = self["token"]
        self.token: Optional[str] = None
        if token is not None:
            self.token = reader.told(("token",), lambda: check_token(token, "the site's file"))
        elif not is_loopback(self.host):
            raise reader.error(
                ("listen",), f"{self.host} is not this machine alone: give a token as well, env:NAME or file:PATH"
            )
        self.watched = reader.streams(tables["streams"])
        self.broker, self.mqtt_every_s = reader.mqtt(tables["mqtt"])
        self.hooks = reader.hooks(tables["webhooks"], [each.name for each in self.watched])

    def __getitem__(self, key: str) -> Any:
        return self._top.get(key, KEYS[""][key].default)

    @property
    def model(self) -> str:
        """The model's name, or its file: one beside the site's file comes first."""
        return self._reader.path(str(self["model"]))

    def views(self, model: Model) -> List[StreamState]:
        """A view of each stream, by the classes of the model. Raises `UsageError` when it has none of that name."""
        found = []
        for at, each in enumerate(self.watched):
            classes = each.classes if each.classes is not None else self["classes"]
            key = ("streams", at, "classes") if each.classes is not None else ("classes",)
            ids = None
            if classes is not None:
                ids = self._reader.told(key, lambda names=classes: tuple(model.class_ids(list(names))))
            settings = Settings(
                self["conf"] if each.conf is None else each.conf, self["iou"] if each.iou is None else each.iou, ids
            )
            found.append(StreamState(each.uri, each.name, title=each.title, settings=settings))
        return found


def load(place: Union[str, Path]) -> ServerConfig:
    """A site's file -> the site. Raises `SourceError` (not there), or `UsageError` by file, line and key."""
    place = Path(place)
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        text = place.read_text("utf-8")
    except OSError as error:
        raise SourceError(f"cannot read {place}: {error.strerror}{suggest_similar(place)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is no TOML: {error}") from error
    try:
        said = toml.loads(text)
    except ValueError as error:
        raise UsageError(f"{place} is no TOML: {error}") from error
    return ServerConfig(place, text, said)


class _Reader:
    """Reads tables by `KEYS`, and knows on which line a key stands."""

    def __init__(self, place: Path, text: str) -> None:
        self._place, self._text = place, text

    def error(self, key: Sequence[Union[str, int]], words: str) -> UsageError:
        line = line_of(self._text, key)
        where = f"{self._place}" + (f", line {line}" if line else "")
        return UsageError(f"{where}: {shown_key(key)}: {words}" if key else f"{where}: {words}")

    def told(self, key: Sequence[Union[str, int]], work: Any) -> Any:
        """Work whose errors are this key's."""
        try:
            return work()
        except EdgecspError as error:
            raise self.error(key, str(error)) from error

    def path(self, text: str) -> str:
        """A path from the file's folder, if there is something; else the text as it is."""
        beside = self._place.parent / text
        return str(beside) if text and beside.exists() else text

    def table(self, key: Tuple[Union[str, int], ...], said: Any) -> Dict[str, Any]:
        known = KEYS[str(key[0]) if key else ""]
        if not isinstance(said, dict):
            raise self.error(key, "a table is wanted: " + (f"[[{key[0]}]]" if key[0] in LISTS else f"[{key[0]}]"))
        for name in said:
            if name not in known:
                tables = () if key else tuple(each for each in KEYS if each)
                raise self.error((*key, name), str(UnknownName("key", name, (*known, *tables))))
        for name, what in known.items():
            if what.needed and name not in said:
                raise self.error(key, f"{name} is missing: {what.says}")
        return {name: self._value((*key, name), known[name], value) for name, value in said.items()}

    def _value(self, key: Tuple[Union[str, int], ...], what: ConfigKey, value: Any) -> Any:
        wanted = unfit(what, value)
        if wanted:
            shown = "it" if what.secret else f"{value!r}"
            raise self.error(key, f"{shown} does not fit: {wanted}")
        if isinstance(value, str):
            value = self._meant(key, what, value)
        return (
            tuple(str(each) for each in value)
            if what.kind == "texts"
            else tuple(value)
            if what.kind == "sides"
            else value
        )

    def _meant(self, key: Tuple[Union[str, int], ...], what: ConfigKey, value: str) -> str:
        """The value, or what the environment or a file has for it."""
        kind, separator, name = value.partition(":")
        if not (separator and kind in ("env", "file") and ("env:NAME" in what.says)):
            if what.secret:
                raise self.error(key, "a secret does not stand in the site's file: write env:NAME or file:PATH")
            return value
        if kind == "env":
            found = os.environ.get(name, "")
            if not found:
                raise self.error(key, f"the environment has no {name}, or nothing in it")
            return found.strip()
        place = self._place.parent / name
        try:
            found = (secret_files.read(place) if what.secret else place.read_text("utf-8")).strip()
        except UsageError as error:
            raise self.error(key, str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text in UTF-8"
            raise self.error(key, f"cannot read {place}: {reason}{suggest_similar(place)}") from error
        if not found:
            raise self.error(key, f"{place} is empty")
        return found

    def address(self, listen: str) -> Tuple[str, int]:
        host, _, port = listen.rpartition(":")
        if int(port) > 65535:
            raise self.error(("listen",), f"{port} is no port: from 0 to 65535")
        return host.strip("[]"), int(port)

    def streams(self, said: Any) -> Tuple[StreamConfig, ...]:
        found: List[StreamConfig] = []
        for at, each in enumerate(self._listed("streams", said)):
            table = self.table(("streams", at), each)
            name = table.get("name", f"cam{at + 1}")
            if name in [other.name for other in found]:
                raise self.error(("streams", at, "name"), f"there are two streams called {name!r}")
            uri = self.path(table["source"])
            self.told(("streams", at, "source"), lambda uri=uri: check(uri))
            title = table.get("title", "") or (name if "name" in table else "")
            found.append(StreamConfig(name, title, uri, table.get("conf"), table.get("iou"), table.get("classes")))
        return tuple(found)

    def mqtt(self, said: Any) -> Tuple[Optional[mqtt.Broker], float]:
        if said is None:
            return None, float(KEYS["mqtt"]["every_s"].default)
        table = self.table(("mqtt",), said)
        ca = table.get("ca")
        made = self.told(
            ("mqtt", "url"),
            lambda: mqtt.broker(
                table["url"],
                username=table.get("username"),
                password=table.get("password"),
                ca=None if ca is None else self.path(ca),
                discovery=table.get("discovery", KEYS["mqtt"]["discovery"].default),
            ),
        )
        return made, float(table.get("every_s", KEYS["mqtt"]["every_s"].default))

    def hooks(self, said: Any, names: Sequence[str]) -> Tuple[webhooks.Hook, ...]:
        found = []
        for at, each in enumerate(self._listed("webhooks", said)):
            table = self.table(("webhooks", at), each)
            streams = table.get("streams", ())
            for name in streams:
                if name not in names:
                    raise self.error(("webhooks", at, "streams"), str(UnknownName("stream", name, names)))
            found.append(
                self.told(
                    ("webhooks", at, "url"),
                    lambda table=table, streams=streams: webhooks.hook(
                        table["url"], secret=table.get("secret"), streams=streams
                    ),
                )
            )
        return tuple(found)

    def _listed(self, name: str, said: Any) -> List[Any]:
        if not isinstance(said, list):
            raise self.error((name,), f"a list of tables is wanted: [[{name}]]")
        return said
