"""Errors name a heading of the troubleshooting page, and the command line prints it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, Set, Type

import pytest

from edgecsp import backends, errors
from edgecsp.errors import BadWeights, EdgecspError, EngineUnavailable, SourceError
from support.commands import edgecsp
from support.repository import REPO

PAGE = (REPO / "docs" / "troubleshooting.md").read_text("utf-8")


def slugs() -> Set[str]:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def subclasses(root: Type[EdgecspError]) -> Iterator[Type[EdgecspError]]:
    yield root
    for each in root.__subclasses__():
        yield from subclasses(each)


def anchors_in_the_code() -> Set[str]:
    """Texts that are given as docs=, constants of that end, and links in other texts."""
    named: Set[str] = set()
    for path in (REPO / "edgecsp").rglob("*.py"):
        text = path.read_text("utf-8")
        named.update(re.findall(r"troubleshooting#([a-z0-9-]+)", text))
        if "docs" not in text.lower():
            continue
        for node in ast.walk(ast.parse(text)):
            values = []
            is_keyword = isinstance(node, ast.keyword) and node.arg == "docs"
            if is_keyword or (
                isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").lower()[-4:] == "docs"
            ):
                values = [node.value]
            elif isinstance(node, ast.FunctionDef) and node.name.endswith("_docs_of"):
                values = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            for value in values:
                parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
                named.update(str(each.value) for each in parts if isinstance(each, ast.Constant) and each.value)
    return named


def test_every_anchor_is_a_heading() -> None:
    named = anchors_in_the_code()
    assert named >= {"rtsp-timeout", "cuda-not-seen", "engine-not-available", "out-of-memory", "model-not-recognised"}
    assert named <= slugs()
    assert {each.docs for each in subclasses(errors.EdgecspError)} <= {"", *slugs()}


def test_an_error_may_name_another_than_its_class() -> None:
    assert BadWeights("x").docs == "weights-do-not-fit" and SourceError("x").docs == ""
    assert BadWeights("x", docs="file-changed").docs == "file-changed"
    assert str(SourceError("x", docs="rtsp-timeout")) == "x"


def test_cuda_has_its_own() -> None:
    if backends.unavailable_reason("trt") is None:
        pytest.skip("TensorRT runs here")
    with pytest.raises(EngineUnavailable) as failed:
        backends.require("trt")
    assert failed.value.docs == "cuda-not-seen"


def test_the_command_line_prints_it(tmp_path: Path) -> None:
    done = edgecsp("run", "rtsp://127.0.0.1:9/x", "--json", "-", code=3)
    assert done.stderr.split()[-2:] == ["docs:", "troubleshooting#rtsp-timeout"]
    absent = edgecsp("run", tmp_path / "gone.jpg", "--json", "-", code=3)
    assert "docs:" not in absent.stderr
