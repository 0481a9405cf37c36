"""What the doubles of tensorrt and pycuda share: which version they play, what is to go wrong, what was done.

They play in child processes too, so all of it comes by environment variables: EDGECSP_DOUBLE is a version of
tests/data/tensorrt.json, EDGECSP_DOUBLE_FAILS the steps that fail (comma-separated), EDGECSP_DOUBLE_LOG a file that
every step is written to, EDGECSP_DOUBLE_CHIP a compute capability.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, List

TABLE = Path(__file__).resolve().parents[2] / "data" / "tensorrt.json"
VERSION = os.environ.get("EDGECSP_DOUBLE", "10.3.0")
NAMES = json.loads(TABLE.read_text())["names"]
current: List[Any] = []  # the stack of CUDA contexts
alive: List[Any] = []  # contexts and memory that nobody has given back


def fails(step: str) -> bool:
    return step in os.environ.get("EDGECSP_DOUBLE_FAILS", "").split(",")


def did(step: str) -> None:
    with open(os.environ["EDGECSP_DOUBLE_LOG"], "a") as file:
        file.write(f"{step}\n")


def on_device(step: str) -> None:
    """A step that needs a context; without one CUDA fails, or takes another's."""
    assert current, f"{step}: no CUDA context is current"
    did(step)


class Played:
    """An object that has the names which the version's own has, and no others."""

    def __getattribute__(self, name: str) -> Any:
        _check(object.__getattribute__(self, "__class__"), name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _check(type(self), name)
        object.__setattr__(self, name, value)


def _check(cls: Any, name: str) -> None:
    if name.startswith("_"):
        return
    part = "pycuda" if cls.__module__.startswith("pycuda") else VERSION
    owners = [each.__name__ for each in cls.__mro__ if each.__name__ in NAMES[part]]
    if owners and not any(name in NAMES[part][owner] for owner in owners):
        raise AttributeError(f"{owners[0]} of {part} has no {name}")
