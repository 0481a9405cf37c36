"""Read files that hold a secret: a token, a password, a signing key."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import UsageError


def read(place: Path) -> str:
    """Read a secret file that must not be world-readable. Raises `UsageError`, `OSError` and `UnicodeDecodeError`."""
    with place.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode  # of the open file, not of what has its name now
        if os.name == "posix" and mode & stat.S_IROTH:
            raise UsageError(
                f"{place} holds a secret and is readable by every user "
                f"(mode {stat.S_IMODE(mode):03o}); type: chmod 600 {place}"
            )
        return file.read().decode("utf-8")
