"""The report's header: the machine and the software that was measured on it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, Optional

from .. import __version__
from ..system import cpu, jetson, memory, versions

PACKAGE = Path(__file__).resolve().parents[1]


def describe(threads: int) -> Dict[str, Any]:
    """Describe CPU, cores, governor, memory, system, versions, commit and board; `threads` are those in use."""
    here = jetson.find()
    return {
        **dict(cpu.describe()),
        "threads": threads,
        "governor": cpu.governor(),
        "memory_bytes": memory.total(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            "edgecsp": __version__,
            **{name: version for name, version in versions.versions().items() if version},
        },
        "commit": find_commit(),
        "peak_gflops": {},
        "board": here.describe() if here else None,
    }


def find_commit() -> Optional[str]:
    """Find the commit that this package is a checkout of, with "+" when files have changed; None elsewhere."""

    def git(*words: str) -> Optional[str]:
        try:
            done = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # A virtual environment may lie inside another project's checkout, which must then track this very file.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "--short=12", "HEAD")
    return f"{head}+" if head and git("status", "--porcelain", "--untracked-files=no") else head
