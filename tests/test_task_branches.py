"""No file branches on a task, or on the kind of a result or a head: results and heads have methods for what differs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from edgecsp.processing import heads
from edgecsp.types import Result
from support.repository import REPO

TASKS = {each.task for each in Result.__subclasses__()}
KEYS = {each.key for each in Result.__subclasses__()} - {"classes"}  # an option has that name too
CLASSES = {each.__name__ for each in (*Result.__subclasses__(), *heads.kinds().values())}
# Files that do, with how many times, and why: what they are for is one kind of head, or a format that has no other.
EXCEPTIONS = {
    "edgecsp/importers/darknet/__init__.py": (1, "a note on YOLOv3-tiny's anchors, which its YOLO heads alone have"),
    "edgecsp/importers/darknet/writing.py": (3, "darknet's cfg has a section for each of its own kinds of head"),
    "edgecsp/processing/heads/two_stage.py": (1, "finds its own heads by their names"),
    "edgecsp/serve/event_throttle.py": (1, "counts events as JSON, where the key is all that tells what a row is"),
    "edgecsp/train/network.py": (2, "the loss is that of YOLO heads alone"),
}


def branches(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    """Comparisons with a task, a kind or a key of results, and questions for a class of results or heads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            constants = {each.value for side in sides for each in ast.walk(side) if isinstance(each, ast.Constant)}
            attributes = {each.attr for each in sides if isinstance(each, ast.Attribute)}
            names = {each.id for each in sides if isinstance(each, ast.Name)} | attributes
            is_of_kind = names & {"kind", "task"} and constants & (TASKS | set(heads.kinds()))
            is_of_key = constants & KEYS and all(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops)
            if is_of_kind or is_of_key or names & CLASSES:
                yield node.lineno, ast.dump(node)[:80]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            asked = {getattr(each, "id", getattr(each, "attr", "")) for each in ast.walk(node.args[1])}
            if asked & CLASSES:
                yield node.lineno, f"isinstance of {sorted(asked & CLASSES)}"


def files() -> Iterator[Path]:
    for folder in ("edgecsp", "benchmarks"):
        yield from sorted((REPO / folder).rglob("*.py"))


def test_no_file_branches_on_a_task_or_a_kind_of_result_or_head() -> None:
    found = {path.relative_to(REPO).as_posix(): list(branches(ast.parse(path.read_text("utf-8")))) for path in files()}
    counted = {file: len(lines) for file, lines in found.items() if lines}
    assert {file: found[file] for file in counted if file not in EXCEPTIONS} == {}
    assert counted == {file: count for file, (count, _) in EXCEPTIONS.items()}


@pytest.mark.parametrize(
    "code",
    [
        "if model.task == 'detect': pass", "x = 1 if 'classify' != task else 2", "isinstance(result, Classes)",
        "isinstance(head, types.Yolo)", "isinstance(result, (int, Detections))", "x = type(head) is Scores",
        "rows = event['detections'] if 'detections' in event else []", "head.kind == 'yolo'",
        "model.task in ('detect', 'classify')",
    ],
)  # fmt: skip
def test_it_would_see_one(code: str) -> None:
    assert len(list(branches(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", ["entry[result.key]", "stream.kind == 'image'", "'detect' == word", "x = Yolo('a')"])
def test_it_sees_no_other(code: str) -> None:
    assert not list(branches(ast.parse(code)))
