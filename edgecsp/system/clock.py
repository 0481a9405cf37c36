"""The time of day, as it is written everywhere."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """Current time as ISO 8601 in UTC, to the millisecond.

    >>> now()[-1], len(now())
    ('Z', 24)
    """
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
