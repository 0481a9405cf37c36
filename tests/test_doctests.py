"""The examples in the docstrings of the public modules, run as they stand there."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

# The least number of examples of each.
MODULES = {
    "edgecsp": 3, "edgecsp.pipeline.detector": 6, "edgecsp.types.results": 4, "edgecsp.types.frames": 2,
    "edgecsp.types.tracks": 3, "edgecsp.track.tracker": 2, "edgecsp.track.assignment": 2,
    "edgecsp.types.names": 1, "edgecsp.options": 3, "edgecsp.errors": 1,
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failed == 0 and attempted >= MODULES[module]
