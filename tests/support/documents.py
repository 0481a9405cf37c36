"""The fenced blocks of the documents."""

from __future__ import annotations

import re
from importlib import metadata
from typing import List, Optional

from support.repository import REPO


def blocks(language: str, document: str = "README.md") -> List[str]:
    """The code of a document's blocks of a language, in order."""
    text = (REPO / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shortened(command: str) -> str:
    """A measurement that takes minutes, in seconds and on one engine; anything else as it is."""
    words = command.split("#")[0].strip()
    if words.startswith("edgecsp tune") and not words.startswith(("edgecsp tune list", "edgecsp tune forget")):
        return f"{words} --seconds 4 --engine ort"
    if words.startswith("edgecsp bench") and not words.startswith("edgecsp bench compare"):
        return f"{words} --duration 0.05 --rounds 1 --engine ort"
    return command


def lacking_extra(message: str) -> Optional[str]:
    """The extra that an error asks for, where that extra's packages really are not all here."""
    request = re.search(r"type: pip install .*\[(\w+)\]", message)
    if request is None:
        return None
    lists = re.findall(r"^(\w+) = \[(.*?)\]", (REPO / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for package in re.findall(r'"([\w-]+)', dict(lists)[request[1]]):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return request[1]
    return None
