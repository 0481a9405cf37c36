"""What becomes of streams, told as it happens: one line a change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from ...serve.events import Bus


def told(bus: Bus, tell: Callable[[str], None]) -> Callable[[], None]:
    """Tell each change of state on the bus from now on; how that is ended."""
    heard = bus.subscribe()

    def run() -> None:
        for event in heard:
            if event["type"] == "state":
                reason = f" ({event['reason']})" if event["reason"] else ""
                tell(f"{event['stream']}: {event['state']}{reason}")

    thread = threading.Thread(target=run, name="edgecsp-states", daemon=True)
    thread.start()

    def end() -> None:
        heard.close()
        thread.join(1.0)

    return end
