"""The time of day, as it is written everywhere."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """Current time as ISO 8601 in UTC, to the millisecond.

    >>> now()[-1], len(now())
    ('Z', 24)
    """
    return to_text(datetime.now(timezone.utc))


def to_text(moment: datetime) -> str:
    """Write a moment in UTC as `now` does: texts are in the order of their times.

    >>> to_text(datetime(2026, 5, 4, 3, 2, 1, 987654, timezone.utc))
    '2026-05-04T03:02:01.987Z'
    """
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
