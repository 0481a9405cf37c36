"""Send detections to an MQTT broker: at least once, in order, and also those of the time it was unreachable.

    PREFIX/availability      "online", or "offline" after a disconnect (retained; the broker sends it as our will)
    PREFIX/STREAM/state      {"state", "reason", "counts": {label: n}, "time", "areas"}: the latest (retained)
    PREFIX/STREAM/events     changes, as in `/events`; `id` identifies duplicates
    PREFIX/STREAM/areas/AREA/KIND    what happened at a line or in a zone, as in `/api/events`

A message leaves the spool on disk only when the broker has acknowledged it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set
from urllib.parse import unquote

from ..errors import EngineUnavailable, OutputError, UsageError
from ..system import install
from ..system.clock import now
from ..zoo import store
from . import homeassistant, homeassistant_areas, unexpected
from ._mqtt_connection import FAREWELL_S, TIMEOUT_S, MqttConnection
from ._mqtt_connection import Broker as Broker
from .address import redact_source, split
from .event_throttle import EVERY_S, EventThrottle, counts
from .events import LIMIT, Bus, Event
from .live import StreamState
from .retry import Backoff
from .spool import Spool

LOG = logging.getLogger(__name__)
STEADY_S = 10.0
EXAMPLE = "mqtt://user:password@host:1883/prefix, or mqtts:// for TLS"


def broker(
    url: str,
    *,
    username: Optional[str] = None,
    password: Optional[str] = None,
    ca: Optional[str] = None,
    discovery: str = homeassistant.PREFIX,
) -> Broker:
    """Parse a broker's URL: mqtt://user:password@host:1883/prefix, or mqtts:// for TLS.

    The prefix is edgecsp/HOSTNAME when the URL has none, so that two devices do not share topics. Raises `UsageError`
    without quoting credentials.
    """
    parts = split(url, ("mqtt", "mqtts"), "MQTT broker", EXAMPLE)
    host, port = str(parts.hostname), parts.port
    tls = parts.scheme == "mqtts"
    if ca is not None and not tls:
        raise UsageError(f"{redact_source(url)}: a CA certificate needs mqtts://")
    if ca is not None and not Path(ca).is_file():
        raise UsageError(f"no certificate file at {ca}")
    prefix = unquote(parts.path).strip("/") or f"{homeassistant.PROJECT}/{homeassistant.slug(socket.gethostname())}"
    if any(sign in prefix for sign in "+#\0"):
        raise UsageError(f"the prefix {prefix!r}: + and # are not allowed in topics")
    user = username if username is not None else unquote(parts.username) if parts.username else None
    word = password if password is not None else unquote(parts.password) if parts.password else None
    return Broker(host, port or (8883 if tls else 1883), tls, prefix, user, word, ca, discovery.strip("/"))


class Mqtt:
    """Sends the events of the bus to a broker; `start` it, and always `close` it.

    It never blocks a stream: events go into the spool, and from there to the broker while it is connected. `labels` are
    the model's. Connects and failures are logged. `sent` counts acknowledged messages, `connects` connections. Raises
    `EngineUnavailable` without paho-mqtt, and `OutputError` when the spool cannot be created.
    """

    def __init__(
        self,
        target: Broker,
        views: Sequence[StreamState],
        bus: Bus,
        *,
        labels: Sequence[str] = (),
        every_s: float = EVERY_S,
        spool: Optional[Spool] = None,
        backoff: Optional[Backoff] = None,
    ) -> None:
        try:
            import paho.mqtt.client  # noqa: F401 - fail here and not in a thread
        except ImportError:
            raise EngineUnavailable(f"MQTT needs paho-mqtt; type: {install.command('serve')}") from None
        self.target = target
        self.spool = spool if spool is not None else Spool(spool_path(target))
        self.sent = self.connects = 0
        self.connected = False
        self._reached = 0.0
        self._views = {view.name: view for view in views}
        self._labels = tuple(labels)
        self._ids = homeassistant.Ids(target.prefix, list(self._views), self._labels)
        self._last_message = ""
        self._backoff = backoff or Backoff()
        self._lock = threading.Lock()
        self.wake = threading.Event()
        self.stop = threading.Event()
        self._counts: Dict[str, Dict[str, int]] = {name: {} for name in self._views}
        self._changed: Set[str] = set(self._views)
        self._seen_labels: Dict[str, Set[str]] = {
            name: self._selected_labels(view) for name, view in self._views.items()
        }
        self._announced: Set[str] = set()
        self._topics: Dict[str, Set[str]] = {}
        self._every_s = every_s
        self._area_counts: Dict[str, object] = {}
        self._areas_at: Dict[str, float] = {}
        self._events = bus.subscribe(LIMIT * 4)
        self._throttle = EventThrottle(self._events, every_s)
        self._threads: List[threading.Thread] = []

    def start(self) -> None:
        """Start the threads that listen and send; returns at once."""
        for work, name in ((self._listen, "edgecsp-mqtt-in"), (self._run, "edgecsp-mqtt")):
            self._threads.append(unexpected.start_thread("mqtt", work, self.stop, name))

    def close(self, patience_s: float = TIMEOUT_S + 2) -> None:
        """Publish "offline" and end the threads; unsent messages stay in the spool."""
        self._events.close()
        late = time.monotonic() + patience_s
        unexpected.join_threads(self._threads[:1], patience_s)
        soon = time.monotonic() + FAREWELL_S / 2
        while self.connected and len(self.spool) and time.monotonic() < soon:
            time.sleep(0.01)
        self.stop.set()
        self.wake.set()
        unexpected.join_threads(self._threads[1:], late - time.monotonic())
        if not any(thread.is_alive() for thread in self._threads):
            self.spool.close()

    # -- events -------------------------------------------------------------------------------------------------

    def _selected_labels(self, view: StreamState) -> Set[str]:
        """Labels selected by name; the sensors of others are created when they are first seen."""
        ids = view.settings.classes or ()
        return {self._labels[i] for i in map(int, ids) if i < len(self._labels)}

    def _listen(self) -> None:
        for event in self._throttle:
            stream = event["stream"]
            if stream not in self._views:
                continue
            if event["type"] == "area":
                self._put(area_topic(self.target.prefix, event["event"]), event["event"])
                continue
            with self._lock:
                label_counts = dict(counts(event)) if event["type"] == "detections" else {}
                self._counts[stream] = label_counts
                self._seen_labels[stream].update(label_counts)
                self._changed.add(stream)
            self._put(f"{self.target.prefix}/{stream}/events", event)

    def _put(self, topic: str, payload: Event) -> None:
        try:
            self.spool.put(topic, _json(payload))
        except OutputError as error:
            self._say(str(error))
        self.wake.set()

    # -- the broker ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self.stop.is_set():
            tries = self.connects
            try:
                why = MqttConnection(self).run()
            except OutputError as error:
                why = str(error)
            self.connected = False
            if self.stop.is_set():
                return
            self._say(f"{self.target.name}: {redact_source(why)}; {len(self.spool)} messages waiting, retrying")
            if self.connects > tries and time.monotonic() - self._reached > STEADY_S:
                self._backoff.reset()
            self.stop.wait(self._backoff.next_s())

    def _say(self, text: str, level: int = logging.WARNING) -> None:
        if text.split(";")[0] != self._last_message:  # once, not at each attempt
            self._last_message = text.split(";")[0]
            LOG.log(level, "%s", text)

    def on_connected(self) -> None:
        """Record a successful connection."""
        self.connected = True
        self.connects += 1
        self._reached = time.monotonic()
        self._say(f"{self.target.name}: connected", logging.INFO)

    def resend_retained(self) -> None:
        """Send all retained messages again, after a reconnect or a restart of Home Assistant."""
        with self._lock:
            self._announced.clear()
            self._changed.update(self._views)
        self.wake.set()

    def take_retained(self) -> Dict[str, bytes]:
        """Take the retained messages that changed, by topic, in the order to be sent."""
        messages: Dict[str, bytes] = {}
        with self._lock:
            self._look_at_areas()
            for name in sorted(self._changed) if self.target.discovery else ():
                messages.update(self._take_discovery(name))
            for name in sorted(self._changed):
                view, label_counts = self._views[name], self._counts[name]
                payload = {"state": view.state, "reason": view.reason, "counts": label_counts, "time": now()}
                if view.areas is not None:
                    payload["areas"] = view.areas.counts()
                messages[f"{self.target.prefix}/{name}/state"] = _json(payload)
            self._changed.clear()
        return messages

    def _look_at_areas(self) -> None:
        """Note the streams whose counts of lines and zones changed, each at most once in `every_s`."""
        for name, view in self._views.items():
            if view.areas is None or time.monotonic() - self._areas_at.get(name, -self._every_s) < self._every_s:
                continue
            area_counts = _without_seconds(view.areas.counts())
            if area_counts != self._area_counts.get(name):
                self._area_counts[name], self._areas_at[name] = area_counts, time.monotonic()
                self._changed.add(name)

    def _take_discovery(self, name: str) -> Dict[str, bytes]:
        """Take the entities of a stream that were not announced yet, and empty messages for those that are gone."""
        view, discovery, prefix = self._views[name], self.target.discovery, self.target.prefix
        labels = sorted(self._seen_labels[name])
        entities = dict(homeassistant.messages(discovery, prefix, name, view.title, labels, self._ids))
        if view.areas is not None:
            entities.update(homeassistant_areas.messages(discovery, prefix, view.title, view.areas, self._ids))
        gone = self._topics.get(name, set()) - entities.keys()
        fresh = {topic: _json(payload) for topic, payload in entities.items() if topic not in self._announced}
        self._topics[name] = set(entities)
        self._announced = (self._announced | fresh.keys()) - gone
        return {**fresh, **dict.fromkeys(gone, b"")}


def area_topic(prefix: str, event: Event) -> str:
    """Topic of what happened at a line or in a zone."""
    return f"{prefix}/{event['stream']}/areas/{event['area']}/{event['kind']}"


def _without_seconds(area_counts: Event) -> Event:
    """The counts without the seconds in zones, which change with each frame."""
    zones = {
        name: {key: value for key, value in zone.items() if key != "time_s"}
        for name, zone in area_counts["zones"].items()
    }
    return {"lines": area_counts["lines"], "zones": zones}


def spool_path(target: Broker) -> Path:
    """Path of the spool for a broker, under the store's folder."""
    digest = hashlib.sha256(target.name.encode()).hexdigest()[:16]
    return store.home() / "spool" / f"mqtt-{digest}.db"


def _json(payload: Event) -> bytes:
    return json.dumps(payload, allow_nan=False).encode()
