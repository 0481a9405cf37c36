"""The machine that figures belong to, and what ran on it: the report's header."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, Optional

from .. import __version__
from ..system import cpu, jetson, memory, versions

PACKAGE = Path(__file__).resolve().parents[1]


def described(threads: int) -> Dict[str, Any]:
    """CPU, cores, governor, memory, system, versions, commit and board; `threads` are those in use."""
    here = jetson.find()
    return {
        **dict(cpu.described()),
        "threads": threads,
        "governor": cpu.governor(),
        "memory_bytes": memory.total(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {"edgecsp": __version__, **{name: said for name, said in versions.versions().items() if said}},
        "commit": commit(),
        "peak_gflops": {},
        "board": here.described() if here else None,
    }


def commit() -> Optional[str]:
    """The commit that this package is a checkout of, with "+" when files were changed since; None elsewhere."""

    def git(*words: str) -> Optional[str]:
        try:
            done = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # A virtual environment may lie inside somebody else's checkout: the file itself has to be known to it.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "--short=12", "HEAD")
    return f"{head}+" if head and git("status", "--porcelain", "--untracked-files=no") else head
