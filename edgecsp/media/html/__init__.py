"""Self-contained HTML pages: shared style sheet (`base.css`), SVG (`svg`), a policy that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def style(own: str = "") -> str:
    """Return the shared style sheet (light, dark, print) followed by a page's own rules."""
    return (_HERE / "base.css").read_text("utf-8") + own


def digest(text: str) -> str:
    """Hash an inline style or script for a Content-Security-Policy: SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
