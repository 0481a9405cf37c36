"""`edgecsp` alone says what to type first, and `edgecsp demo` shows it, without a network."""

from __future__ import annotations

import shlex
from pathlib import Path

import av
import pytest
import typer

from edgecsp.cli import _grammar, app, demo
from support.commands import edgecsp
from support.repository import REPO


def test_examples_stand_above_the_commands() -> None:
    alone = edgecsp()
    assert alone.returncode in (0, 2)  # as the installed click has it
    text = alone.stdout + alone.stderr
    examples, _, commands = text.partition("Commands:")
    assert "Examples:" in examples and commands
    assert len(_grammar.EXAMPLES) == 5
    for line, what in _grammar.EXAMPLES:
        assert f"{line}  " in examples and what in examples, "a line of its own, not wrapped"
    assert max(map(len, examples.splitlines())) <= 80


@pytest.mark.parametrize("line", [line for line, _ in (*_grammar.EXAMPLES, *demo.NEXT)])
def test_an_example_can_be_typed(line: str) -> None:
    group = typer.main.get_command(app)
    for name in (words := shlex.split(line)[1:]):
        words = words[1:]
        group = group.commands[name]  # type: ignore[attr-defined]
        if not hasattr(group, "commands"):
            break
    group.make_context(name, words, parent=None)


def test_the_demo_finds_codes_without_a_network(tmp_path: Path) -> None:
    """In an empty folder and an empty home, with a proxy that nobody answers."""
    from support.repository import child_environment

    environment = child_environment(EDGECSP_HOME=str(tmp_path / "home"), https_proxy="http://127.0.0.1:9")
    done = edgecsp("demo", "--out", "boxes", code=0, cwd=tmp_path, env=environment)
    assert "240 frames" in done.stderr and "nothing" not in done.stderr
    assert [line in done.stderr for line, _ in demo.NEXT] == [True] * len(demo.NEXT)
    with av.open(str(tmp_path / "boxes" / "codes.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 240


def test_the_wheel_has_the_video_once() -> None:
    """A file of the repository that the wheel takes along: it is nowhere in the package itself."""
    assert '"benchmarks/codes.mp4" = "edgecsp/codes.mp4"' in (REPO / "pyproject.toml").read_text("utf-8")
    assert demo.video() == REPO / "benchmarks" / "codes.mp4" and demo.video().is_file()
    assert demo.video().stat().st_size < 1e6
