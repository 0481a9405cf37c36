"""Engines that a test can run on."""

from __future__ import annotations

import pytest

from edgecsp import backends


def require_engine(name: str) -> str:
    """Return the engine's name, or skip the test where it does not run."""
    lacks = backends.unavailable_reason(name)
    if lacks:
        pytest.skip(f"engine {name} {lacks}")
    return name
