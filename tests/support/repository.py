"""Paths of the repository and its tests, and the environment of a child process that runs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

REPO = Path(__file__).resolve().parents[2]
TESTS = REPO / "tests"


def child_environment(*folders: Path, **variables: str) -> Dict[str, str]:
    """This process's environment, in which a child imports the edgecsp of this checkout, and what is in `folders`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (REPO, *folders))), **variables}
