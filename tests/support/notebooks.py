"""Notebooks of examples/, and a kernel that runs them."""

from __future__ import annotations

import json
import tempfile
from typing import Any, Dict

import pytest

from support.repository import REPO

FOLDER = REPO / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Any) -> Dict[str, Any]:
    """A notebook as JSON."""
    book: Dict[str, Any] = json.loads(path.read_text("utf-8"))
    return book


def run(name: str) -> str:
    """Run a notebook's cells in their order, in its folder: all that they printed or returned as text."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (edgecsp[dev])")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (edgecsp[dev])")
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as own:
        patch.setenv("PYTHONPATH", str(REPO))
        patch.setenv("IPYTHONDIR", own)
        nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
