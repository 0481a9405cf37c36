"""The doubles of tensorrt and pycuda, on the path of this process and of its children while a test plays them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from support.repository import TESTS

DOUBLE = TESTS / "trt" / "double"
MODULES = ("tensorrt", "pycuda", "pycuda.driver", "rehearsal")


class Stage:
    """The stage on which a version is played: its steps, and what is left over."""

    def __init__(self, log: Path, home: Path) -> None:
        self.log, self.home = log, home

    def steps(self) -> List[str]:
        """Steps since the last look, children's among them."""
        done = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink() if self.log.exists() else None
        return done

    def left(self) -> List[Any]:
        import rehearsal

        return rehearsal.alive + rehearsal.current


Play = Callable[..., Stage]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Play]:
    """play("8.2", fails="build", chip="6.2"): from now on that version is installed here, on that chip."""
    from edgecsp.backends import _trt_log

    def forget() -> None:
        for name in MODULES:
            sys.modules.pop(name, None)
        _trt_log.logger.cache_clear()
        _trt_log.clear()

    def begin(version: str, fails: str = "", chip: str = "8.6") -> Stage:
        forget()
        options = {
            "EDGECSP_DOUBLE": version,
            "EDGECSP_DOUBLE_FAILS": fails,
            "EDGECSP_DOUBLE_CHIP": chip,
            "EDGECSP_DOUBLE_LOG": str(tmp_path / "steps"),
            "EDGECSP_HOME": str(tmp_path / "home"),
        }
        for name, value in options.items():
            monkeypatch.setenv(name, value)
        return Stage(tmp_path / "steps", tmp_path / "home")

    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    forget()
    yield begin
    forget()
