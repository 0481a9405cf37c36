"""Self-contained HTML pages: shared style sheet (`base.css`), SVG (`svg`), a policy that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Iterable, Tuple

from .svg import tag

_HERE = Path(__file__).resolve().parent


def style(own: str = "") -> str:
    """Return the shared style sheet (light, dark, print) followed by a page's own rules."""
    return (_HERE / "base.css").read_text("utf-8") + own


def cards(rows: Iterable[Tuple[str, str, str]]) -> str:
    """Build the figures at the top of a page: a list item each, with what it is and a note."""
    return "".join(
        tag("li", tag("b", escape(figure)), tag("span", escape(about)), tag("small", escape(note)))
        for figure, about, note in rows
    )


def facts(rows: Iterable[Tuple[str, object]]) -> str:
    """Build the entries of a list of facts by name; those without a value are left out."""
    return "".join(
        tag("dt", escape(name.replace("_", " "))) + tag("dd", escape(str(value)))
        for name, value in rows
        if value not in (None, "")
    )


def digest(text: str) -> str:
    """Hash an inline style or script for a Content-Security-Policy: SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
