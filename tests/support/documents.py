"""The fenced blocks of the documents."""

from __future__ import annotations

import re
from typing import List

from support.repository import REPO


def blocks(language: str, document: str = "README.md") -> List[str]:
    """The code of a document's blocks of a language, in order."""
    text = (REPO / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
