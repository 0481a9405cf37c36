"""What becomes of streams, told as it happens: one line a change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

from .._logging import inform

if TYPE_CHECKING:
    from ...serve.events import Bus


def log_states(bus: Bus) -> Callable[[], None]:
    """Log each change of state on the bus from now on; what ends that."""
    heard = bus.subscribe()

    def run() -> None:
        for event in heard:
            if event["type"] == "state":
                reason = f" ({event['reason']})" if event["reason"] else ""
                inform(f"{event['stream']}: {event['state']}{reason}")

    thread = threading.Thread(target=run, name="edgecsp-states", daemon=True)
    thread.start()

    def end() -> None:
        heard.close()
        thread.join(1.0)

    return end
