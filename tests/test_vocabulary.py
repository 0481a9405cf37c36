"""The words of the code: one name for one class, and none of the words that were given up (docs/glossary.md)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import pytest

from support.repository import REPO

PACKAGE = REPO / "edgecsp"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_ENTRIES = 23
GIVEN_UP = {
    "film", "Batcher", "Turn", "Desk", "Screen", "Shot", "Notices", "Link", "Watched", "Refused", "Busy",
    "Crew", "Here", "Offer", "Around", "Guess", "Seen", "Said", "Over", "Unfit", "Kept", "Chosen",
}  # fmt: skip
# Participles and nouns that say nothing about what they name, in any letter case; they are no name anywhere.
PRIVATE_WORDS = {
    "asked", "drawn", "film", "films", "found", "given", "held", "kept", "looks", "made", "painted", "picture",
    "pictures", "said", "seen", "shown", "told", "wanted",
}  # fmt: skip
# Words that no text may have: messages, help, docstrings, comments, pages.
NOT_WRITTEN = re.compile(
    r"\b(pictures?|films?|passed over|lowest score|in the box|what to keep|frames a second)\b", re.IGNORECASE
)
# Routes, options, keys and values of files do not change with the words; "leading pictures" is the codecs' own term.
KEYS = re.compile(
    r"/picture\.jpg|--same-picture|\bsame_picture\b|[\"'`]pictures?[\"'`]|[Ll]eading pictures"
    r"|\"drawn pictures\"|\} pictures\"|\"in the box\"|not \"(?:picture|film)\""
)
# The package's own top level and each of its packages, and what stands beside it.
PLACES = {
    **{path.name: sorted(path.rglob("*")) for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()},
    "edgecsp": sorted(PACKAGE.glob("*.py")),
    **{name: sorted((REPO / name).rglob("*")) for name in ("benchmarks", "calib", "tests/support")},
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
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((each.asname or each.name, node.lineno) for each in node.names)


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


@pytest.mark.parametrize("place", PLACES)
def test_words_of_the_private_dialect_are_no_identifiers(place: str) -> None:
    files = [path for path in PLACES[place] if path.suffix == ".py"]
    assert files
    assert [
        f"{path.relative_to(REPO)}, line {line}: {name}"
        for path in files
        for name, line in identifiers(ast.parse(path.read_text("utf-8")))
        if name.strip("_").lower() in PRIVATE_WORDS
    ] == []


def lines_in_other_words(files: Sequence[Path]) -> List[str]:
    """Lines of files that hold one of the words given up, outside of keys and routes."""
    return [
        f"{path.relative_to(REPO)}, line {number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if NOT_WRITTEN.search(KEYS.sub("", line))
    ]


@pytest.mark.parametrize("place", PLACES)
def test_texts_are_in_the_words_of_the_field(place: str) -> None:
    files = [path for path in PLACES[place] if path.suffix in (".py", ".html", ".js")]
    assert files
    assert lines_in_other_words(files) == []


DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "edgecsp/**/*.md", "calib/*.md", "docker/*.md")
    for path in sorted(REPO.glob(pattern))
    if path.name not in ("glossary.md", "CHANGELOG.md")
]


def test_documents_say_image_and_video() -> None:
    assert len(DOCUMENTS) > 60
    assert lines_in_other_words(DOCUMENTS) == []


# "What a run did" has to be read twice; "Counts of a run" is what somebody looks for. Predicates begin with Whether.
NOT_FIRST = {"What", "How", "Where", "Which", "Whoever", "Of", "As", "So"}


def docstrings(tree: ast.Module) -> Iterator[Tuple[str, int]]:
    """The docstrings of a module and of its public classes, functions and methods, with their lines."""
    for node in ast.walk(tree):
        is_documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if is_documented and not getattr(node, "name", "").startswith("_"):
            yield ast.get_docstring(node) or "", getattr(node, "lineno", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", PLACES)
def test_docstrings_begin_with_a_verb_or_a_noun(place: str) -> None:
    assert [
        f"{path.relative_to(REPO)}, line {line}: {text.splitlines()[0]}"
        for path in PLACES[place]
        if path.suffix == ".py"
        for text, line in docstrings(ast.parse(path.read_text("utf-8")))
        if text.split(" ")[0] in NOT_FIRST
    ] == []


def test_the_top_level_can_be_taken_in_at_a_glance() -> None:
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= MOST_ENTRIES, entries
