"""The cfg files of the public models whose weights are among the test data."""

from __future__ import annotations

from pathlib import Path

from support.repository import TESTS


def cfg_of(name: str, data: Path) -> Path:
    """A model's cfg from the test data, or, where its weights came without one, from the tests' own."""
    cfg = data / "weights" / f"{name}.cfg"
    return cfg if cfg.exists() else TESTS / "data" / f"{name}.cfg"
