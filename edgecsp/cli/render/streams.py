"""Log of stream states: one line per change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

from .._logging import inform

if TYPE_CHECKING:
    from ...serve.events import Bus


def log_states(bus: Bus) -> Callable[[], None]:
    """Log each state change on the bus; return a function that stops it."""
    subscription = bus.subscribe()

    def run() -> None:
        for event in subscription:
            if event["type"] == "state":
                reason = f" ({event['reason']})" if event["reason"] else ""
                inform(f"{event['stream']}: {event['state']}{reason}")

    thread = threading.Thread(target=run, name="edgecsp-states", daemon=True)
    thread.start()

    def end() -> None:
        subscription.close()
        thread.join(1.0)

    return end
