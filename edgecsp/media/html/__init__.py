"""Pages that are one file: a style that all share (`base.css`), SVG as text (`svg`), a policy that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def style(own: str = "") -> str:
    """The shared style sheet, light and dark and for print, and a page's own rules behind it."""
    return (_HERE / "base.css").read_text("utf-8") + own


def digest(text: str) -> str:
    """What a page's Content-Security-Policy calls an inline style or script: its SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
