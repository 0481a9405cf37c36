"""One connection to an MQTT broker: sends spooled messages and removes acknowledged ones from the spool."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, Optional, Protocol

from . import homeassistant
from .spool import Spool

WINDOW = 20  # messages in flight
KEEPALIVE_S = 30
TIMEOUT_S = 10.0
FAREWELL_S = 1.0


@dataclass(frozen=True)
class Broker:
    """Address, credentials and topic prefix of a broker. `discovery` is Home Assistant's prefix, "" for none."""

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
        """URL without credentials."""
        return f"mqtt{'s' * self.tls}://{self.host}:{self.port}/{self.prefix}"


class ConnectionOwner(Protocol):
    """The owner of connections, which outlives them: it has the spool, and what to announce."""

    target: Broker
    spool: Spool
    wake: threading.Event
    stop: threading.Event
    sent: int

    def on_connected(self) -> None:
        """Record a successful connection."""

    def resend_retained(self) -> None:
        """Send all retained messages again."""

    def take_retained(self) -> Dict[str, bytes]:
        """Take the retained messages that changed, by topic, in the order to be sent."""


class MqttConnection:
    """One connection to the broker, from connect to disconnect."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner, self._target = owner, owner.target
        self._wake, self._stop = owner.wake, owner.stop
        self._acknowledged: Deque[int] = deque()
        self._up = threading.Event()
        self._why = ""
        self._tls: Optional[_Context] = None
        self._client = self._create_client()

    def run(self) -> str:
        """Connect and send until the connection breaks or is stopped; return why it broke."""
        client = self._client
        try:
            client.connect(self._target.host, self._target.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError, UnicodeError) as error:  # ssl.SSLError is an OSError
            if self._tls is not None:
                self._tls.forget()
            return getattr(error, "strerror", None) or str(error) or type(error).__name__
        client.loop_start()
        try:
            if not self._await_answer():
                return self._why or f"no response for {TIMEOUT_S:g} s"
            self._owner.on_connected()
            self._send()
            if self._stop.is_set() and not self._why:
                self._farewell()
            return self._why or "connection lost"
        finally:
            client.disconnect()
            client.loop_stop()

    def _create_client(self) -> Any:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        target = self._target
        # A unique client id for each connection: a broker disconnects the older client of the same id.
        name = f"edgecsp-{homeassistant.slug(socket.gethostname())[:32]}-{secrets.token_hex(4)}"
        client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=True, reconnect_on_failure=False)
        if target.username is not None:
            client.username_pw_set(target.username, target.password)
        if target.tls:
            self._tls = _Context.create(target.ca)
            client.tls_set_context(self._tls)
        client.will_set(f"{target.prefix}/availability", "offline", qos=1, retain=True)
        client.max_inflight_messages_set(WINDOW)
        client.connect_timeout = TIMEOUT_S
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message = self._on_publish, self._on_message
        return client

    # Called from paho's thread, partly under its locks: they only record and return.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._why = f"the broker refused: {reason}"
        self._up.set()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._why = self._why or f"connection lost ({reason})"
        self._up.set()
        self._wake.set()

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self._acknowledged.append(number)
        self._wake.set()

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        if bytes(message.payload) == b"online":  # Home Assistant has started
            self._owner.resend_retained()

    def _await_answer(self) -> bool:
        late = time.monotonic() + TIMEOUT_S
        while not self._up.wait(0.1) and time.monotonic() < late and not self._stop.is_set():
            pass
        return self._up.is_set() and not self._why

    def _send(self) -> None:
        client, target, spool = self._client, self._target, self._owner.spool
        client.publish(f"{target.prefix}/availability", "online", qos=1, retain=True)
        if target.discovery:
            client.subscribe(f"{target.discovery}/status")
        self._owner.resend_retained()
        under_way: Dict[int, int] = {}
        last = 0
        while not self._why and not self._stop.is_set():
            self._wake.clear()
            while self._acknowledged:
                number = under_way.pop(self._acknowledged.popleft(), None)
                if number is not None:
                    spool.remove(number)
                    self._owner.sent += 1
            for topic, payload in self._owner.take_retained().items():
                client.publish(topic, payload, qos=1, retain=True)
            for message in spool.after(last, WINDOW - len(under_way)):
                published = client.publish(message.topic, message.payload, qos=1)
                if published.rc:
                    self._why = self._why or "connection lost"
                    return
                last, under_way[published.mid] = message.number, message.number
            self._wake.wait(1.0)

    def _farewell(self) -> None:
        """Publish "offline": the broker sends our will only when a connection breaks."""
        topic = f"{self._target.prefix}/availability"
        message = self._client.publish(topic, "offline", qos=1, retain=True)
        if not message.rc:
            message.wait_for_publish(FAREWELL_S)


class _Context(ssl.SSLContext):
    """TLS context that remembers its last socket, which paho leaves open when the handshake fails."""

    last: Optional[ssl.SSLSocket] = None

    @classmethod
    def create(cls, ca: Optional[str]) -> _Context:
        """Create a context that trusts the certificates of a file [default: the system's]."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(ca)
        return context

    def wrap_socket(self, *words: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket and remember it."""
        self.last = super().wrap_socket(*words, **options)
        return self.last

    def forget(self) -> None:
        """Close the last socket."""
        if self.last is not None:
            self.last.close()
