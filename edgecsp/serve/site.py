"""Server configuration in one TOML file: model, streams with lines and zones, address, events, MQTT and webhooks.

    model = "yolov4-tiny"
    listen = "0.0.0.0:8080"
    token = "file:token"

    [[streams]]
    name = "door"
    source = "env:DOOR_URL"                  # rtsp://user:password@camera/stream
    classes = ["person"]

    [[streams.lines]]
    name = "gate"
    points = [[0.1, 0.6], [0.9, 0.6]]

    [mqtt]
    url = "mqtt://broker/home"
    password = "env:MQTT_PASSWORD"

Paths are relative to the file's folder; "env:NAME" and "file:PATH" are replaced by the content found there. `KEYS`
declares all keys; the reader, the JSON schema and the error messages follow from it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..cache.files import suggest_similar
from ..cache.toml_file import TomlFile
from ..errors import EdgecspError, UnknownName, UsageError
from ..options import Options, Thresholds
from ..options.uses import list_used_options
from ..track import Line, Zone
from ..track.areas import require_unique
from ..types import Model
from . import areas, mqtt, secret_files, webhooks
from .areas import StreamAreas
from .areas_file import AreasFile
from .guard import check_token, is_loopback
from .live import StreamState
from .schema import describe_mismatch, find_mismatch
from .site_keys import KEYS, LISTS, ConfigKey, inner_tables
from .streams import check

THRESHOLDS = tuple(list_used_options("stream").values())


@dataclass(frozen=True)
class StreamConfig:
    """Configuration of one stream. `uri` may contain credentials."""

    name: str
    title: str
    uri: str
    thresholds: Mapping[str, Any]
    is_tracked: bool = False
    is_editable: bool = False
    lines: Tuple[Mapping[str, Any], ...] = ()
    zones: Tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"<StreamConfig {self.name}>"


@dataclass(frozen=True)
class EventsConfig:
    """Configuration of events: the folder of snapshots and clips, its bounds, and how long clips are."""

    folder: Path
    clips: bool
    before_s: float
    after_s: float
    max_mb: float
    max_days: float


class ServerConfig:
    """Configuration of a server, with its secrets read. Raises `UsageError` that names the file, line and key.

    `[key]` reads the top-level table; `stream_configs`, `broker`, `hooks` and `events_config` are the other tables,
    `host` and `port` the address to listen on.
    """

    def __init__(self, file: TomlFile) -> None:
        self._reader, document = _Reader(file), file.document
        reader = self._reader
        tables = {name: document.get(name, [] if name in LISTS else None) for name in inner_tables("")}
        self._top = reader.table((), {key: value for key, value in document.items() if key not in tables})
        self.host, self.port = reader.address(str(self["listen"]))
        token = self["token"]
        self.token: Optional[str] = None
        if token is not None:
            self.token = reader.with_key_errors(("token",), lambda: check_token(token, "the site's file"))
        elif not is_loopback(self.host):
            raise reader.error(
                ("listen",), f"{self.host} is reachable by others: set a token as well, env:NAME or file:PATH"
            )
        self.stream_configs = reader.streams(tables["streams"])
        self.broker, self.mqtt_every_s = reader.mqtt(tables["mqtt"])
        self.hooks = reader.hooks(tables["webhooks"], [each.name for each in self.stream_configs])
        self.events_config = reader.events(tables["events"])
        self._areas_file = AreasFile(file.path)

    def __getitem__(self, key: str) -> Any:
        return self._top.get(key, KEYS[""][key].default)

    @property
    def options(self) -> Options:
        """Options of the detector."""
        values = {option.name: self[option.key] for option in list_used_options("up").values()}
        return Options(**{**values, "model": self.model})

    @property
    def model(self) -> str:
        """Name or path of the model; a file next to the site file takes precedence."""
        return self._reader.path(str(self["model"]))

    def views(self, model: Model) -> List[StreamState]:
        """Create the state of each stream. Raises `UsageError` for classes that the model does not have."""
        states = []
        for at, each in enumerate(self.stream_configs):
            values = {**{option.name: self[option.key] for option in THRESHOLDS}, **each.thresholds}
            if values["classes"] is not None:
                key = ("streams", at, "classes") if "classes" in each.thresholds else ("classes",)
                names = list(values["classes"])
                values["classes"] = self._reader.with_key_errors(key, lambda names=names: tuple(model.class_ids(names)))
            stream_areas = self._areas(at, each, model) if each.is_tracked else None
            settings = Thresholds(**values)
            states.append(StreamState(each.uri, each.name, title=each.title, settings=settings, areas=stream_areas))
        return states

    def _areas(self, at: int, config: StreamConfig, model: Model) -> StreamAreas:
        """Create the lines and zones of a stream. Raises `UsageError` for a model without boxes, or its classes."""
        attribute = self._reader.with_key_errors
        attribute(
            ("streams", at, "track"), lambda: model.require_boxes("tracks need boxes, and this model is a classifier")
        )
        lines, zones = (
            [
                attribute(("streams", at, name, k, "classes"), partial(areas.from_dict, kind, table, model))
                for k, table in enumerate(tables)
            ]
            for name, kind, tables in (("lines", Line, config.lines), ("zones", Zone, config.zones))
        )
        if not config.is_editable:
            return StreamAreas(config.name, lines, zones)
        lines, zones = self._areas_file.read(config.name, model) or (lines, zones)
        return StreamAreas(config.name, lines, zones, save=self._areas_file.save(config.name))


def load(place: Union[str, Path]) -> ServerConfig:
    """Load a site file. Raises `SourceError` (cannot be read), or `UsageError` with file, line and key."""
    return ServerConfig(TomlFile(place))


class _Reader:
    """Reads tables according to `KEYS`; errors name the line of the key."""

    def __init__(self, file: TomlFile) -> None:
        self._place, self._file, self.error = file.path, file, file.error

    def with_key_errors(self, key: Sequence[Union[str, int]], work: Any) -> Any:
        """Call `work` and attribute its errors to a key."""
        try:
            return work()
        except EdgecspError as error:
            raise self.error(key, str(error)) from error

    def path(self, text: str) -> str:
        """Resolve a path relative to the file's folder, if it exists; else return the text unchanged."""
        beside = self._place.parent / text
        return str(beside) if text and beside.exists() else text

    def table(self, key: Tuple[Union[str, int], ...], values: Any) -> Dict[str, Any]:
        table = ".".join(each for each in key if isinstance(each, str))
        known = KEYS[table]
        if not isinstance(values, dict):
            raise self.error(key, "must be a table: " + (f"[[{table}]]" if table in LISTS else f"[{table}]"))
        tables = inner_tables(table)
        self._file.require_known(key, values, (*known, *tables))
        for name, what in known.items():
            if what.is_required and name not in values:
                raise self.error(key, f"{name} is required: {what.description}")
        return {name: self._value((*key, name), known[name], value) for name, value in values.items() if name in known}

    def _value(self, key: Tuple[Union[str, int], ...], what: ConfigKey, value: Any) -> Any:
        mismatch = describe_mismatch(what, value)
        if not mismatch and what.kind == "list" and find_mismatch(what, value, ""):
            mismatch = what.description
        if mismatch:
            quoted = "the value" if what.secret else f"{value!r}"
            raise self.error(key, f"{quoted} is invalid: must be {mismatch}")
        if isinstance(value, str):
            value = self._resolve(key, what, value)
        if what.kind == "texts":
            return tuple(str(each) for each in value)
        return tuple(value) if isinstance(value, list) else value

    def _resolve(self, key: Tuple[Union[str, int], ...], what: ConfigKey, value: str) -> str:
        """Return the value, or what an environment variable or a file holds for it."""
        kind, separator, name = value.partition(":")
        if not (separator and kind in ("env", "file") and ("env:NAME" in what.description)):
            if what.secret:
                raise self.error(key, "secrets are not allowed in the site file: use env:NAME or file:PATH")
            return value
        if kind == "env":
            value_text = os.environ.get(name, "")
            if not value_text:
                raise self.error(key, f"the environment variable {name} is not set or empty")
            return value_text.strip()
        place = self._place.parent / name
        try:
            value_text = (secret_files.read(place) if what.secret else place.read_text("utf-8")).strip()
        except UsageError as error:
            raise self.error(key, str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise self.error(key, f"cannot read {place}: {reason}{suggest_similar(place)}") from error
        if not value_text:
            raise self.error(key, f"{place} is empty")
        return value_text

    def address(self, listen: str) -> Tuple[str, int]:
        host, _, port = listen.rpartition(":")
        if int(port) > 65535:
            raise self.error(("listen",), f"port {port} is invalid: must be 0 to 65535")
        return host.strip("[]"), int(port)

    def streams(self, entries: Any) -> Tuple[StreamConfig, ...]:
        configs: List[StreamConfig] = []
        for at, each in enumerate(self._require_list("streams", entries)):
            table = self.table(("streams", at), each)
            name = table.get("name", f"cam{at + 1}")
            if name in [other.name for other in configs]:
                raise self.error(("streams", at, "name"), f"two streams are named {name!r}")
            uri = self.path(table["source"])
            self.with_key_errors(("streams", at, "source"), lambda uri=uri: check(uri))
            title = table.get("title", "") or (name if "name" in table else "")
            thresholds = {option.name: table[option.key] for option in THRESHOLDS if option.key in table}
            lines, zones = self._area_tables(at, each, "lines", Line), self._area_tables(at, each, "zones", Zone)
            areas_now = [areas.from_dict(Line, each) for each in lines] + [
                areas.from_dict(Zone, each) for each in zones
            ]
            self.with_key_errors(("streams", at), partial(require_unique, areas_now))
            is_editable = table.get("editable", False)
            is_tracked = table.get("track", bool(lines or zones or is_editable))
            if not is_tracked and (lines or zones or is_editable):
                raise self.error(("streams", at, "track"), "lines, zones and editable need tracks: remove it")
            configs.append(StreamConfig(name, title, uri, thresholds, is_tracked, is_editable, lines, zones))
        return tuple(configs)

    def _area_tables(self, at: int, stream: Mapping[str, Any], name: str, kind: Any) -> Tuple[Mapping[str, Any], ...]:
        """Read the lines or the zones of a stream; the model's classes are checked later."""
        tables = []
        for k, each in enumerate(self._require_list(f"streams.{name}", stream.get(name, []), ("streams", at, name))):
            key = ("streams", at, name, k)
            table = self.table(key, each)
            self.with_key_errors(key, partial(areas.from_dict, kind, table))
            tables.append(table)
        return tuple(tables)

    def events(self, entries: Any) -> Optional[EventsConfig]:
        if entries is None:
            return None
        table = {name: what.default for name, what in KEYS["events"].items()}
        table.update(self.table(("events",), entries))
        return EventsConfig(**{**table, "folder": self._place.parent / table["folder"]})

    def mqtt(self, entries: Any) -> Tuple[Optional[mqtt.Broker], float]:
        if entries is None:
            return None, float(KEYS["mqtt"]["every_s"].default)
        table = self.table(("mqtt",), entries)
        ca = table.get("ca")
        broker = self.with_key_errors(
            ("mqtt", "url"),
            lambda: mqtt.broker(
                table["url"],
                username=table.get("username"),
                password=table.get("password"),
                ca=None if ca is None else self.path(ca),
                discovery=table.get("discovery", KEYS["mqtt"]["discovery"].default),
            ),
        )
        return broker, float(table.get("every_s", KEYS["mqtt"]["every_s"].default))

    def hooks(self, entries: Any, names: Sequence[str]) -> Tuple[webhooks.Hook, ...]:
        hooks = []
        for at, each in enumerate(self._require_list("webhooks", entries)):
            table = self.table(("webhooks", at), each)
            streams = table.get("streams", ())
            for name in streams:
                if name not in names:
                    raise self.error(("webhooks", at, "streams"), str(UnknownName("stream", name, names)))
            hooks.append(
                self.with_key_errors(
                    ("webhooks", at, "url"),
                    lambda table=table, streams=streams: webhooks.hook(
                        table["url"], secret=table.get("secret"), streams=streams
                    ),
                )
            )
        return tuple(hooks)

    def _require_list(self, name: str, entries: Any, key: Tuple[Union[str, int], ...] = ()) -> List[Any]:
        if not isinstance(entries, list):
            raise self.error(key or (name,), f"must be a list of tables: [[{name}]]")
        return entries
