"""Send events to web servers: one POST each, signed if there is a secret, retried on failure.

    POST URL
    Content-Type: application/json
    X-Edgecsp-Event: detections                 or state, or area
    X-Edgecsp-Delivery: 1763733600123           the event's id, which identifies duplicates
    X-Edgecsp-Signature-256: sha256=...         HMAC of the body with the secret (RFC 2104), in hex

The body is the event as in `/events`. URLs come from the command line or the site file, never from a request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple
from urllib.parse import unquote

from .. import __version__
from ..errors import UsageError
from ..system import http
from . import unexpected
from .address import split
from .event_throttle import EVERY_S, EventThrottle
from .events import LIMIT, Bus, Event, Subscription
from .retry import Backoff

LOG = logging.getLogger(__name__)
QUEUE = 256
TRIES = 8
TIMEOUT_S = 10.0
AGAIN = (408, 425, 429)  # temporary errors, besides 500 and above


@dataclass(frozen=True)
class Hook:
    """Target of events: `streams` by name, all when empty. `name` is the server without credentials, path and query."""

    host: str
    port: int
    tls: bool
    target: str = field(repr=False)
    login: Optional[str] = field(default=None, repr=False)
    secret: Optional[str] = field(default=None, repr=False)
    streams: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Server of the hook; the path is left out because it may be a secret, as in chat services."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' * self.tls}://{host}:{self.port}"


def hook(url: str, *, secret: Optional[str] = None, streams: Sequence[str] = ()) -> Hook:
    """Parse the URL of a webhook. Raises `UsageError` without quoting credentials."""
    parts = split(url, ("http", "https"), "webhook", "https://host/path")
    host, port = str(parts.hostname), parts.port
    if any(ord(sign) <= 32 or ord(sign) > 126 for sign in parts.path + parts.query):
        raise UsageError(f"the URL of the webhook at {host} has characters that must be percent-encoded (%XX)")
    tls = parts.scheme == "https"
    login = None
    if parts.username is not None:
        login = http.basic(unquote(parts.username), unquote(parts.password or ""))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Hook(host, port or (443 if tls else 80), tls, target, login, secret, tuple(streams))


def names(hooks: Sequence[Hook]) -> List[str]:
    """Unique names of several hooks: the server, with a number from its second hook on."""
    counts: Dict[str, int] = {}
    unique_names = []
    for each in hooks:
        counts[each.name] = counts.get(each.name, 0) + 1
        unique_names.append(each.name + (f" #{counts[each.name]}" if counts[each.name] > 1 else ""))
    return unique_names


def signature(secret: str, body: bytes) -> str:
    """Value of the header X-Edgecsp-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhooks:
    """Sends the events of the bus to hooks, each at its own pace; `start` it, and always `close` it.

    At most `queue` events wait for each hook, then the oldest is dropped; a failed event is tried `tries` times. `sent`
    and `dropped` count by the names of `names`. Failures are logged.
    """

    def __init__(
        self,
        hooks: Sequence[Hook],
        bus: Bus,
        *,
        every_s: float = EVERY_S,
        queue: int = QUEUE,
        tries: int = TRIES,
        timeout_s: float = TIMEOUT_S,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._stop = threading.Event()
        self._client = http.Client(proxies=False)  # most hooks are near: proxies of the environment are not for them
        self._posts = [
            _Posts(each, name, self._client, self._stop, Subscription(bus, queue), tries, timeout_s, backoff())
            for each, name in zip(hooks, names(hooks))
        ]
        self._events = bus.subscribe(LIMIT * 4)
        self._throttle = EventThrottle(self._events, every_s)
        self._threads: List[threading.Thread] = []

    @property
    def sent(self) -> Dict[str, int]:
        """Delivered events by hook."""
        return {posts.name: posts.sent for posts in self._posts}

    @property
    def dropped(self) -> Dict[str, int]:
        """Dropped events by hook."""
        return {posts.name: posts.dropped for posts in self._posts}

    @property
    def waiting(self) -> Dict[str, int]:
        """Waiting events by hook."""
        return {posts.name: len(posts.queue) for posts in self._posts}

    def start(self) -> None:
        """Start a thread for each hook and one that listens; returns at once."""
        works = [(self._listen, "edgecsp-hooks-in")] + [(posts.run, "edgecsp-hook") for posts in self._posts]
        for work, name in works:
            self._threads.append(unexpected.start_thread("webhook", work, self._stop, name))

    def close(self, patience_s: float = TIMEOUT_S + 2) -> None:
        """Stop the threads; waiting events are dropped."""
        self._events.close()
        self._stop.set()
        for posts in self._posts:
            posts.queue.close()
        unexpected.join_threads(self._threads, patience_s)
        self._client.close()

    def _listen(self) -> None:
        for event in self._throttle:
            for posts in self._posts:
                if not posts.hook.streams or event["stream"] in posts.hook.streams:
                    posts.queue.put(event)


class _Posts:
    """A hook and its queue."""

    def __init__(
        self, target: Hook, name: str, client: http.Client, stop: threading.Event, queue: Subscription, tries: int,
        timeout_s: float, backoff: Backoff,
    ) -> None:  # fmt: skip
        self.hook, self.name, self.queue, self._client = target, name, queue, client
        self.sent = self._failed = 0
        self._stop, self._tries, self._timeout_s = stop, tries, timeout_s
        self._backoff, self._last_message = backoff, ""

    @property
    def dropped(self) -> int:
        return self.queue.lost + self._failed

    def run(self) -> None:
        """Deliver events one by one, in a thread."""
        for event in self.queue:
            if self._stop.is_set():
                return
            self._backoff.reset()
            is_delivered = False
            try:
                is_delivered = self._deliver(event)
            finally:
                self.sent += is_delivered
                self._failed += not is_delivered

    def _deliver(self, event: Event) -> bool:
        for left in range(self._tries - 1, -1, -1):
            code, why = self._post(event)
            if 200 <= code < 300:
                self._say("")
                return True
            again = code == 0 or code in AGAIN or code >= 500
            self._say(f"webhook {self.name}: {why}; {'retrying' if again else 'the event is dropped'}")
            if not again or not left or self._stop.wait(self._backoff.next_s()):
                return False
        return False

    def _say(self, text: str) -> None:
        if text != self._last_message:
            self._last_message = text
            if text:
                LOG.warning("%s", text)

    def _post(self, event: Event) -> Tuple[int, str]:
        """Try once; return the HTTP status (0 without a response) and a message."""
        body = json.dumps(event, allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"edgecsp/{__version__}",
            "X-Edgecsp-Event": event["type"],
            "X-Edgecsp-Delivery": str(event["id"]),
        }
        if self.hook.login:
            headers["Authorization"] = self.hook.login
        if self.hook.secret:
            headers["X-Edgecsp-Signature-256"] = signature(self.hook.secret, body)
        try:
            # Redirects are not followed: events go only where the operator configured. A second copy does no harm: the
            # delivery's number identifies it.
            response = self._client.open(
                self.hook.name + self.hook.target, "POST", headers, body, timeout_s=self._timeout_s, redirects=0,
                repeatable=True,
            )  # fmt: skip
        except http.RequestFailed as failure:
            return 0, str(failure)
        response.finish()
        return response.status, f"the server answered {response.status_text}"
