"""Detections to an MQTT broker: at least once, in order, also what was found while the broker was away.

    PREFIX/availability      "online", and "offline" when we are gone (retained; the broker says it for us)
    PREFIX/STREAM/state      {"state", "reason", "counts": {label: n}, "time"}: the newest (retained)
    PREFIX/STREAM/events     what has changed, as `/events` has it; `id` tells one that comes twice

Only what a broker has acknowledged is taken out of the spool on disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set
from urllib.parse import unquote

from ..errors import EngineUnavailable, OutputError, UsageError
from ..zoo import store
from . import homeassistant, unexpected
from ._mqtt_connection import FAREWELL_S, TIMEOUT_S, MqttConnection
from .address import shown, split
from .event_throttle import EVERY_S, EventThrottle, counts
from .events import LIMIT, Bus, Event, now
from .live import StreamState
from .retry import Backoff
from .spool import Spool

LOG = logging.getLogger(__name__)
STEADY_S = 10.0
EXAMPLE = "mqtt://user:password@host:1883/prefix, or mqtts:// for TLS"


@dataclass(frozen=True)
class Broker:
    """Where messages go, and by which names. `discovery` is Home Assistant's prefix, "" for none."""

    host: str
    port: int
    tls: bool
    prefix: str
    username: Optional[str] = None
    password: Optional[str] = field(default=None, repr=False)
    ca: Optional[str] = None
    discovery: str = homeassistant.PREFIX

    @property
    def name(self) -> str:
        """What to call it: no login."""
        return f"mqtt{'s' * self.tls}://{self.host}:{self.port}/{self.prefix}"


def broker(
    url: str,
    *,
    username: Optional[str] = None,
    password: Optional[str] = None,
    ca: Optional[str] = None,
    discovery: str = homeassistant.PREFIX,
) -> Broker:
    """A URL -> a broker: mqtt://user:password@host:1883/prefix, or mqtts:// for TLS.

    The prefix is edgecsp/HOSTNAME when the URL has none, so that two boxes do not talk over each other. Raises
    `UsageError`, which does not quote the login.
    """
    parts = split(url, ("mqtt", "mqtts"), "MQTT broker", EXAMPLE)
    host, port = str(parts.hostname), parts.port
    tls = parts.scheme == "mqtts"
    if ca is not None and not tls:
        raise UsageError(f"{shown(url)}: a certificate is for mqtts://")
    if ca is not None and not Path(ca).is_file():
        raise UsageError(f"there is no certificate at {ca}")
    prefix = unquote(parts.path).strip("/") or f"{homeassistant.PROJECT}/{homeassistant.slug(socket.gethostname())}"
    if any(sign in prefix for sign in "+#\0"):
        raise UsageError(f"the prefix {prefix!r}: topics that are published have no + and no #")
    user = username if username is not None else unquote(parts.username) if parts.username else None
    word = password if password is not None else unquote(parts.password) if parts.password else None
    return Broker(host, port or (8883 if tls else 1883), tls, prefix, user, word, ca, discovery.strip("/"))


class Mqtt:
    """Sends what happens on the bus to a broker; `start` it, and `close` it in any case.

    It never keeps a stream waiting: what happens goes into the spool, and from there to the broker when there is one.
    `labels` are the model's. That the broker is there, or why not, is logged. `sent` counts
    what was acknowledged, `connects` how often the broker was reached. Raises `EngineUnavailable` without paho-mqtt,
    and `OutputError` when there is no place for the spool.
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
            import paho.mqtt.client  # noqa: F401 - asked for now, not in a thread
        except ImportError:
            raise EngineUnavailable("MQTT needs paho-mqtt; type: pip install 'edgecsp[serve]'") from None
        self.target = target
        self.spool = spool if spool is not None else Spool(place(target))
        self.sent = self.connects = 0
        self.connected = False
        self._reached = 0.0
        self._views = {view.name: view for view in views}
        self._labels = tuple(labels)
        self._ids = homeassistant.Ids(target.prefix, list(self._views), self._labels)
        self._said = ""
        self._backoff = backoff or Backoff()
        self._lock = threading.Lock()
        self.wake = threading.Event()
        self.stop = threading.Event()
        self._counts: Dict[str, Dict[str, int]] = {name: {} for name in self._views}
        self._changed: Set[str] = set(self._views)
        self._seen: Dict[str, Set[str]] = {name: self._wanted(view) for name, view in self._views.items()}
        self._announced: Set[str] = set()
        self._events = bus.subscribe(LIMIT * 4)
        self._notices = EventThrottle(self._events, every_s)
        self._threads: List[threading.Thread] = []

    def start(self) -> None:
        """Listen and send, each in a thread; returns at once."""
        for target, name in ((self._listen, "edgecsp-mqtt-in"), (self._run, "edgecsp-mqtt")):
            words = ("mqtt", target, self.stop)
            thread = threading.Thread(target=unexpected.keep_running, args=words, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, patience_s: float = TIMEOUT_S + 2) -> None:
        """Say that we go, end the threads, leave in the spool what has not come."""
        self._events.close()
        late = time.monotonic() + patience_s
        for thread in self._threads[:1]:
            thread.join(max(0.0, late - time.monotonic()))
        soon = time.monotonic() + FAREWELL_S / 2
        while self.connected and len(self.spool) and time.monotonic() < soon:
            time.sleep(0.01)
        self.stop.set()
        self.wake.set()
        for thread in self._threads[1:]:
            thread.join(max(0.0, late - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self.spool.close()

    # -- what happens -------------------------------------------------------------------------------------------

    def _wanted(self, view: StreamState) -> Set[str]:
        """The labels that were asked for by name; the others get their sensors when they are first seen."""
        ids = view.settings.class_ids or ()
        return {self._labels[i] for i in ids if i < len(self._labels)}

    def _listen(self) -> None:
        for event in self._notices:
            stream = event["stream"]
            if stream not in self._views:
                continue
            with self._lock:
                found = dict(counts(event)) if event["type"] == "detections" else {}
                self._counts[stream] = found
                self._seen[stream].update(found)
                self._changed.add(stream)
            try:
                self.spool.put(f"{self.target.prefix}/{stream}/events", _json(event))
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
            self._say(f"{self.target.name}: {shown(why)}; {len(self.spool)} messages wait, trying again")
            if self.connects > tries and time.monotonic() - self._reached > STEADY_S:
                self._backoff.reset()
            self.stop.wait(self._backoff.next_s())

    def _say(self, text: str, level: int = logging.WARNING) -> None:
        if text.split(";")[0] != self._said:  # not at each try
            self._said = text.split(";")[0]
            LOG.log(level, "%s", text)

    def reached(self) -> None:
        """Hear that the broker has let us in."""
        self.connected = True
        self.connects += 1
        self._reached = time.monotonic()
        self._say(f"{self.target.name}: connected", logging.INFO)

    def greet(self) -> None:
        """Have all that is retained sent again: the broker, or Home Assistant, is new."""
        with self._lock:
            self._announced.clear()
            self._changed.update(self._views)
        self.wake.set()

    def retained(self) -> Dict[str, bytes]:
        """What has changed of that which the broker keeps, by topic, in the order in which it is to be sent."""
        found: Dict[str, bytes] = {}
        with self._lock:
            for name in sorted(self._changed) if self.target.discovery else ():
                title, labels = self._views[name].title, sorted(self._seen[name])
                for topic, said in homeassistant.messages(
                    self.target.discovery, self.target.prefix, name, title, labels, self._ids
                ):
                    if topic not in self._announced:
                        self._announced.add(topic)
                        found[topic] = _json(said)
            for name in sorted(self._changed):
                view, found_there = self._views[name], self._counts[name]
                said = {"state": view.state, "reason": view.reason, "counts": found_there, "time": now()}
                found[f"{self.target.prefix}/{name}/state"] = _json(said)
            self._changed.clear()
        return found


def place(target: Broker) -> Path:
    """Where the messages for a broker wait: under the store's folder, by its name."""
    digest = hashlib.sha256(target.name.encode()).hexdigest()[:16]
    return store.home() / "spool" / f"mqtt-{digest}.db"


def _json(said: Event) -> bytes:
    return json.dumps(said, allow_nan=False).encode()
