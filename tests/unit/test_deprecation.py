"""Old import paths and names: they work, and warn."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from edgecsp.system.deprecation import deprecate
from edgecsp.types import Geometry


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("edgecsp.core", "edgecsp.types", "Detections"),
        ("edgecsp.preprocess", "edgecsp.processing.preprocess", "prepare"),
        ("edgecsp.nms", "edgecsp.processing.nms", "keep"),
        ("edgecsp.sources", "edgecsp.media.sources", "open"),
        ("edgecsp.sinks", "edgecsp.media.sinks", "open"),
    ],
)
def test_an_old_path_gives_the_new_modules_names_and_warns(old: str, new: str, name: str) -> None:
    code = f"""
import importlib, warnings
import edgecsp
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from {old} import {name}
assert {name} is getattr(importlib.import_module({new!r}), {name!r})
print(caught[0].category.__name__, caught[0].message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        f"DeprecationWarning {old} is deprecated and will be removed in edgecsp 0.3; use {new}"
    )


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("edgecsp.nonsense")


def test_a_deprecated_function_warns_where_it_is_called() -> None:
    @deprecate("add", "plus", remove_in="9.9")
    def add(a: int, b: int) -> int:
        return a + b

    with pytest.warns(DeprecationWarning, match="add is deprecated .* 9.9; use plus") as caught:
        assert add(1, b=2) == 3
    assert caught[0].filename == __file__


def test_an_attribute_answers_to_its_old_name_with_a_warning() -> None:
    geometry = Geometry((2.0, 2.0), (0.0, 0.0), (100, 200))
    with pytest.warns(DeprecationWarning, match=r"Geometry\.picture_hw .* use Geometry\.image_hw") as caught:
        assert geometry.picture_hw == (100, 200)
    assert caught[0].filename == __file__
    box = np.array([[2, 2, 20, 20]])
    with pytest.warns(DeprecationWarning, match=r"Geometry\.to_picture .* use Geometry\.to_image"):
        assert geometry.to_picture(box).tolist() == geometry.to_image(box).tolist() == [[1, 1, 10, 10]]
    assert [field.name for field in fields(Geometry)] == ["scale_xy", "offset_xy", "image_hw"]
