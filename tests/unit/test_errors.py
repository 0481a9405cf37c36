"""The drawn tree is the tree; names that are unknown are answered with the nearest one."""

from __future__ import annotations

import re
from typing import Dict, Tuple

import pytest

from edgecsp import errors


def drawn() -> Dict[str, Tuple[str, int]]:
    """class -> (parent, exit code), read off the picture in the module's docstring."""
    found: Dict[str, Tuple[str, int]] = {}
    above = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^( {4}(?:\|   )*)(\+-- )?([A-Z]\w+) +(?:exit code )?(\d+)", line)
        if match:
            depth = len(match[1]) // 4 + bool(match[2]) - 1
            above[depth] = match[3]
            found[match[3]] = (above[depth - 1] if depth else "Exception", int(match[4]))
    return found


def test_the_drawn_tree_is_the_tree() -> None:
    classes = {
        name: (cls.__bases__[0].__name__, cls.exit_code)
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, Exception)
    }
    assert drawn() == classes and len(classes) >= 11


def test_every_error_is_caught_by_the_root() -> None:
    for name in drawn():
        assert issubclass(getattr(errors, name), errors.EdgecspError)


def test_did_you_mean() -> None:
    near = errors.UnknownName("engine", "ORTT", ["ort", "trt", "auto"])
    assert str(near) == "no engine is called 'ORTT'. Did you mean 'ort'? Known: auto, ort, trt."
    far = errors.UnknownName("engine", "zzzzzz", ["ort", "trt"])
    assert str(far) == "no engine is called 'zzzzzz'. Known: ort, trt."
    assert near.exit_code == 2
    with pytest.raises(errors.UsageError):
        raise near
