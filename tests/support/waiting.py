"""Wait for what another thread or process does."""

from __future__ import annotations

import time
from typing import Any, Callable


def eventually(what: Callable[[], Any], within_s: float = 10.0) -> Any:
    """The first true value of `what`; fails when there is none in time."""
    late = time.monotonic() + within_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < late, f"not within {within_s:g} s"
        time.sleep(0.02)
