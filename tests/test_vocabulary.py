"""The words of the code: one name for one class, and none of the words that were given up (docs/glossary.md)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import Dict, Iterator, List, Tuple

import pytest

from support.repository import REPO

PACKAGE = REPO / "edgecsp"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_ENTRIES = 22
GIVEN_UP = {
    "film", "Batcher", "Turn", "Desk", "Screen", "Shot", "Notices", "Link", "Watched", "Refused", "Busy",
    "Crew", "Here", "Offer", "Around", "Guess", "Seen", "Said", "Over", "Unfit", "Kept", "Chosen",
}  # fmt: skip
# Names that a package may not define, by package; attributes that it uses of others are theirs.
PRIVATE_WORDS = {
    "asked", "found", "given", "held", "kept", "made", "said", "shown", "wanted", "films",
    "picture", "pictures", "painted", "drawn", "told",
}  # fmt: skip
NOT_DEFINED_IN = {"cli": PRIVATE_WORDS, "media": PRIVATE_WORDS, "serve": PRIVATE_WORDS}
# Words that no text of a package may have: messages, help, docstrings, comments, pages.
NOT_WRITTEN = re.compile(
    r"\b(pictures?|films?|passed over|lowest score|in the box|what to keep|frames a second)\b", re.IGNORECASE
)
# Routes, keys of files and options, and names that other packages have: they do not change with the words.
KEYS = re.compile(r"picture\.jpg|--same-picture|\bsame_picture\b|\.pictures\b|[\"']pictures?[\"']")
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
    shared = {name: files for name, files in where.items() if len(files) > 1}
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


def defined(tree: ast.AST) -> Iterator[Tuple[str, int]]:
    """The names that a module itself gives: functions, classes, arguments, variables, attributes of self, aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


@pytest.mark.parametrize("package", NOT_DEFINED_IN)
def test_a_package_defines_no_name_of_the_private_dialect(package: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {name}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        for name, line in defined(ast.parse(path.read_text("utf-8")))
        if name.strip("_").lower() in NOT_DEFINED_IN[package]
    ]
    assert found == []


@pytest.mark.parametrize("package", NOT_DEFINED_IN)
def test_texts_of_a_package_are_in_the_words_of_the_field(package: str) -> None:
    files = [path for path in sorted((PACKAGE / package).rglob("*")) if path.suffix in (".py", ".html", ".js")]
    assert files
    found = [
        f"{path.relative_to(PACKAGE)}, line {number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if NOT_WRITTEN.search(KEYS.sub("", line))
    ]
    assert found == []


def test_the_top_level_can_be_taken_in_at_a_glance() -> None:
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= MOST_ENTRIES, entries
