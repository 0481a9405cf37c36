"""The words of the code: one name for one class, and none of the words that were given up (docs/glossary.md)."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import Dict, Iterator, List, Tuple

import pytest

from support.repository import REPO

PACKAGE = REPO / "edgecsp"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_ENTRIES = 22
# Every backend module has a class of this name: it is how an engine is opened.
SHARED = {"Session"}
GIVEN_UP = {
    "film", "Batcher", "Turn", "Desk", "Screen", "Shot", "Notices", "Link", "Watched", "Refused", "Busy",
    "Crew", "Here", "Offer", "Around", "Guess", "Seen", "Said", "Over", "Unfit", "Kept", "Chosen",
}  # fmt: skip
# Identifiers that no longer appear in the packages that have been renamed; other packages follow.
PARTICIPLES = {
    "said", "told", "shown", "made", "kept", "held", "seen", "looks", "film", "picture", "pictures", "drawn",
}  # fmt: skip
GIVEN_UP_IN = {
    "backends": PARTICIPLES,
    "batch": PARTICIPLES - {"told", "pictures"},  # `sources.told` and `sources.pictures`
    "bench": PARTICIPLES,
    "cache": PARTICIPLES,
    "graph": PARTICIPLES,
    "importers": PARTICIPLES,
    "processing": PARTICIPLES,
    "system": PARTICIPLES,
    "zoo": PARTICIPLES,
}


def identifiers(tree: ast.AST) -> Iterator[Tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def test_no_two_classes_share_a_name() -> None:
    where: Dict[str, List[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                where[node.name].append(str(path.relative_to(PACKAGE)))
    shared = {name: files for name, files in where.items() if len(files) > 1 and name not in SHARED}
    assert shared == {}


def test_words_that_were_given_up_are_no_identifiers() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {name}"
        for path in FILES
        for name, line in identifiers(ast.parse(path.read_text("utf-8")))
        if name.strip("_") in GIVEN_UP
    ]
    assert found == []


@pytest.mark.parametrize("package", sorted(GIVEN_UP_IN))
def test_words_that_a_package_has_given_up_are_no_identifiers_there(package: str) -> None:
    files = sorted((PACKAGE / package).rglob("*.py"))
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {name}"
        for path in files
        for name, line in identifiers(ast.parse(path.read_text("utf-8")))
        if name.strip("_") in GIVEN_UP_IN[package]
    ]
    assert files and found == []


def test_the_top_level_can_be_taken_in_at_a_glance() -> None:
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= MOST_ENTRIES, entries
