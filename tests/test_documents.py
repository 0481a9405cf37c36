"""Commands in the documents have the names and options that exist; code is run, read or accounted for."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import pytest
import typer

from edgecsp.cli import app
from support import media
from support.commands import edgecsp
from support.documents import blocks
from support.pages import list_pages
from support.repository import REPO

SKIPPED = re.compile(r"/\.|node_modules|/docs/decisions/")
DOCUMENTS = sorted(
    path.relative_to(REPO).as_posix()
    for pattern in ("*.md", "*/*.md", "docs/*/*.md", "edgecsp/*/*.md", ".github/*/*.md")
    for path in REPO.glob(pattern)
    if not SKIPPED.search(f"/{path.relative_to(REPO).as_posix()}".replace("/.github", ""))
)
PAGES = {f"docs/{page}" for page in list_pages()}  # their blocks: tests/test_pages.py
# What is done with a document's blocks of a language: the test that runs or reads them, or why none runs them.
COVERED = {
    ("README.md", "sh"): "run by tests/test_readme.py",
    ("README.md", "python"): "run by tests/test_readme.py, its types checked by tests/test_wheel_types.py",
    (
        "README.md",
        "bash",
    ): "training as in docs/reference/train.md, tested by tests/train; the server does not end by itself",
    ("CONTRIBUTING.md", "python"): "built and tested by tests/contract/test_engine_packages.py",
    ("CONTRIBUTING.md", "toml"): "built by tests/contract/test_engine_packages.py",
    ("docs/logging.md", "python"): "run by tests/test_logging.py",
    ("docs/fleets.md", "toml"): "read by tests/serve/test_fleets.py",
    ("docs/fleets.md", "dockerfile"): "read by tests/serve/test_fleets.py",
    ("docs/fleets.md", "yaml"): "read below, its metrics by tests/serve/test_fleets.py",
    ("docs/fleets.md", "sh"): "needs docker",
    ("docker/README.md", "sh"): "needs docker and a board; docker/check-build builds and runs the images",
}


def text_of(document: str) -> str:
    return (REPO / document).read_text("utf-8")


def code_of(document: str) -> Iterator[str]:
    """Lines of code of a document: in fenced blocks, in indented ones, and in backquotes."""
    text = text_of(document)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()
    yield from re.findall(r"^    (\S.*)$", prose, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", prose)


@functools.lru_cache(maxsize=None)
def root_command() -> Any:
    """The click command of `edgecsp`."""
    return typer.main.get_command(app)


def command_of(words: List[str]) -> Tuple[Any, List[str]]:
    """The click command that `edgecsp WORDS` would run, and the words that are left for it."""
    command: Any = root_command()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        size = 2 if " ".join(words[:2]) in command.commands else 1
        command, words = command.commands[" ".join(words[:size])], words[size:]
    return command, words


def unknown(line: str) -> Optional[str]:
    """What a line that begins with edgecsp gets wrong: a command, an option."""
    try:
        words = shlex.split(re.split(r" [#|&]|;|  +", line)[0], comments=True)[1:]
    except ValueError:
        return None  # a part of a sentence
    try:
        command, rest = command_of(words)
    except KeyError as error:
        return f"no command {error}"
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}
    asked = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    return f"no option {asked - options}" if asked - options else None


def test_commands_and_options_of_the_documents_exist() -> None:
    seen, wrong = 0, []
    for document in DOCUMENTS:
        for line in code_of(document):
            if re.match(r"edgecsp( [a-z-]|$)", line):
                seen += 1
                problem = unknown(line)
                wrong += [f"{document}: {line}: {problem}"] if problem else []
    assert wrong == [] and seen > 80, seen
    assert unknown("edgecsp devices") and unknown("edgecsp run x --conv 1")
    assert not unknown("edgecsp run x -m y --conf 1")


def test_modules_and_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), re.MULTILINE))
    modules: Dict[str, str] = {}
    for document in DOCUMENTS:
        for line in code_of(document):
            made = re.match(r"make ([a-z][a-z0-9-]*)", line)
            assert made is None or made[1] in targets, f"{document}: {line}"
            named = re.findall(r"python3? -m ((?:calib|benchmarks|edgecsp)[\w.]*)", line)
            modules.update(dict.fromkeys(named, document))
    assert len(modules) > 10
    assert [name for name in modules if importlib.util.find_spec(name.rstrip(".")) is None] == []


def test_files_that_the_documents_link_to_exist() -> None:
    broken = [
        f"{document}: {link}"
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(document))
        if not ((REPO / document).parent / link).exists()
    ]
    assert broken == []


def test_every_block_of_code_is_accounted_for() -> None:
    there: Set[Tuple[str, str]] = {
        (document, language)
        for document in DOCUMENTS
        for language in re.findall(r"^```(\w+)$", text_of(document), re.MULTILINE)
    }
    assert {each for each in there if each[0] not in PAGES} == set(COVERED)


@pytest.mark.parametrize(("document", "language"), [each for each in sorted(COVERED) if each[1] in ("sh", "bash")])
def test_blocks_of_shell_are_shell(document: str, language: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    for block in blocks(language, document):
        done = subprocess.run([bash, "-n"], input=block, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_the_site_file_with_everything_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
    from edgecsp.serve import site

    (text,) = blocks("toml", "docs/how-to/serve.md")
    urls = {"DOOR_URL": "rtsp://c/s", "MQTT_URL": "mqtt://broker.example/edge"}
    for name in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(name, urls.get(name, "secret"))
    for name in re.findall(r'"file:([\w.]+)"', text):
        (tmp_path / name).write_text("0123456789abcdef")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "site.toml").write_text(text)
    config = site.load(tmp_path / "site.toml")
    assert [(each.name, len(each.lines), len(each.zones)) for each in config.stream_configs] == [
        ("door", 0, 0), ("yard", 1, 1),
    ]  # fmt: skip
    assert config.events_config is not None


def test_yaml_of_the_documents_is_yaml() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (edgecsp[val])")
    keys = [list(yaml.safe_load(block)) for block in blocks("yaml", "docs/fleets.md")]
    assert keys == [["scrape_configs"], ["groups"]]


def test_the_json_line_of_the_reference_is_what_run_writes(tmp_path: Path) -> None:
    (line,) = blocks("json", "docs/reference/json.md")
    wanted = json.loads(line)
    (tmp_path / "a.jpg").write_bytes(media.jpeg(media.scene(0)))
    done = edgecsp("run", tmp_path / "a.jpg", "--conf", "0.0001", "--engine", "ort", "--json", "-", "-q", code=0)
    got = json.loads(done.stdout)
    assert got["detections"], "or its rows cannot be compared"
    assert list(got) == list(wanted) and got["schema"] == wanted["schema"]
    assert list(got["detections"][0]) == list(wanted["detections"][0])
