"""The command line as a user types it: in a process of its own, or in this one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Optional, Tuple

import pytest

from benchmarks.reference import list_commands as list_commands
from support.repository import REPO, child_environment


def edgecsp(*words: object, code: Optional[int] = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `edgecsp WORDS` to its end, in the repository's folder unless `options` of subprocess.run say otherwise.

    With `code`, it must exit with that and print no stack trace.
    """
    settings = {"cwd": REPO, "env": child_environment(), "timeout": 300, **options}
    command = [sys.executable, "-m", "edgecsp", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    if code is not None:
        check(done, code)
    return done


def check(done: subprocess.CompletedProcess[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """Require an exit code, and no stack trace."""
    assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stderr)
    return done


def invoke(capsys: pytest.CaptureFixture[str], *words: str) -> Tuple[int, str, str]:
    """Run `edgecsp WORDS` in this process: exit code, stdout, stderr."""
    import typer

    from edgecsp.cli import app

    try:
        code = app([*words], standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    out, err = capsys.readouterr()
    return code or 0, out, err
