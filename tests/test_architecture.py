"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from support.repository import REPO, TESTS

PACKAGE = REPO / "edgecsp"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("urllib.request", "cv2", "onnx", "onnxruntime", "av", "openvino", "tensorrt", "torch")


def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY_NOW = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert child(f"import edgecsp; {HEAVY_NOW}").strip() == "[]"
    modules = "edgecsp.types, edgecsp.errors, edgecsp.graph.layers, edgecsp.importers.darknet, edgecsp.backends"
    code = f"import edgecsp, {modules}; {HEAVY_NOW}"
    assert child(code).strip() == "[]"
    # And the check can fail:
    assert "cv2" in child(f"import cv2; {HEAVY_NOW}")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["import", "--help"], ["--version"], []])
def test_help_answers_without_anything_heavy(arguments: list) -> None:
    code = f"""
import sys, runpy
sys.argv = ["edgecsp", *{arguments!r}]
try:
    runpy.run_module("edgecsp", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert stop.code in (0, None, 2 if not {arguments!r} else 0), stop.code
{HEAVY_NOW}
"""
    assert child(code).splitlines()[-1] == "[]"


def test_names_the_package_offers() -> None:
    code = "import edgecsp as e; print(sorted(e.__all__) == dir(e), [getattr(e, name) for name in e.__all__])"
    assert child(code).startswith("True")
    with pytest.raises(AssertionError, match="has no attribute 'nonsense'"):
        child("import edgecsp; edgecsp.nonsense")


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func) if sys.version_info >= (3, 9) else _dotted(node.func)


def _dotted(node: ast.AST) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "?")


def test_only_the_command_line_prints_and_exits() -> None:
    forbidden = {"print", "exit", "quit", "input", "sys.exit", "os._exit", "sys.stdout.write", "sys.stderr.write"}
    wrong = [
        f"{path.relative_to(REPO)}: {call}()"
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] != "cli" and path.name != "first_signals.py"
        for call in calls(path)
        if call in forbidden
    ]
    assert wrong == []
    assert any(call == "print" for path in FILES if "cli" in path.parts for call in calls(path))  # it does see them


def test_nothing_is_evaluated() -> None:
    forbidden = ("eval", "exec", "pickle.loads", "pickle.load")
    assert [path for path in FILES for call in calls(path) if call in forbidden] == []


def test_no_module_says_nothing_with_its_name() -> None:
    empty = ("manager", "handler", "helper", "helpers", "util", "utils", "misc", "common")
    assert [path for path in FILES for part in (path.stem, path.parent.name) if part.strip("_") in empty] == []


def test_no_error_is_swallowed() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (node.type is None or _dotted(node.type) == "Exception"):
                assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node)), f"{path}, line {node.lineno}"


def test_imports_go_one_way() -> None:
    beside = Path(sys.executable).with_name("lint-imports")
    program = str(beside) if beside.exists() else shutil.which("lint-imports")
    if program is None:
        pytest.skip("lint-imports is not installed")
    done = subprocess.run([program, "--no-cache"], capture_output=True, text=True, cwd=REPO, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_what_test_files_share_is_in_one_package() -> None:
    """A function that two test files have is a function of tests/support, and no test file imports another."""
    tests = sorted(TESTS.rglob("test_*.py"))
    names = {path.stem for path in tests}
    assert len(names) == len(tests), "test files need names of their own"
    bodies: Dict[str, List[str]] = {}
    imports = []
    for path in tests:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                imports.append(f"{path.relative_to(TESTS)} imports {node.module}")
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.body[0].lineno >= 2:
                body = "".join(ast.dump(statement) for statement in node.body)
                bodies.setdefault(body, []).append(f"{path.relative_to(TESTS)}: {node.name}")
    assert imports == []
    assert [places for places in bodies.values() if len({place.split(":")[0] for place in places}) > 1] == []
