"""No module imports another that imports it back, not even for its types."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set, Tuple

import pytest

from support.repository import REPO

PACKAGES = ("edgecsp", "benchmarks", "calib")
# For type checkers it names what `__getattr__` imports later, and every module below imports it first.
FACE = "edgecsp"


def modules(root: Path, packages: Iterable[str]) -> Dict[str, Path]:
    """The files of packages by the names of their modules."""
    files: Dict[str, Path] = {}
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def statements(body: List[ast.stmt], types_too: bool) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported; of `if TYPE_CHECKING:` with `types_too`."""
    for each in body:
        yield each
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test) and not types_too:
            yield from statements(each.orelse, types_too)
            continue
        for inner in ("body", "orelse", "finalbody"):
            yield from statements(getattr(each, inner, []), types_too)
        for handler in getattr(each, "handlers", []):
            yield from statements(handler.body, types_too)


def imported(name: str, path: Path, known: Dict[str, Path]) -> Set[str]:
    """The modules among `known` that a module imports at its own level."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: Set[str] = set()
    for each in statements(ast.parse(path.read_text("utf-8")).body, name != FACE):
        if isinstance(each, ast.Import):
            names.update(alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - each.level + 1] if each.level else []
            base = ".".join([*above, *([each.module] if each.module else [])])
            inner = {f"{base}.{alias.name}" for alias in each.names}
            names |= {one if one in known else base for one in inner}
    return (names & known.keys()) - {name}


def reach(graph: Dict[str, Set[str]], name: str) -> Set[str]:
    """All that a module imports, directly or through others."""
    reached: Set[str] = set()
    waiting = [name]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def circles(graph: Dict[str, Set[str]]) -> List[Tuple[str, ...]]:
    """The groups of modules that reach each other through imports."""
    every = {name: reach(graph, name) for name in graph}
    looped = {name for name in graph if name in every[name]}
    return sorted({tuple(sorted(each for each in every[name] & looped if name in every[each])) for name in looped})


def test_no_module_imports_what_imports_it() -> None:
    known = modules(REPO, PACKAGES)
    assert len(known) > 300
    assert circles({name: imported(name, path, known) for name, path in known.items()}) == []


@pytest.mark.parametrize("line", ["from . import a", "from .a import x", "import p.a", "from p import a"])
@pytest.mark.parametrize("frame", ["{}", "if TYPE_CHECKING:\n    {}", "try:\n    {}\nexcept ImportError:\n    pass"])
def test_a_circle_is_seen(line: str, frame: str, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for name, text in (("__init__", ""), ("a", "from .b import y\n"), ("b", frame.format(line)), ("c", "import p.a")):
        (tmp_path / "p" / f"{name}.py").write_text(text)
    known = modules(tmp_path, ["p"])
    assert circles({name: imported(name, path, known) for name, path in known.items()}) == [("p.a", "p.b")]


def test_an_import_within_a_function_is_none(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.py").write_text("from . import b\n")
    (tmp_path / "p" / "b.py").write_text("def f():\n    from . import a\n")
    known = modules(tmp_path, ["p"])
    assert circles({name: imported(name, path, known) for name, path in known.items()}) == []
