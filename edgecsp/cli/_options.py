"""Values that several commands read from their flags."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Tuple

from ..errors import UsageError


def size(text: Optional[str]) -> Optional[Tuple[int, int]]:
    """ "416" or "HEIGHTxWIDTH" -> (height, width)."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,5})\s*(?:[x,]\s*(\d{1,5}))?\s*", text.lower())
    if not match or "0" in (match[1], match[2]):
        raise UsageError(f"--imgsz {text!r}: one side (416) or HEIGHTxWIDTH (352x640), in pixels")
    return int(match[1]), int(match[2] or match[1])


def words(given: Optional[Sequence[str]]) -> Optional[List[str]]:
    """Repeated and comma-separated values -> one list, None when nothing was given."""
    if not given:
        return None
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names as a person would say them: "a, b and c"."""
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
