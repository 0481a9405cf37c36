"""No file outside `backends/` names an engine: adding one touches nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from edgecsp.backends import registry
from support.repository import REPO

PACKAGE = REPO / "edgecsp"
NAMES = "|".join(registry.built_in())
# A string that is a name, and a text or code in a text that chooses one.
NAMED = re.compile(rf"(?:{NAMES})|(?:.*\b(?:--engine|-e|engines?[= ]+[\"']?)[= ]*[\"'(]*({NAMES})\b.*)", re.DOTALL)
MODULE = re.compile(rf"(?:.*\.)?backends\._?(?:{NAMES})\w*")
# Files that do, and why: what they are for is this engine, or the word means something else there.
EXCEPTIONS = {
    "serve/schema.py": "null, the type of JSON",
    "cli/build.py": "builds plans, which TensorRT alone has",
    "system/isolation.py": "its docstring has the call that builds a plan as the example",
    "system/versions.py": "names of packages: those of OpenCV and OpenVINO are the engines' too",
    "train/report.py": "the package opencv, whose version the report has",
}


def mentions(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    """Strings that name an engine and imports of an engine's module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if NAMED.fullmatch(node.value) or MODULE.search(node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if MODULE.fullmatch(f"{node.module}.{alias.name}") or MODULE.fullmatch(node.module or ""):
                    yield node.lineno, f"import of {alias.name}"


def files() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] != "backends":
            yield path


def test_no_file_outside_backends_names_an_engine() -> None:
    found = {str(path.relative_to(PACKAGE)): list(mentions(ast.parse(path.read_text("utf-8")))) for path in files()}
    named = {file: lines for file, lines in found.items() if lines}
    assert {file: lines for file, lines in named.items() if file not in EXCEPTIONS} == {}
    assert set(named) == set(EXCEPTIONS), "an exception that is no longer needed"


@pytest.mark.parametrize(
    "code",
    [
        "backends.open(model, 'ort')", "if engine == 'openvino': pass", "x = f'run it: --engine trt {more}'",
        "from ..backends import null", "from edgecsp.backends.opencv import OpenCvSession",
        "x = 'load(engine=\"ort\")'",
        "call('edgecsp.backends._trt_build:serve')", "from ..backends._trt_plan import check",
    ],
)  # fmt: skip
def test_it_would_see_one(code: str) -> None:
    assert list(mentions(ast.parse(code)))


@pytest.mark.parametrize("code", ["backends.open(model, backends.REFERENCE)", "x = 'onnxruntime'", "'null resets it'"])
def test_it_sees_no_other(code: str) -> None:
    assert not list(mentions(ast.parse(code)))
