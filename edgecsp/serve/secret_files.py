"""Files with a secret in them: a token, a password, a key that events are signed with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import UsageError


def read(place: Path) -> str:
    """The text of a file that not everybody on this machine can read. Raises `UsageError`, and what reading raises."""
    with place.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode  # of what was opened, not of what has the name now
        if os.name == "posix" and mode & stat.S_IROTH:
            raise UsageError(
                f"{place} has a secret in it and everybody on this machine can read it "
                f"(mode {stat.S_IMODE(mode):03o}); type: chmod 600 {place}"
            )
        return file.read().decode("utf-8")
