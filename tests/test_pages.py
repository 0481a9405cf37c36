"""The site's pages: their commands and their Python run, their files are read, their links and words hold."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest

from benchmarks import reference, site_hooks
from edgecsp import errors
from edgecsp.errors import EdgecspError, EngineUnavailable
from support import chromium
from support.commands import invoke
from support.documents import lacking_extra, shortened
from support.pages import blocks_of, commands_of, lay_desk, list_pages
from support.repository import REPO, child_environment
from support.tiny import Tiny

DOCS = REPO / "docs"
PAGES = list_pages()
RUN = ("sh", "python")
# Languages whose blocks are run or read here; a block of bash is not run: a camera, a server that does not end, an
# installation, a training (tests/train/test_pages_train.py runs those), a download, or a second machine.
LANGUAGES = {"sh", "python", "bash", "toml", "json", "yaml", "text"}
SECRETS = {"DOOR_URL": "rtsp://camera/stream", "MQTT_URL": "mqtt://broker/home", "MQTT_PASSWORD": "secret"}


@pytest.fixture
def desk(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds what the pages speak of."""
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(lay_desk(tmp_path / "desk", tiny))
    return tmp_path / "desk"


def write_site_file(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write site.toml with the secrets that it names."""
    for name in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(name, SECRETS[name])
    for name in re.findall(r'"file:([\w.]+)"', text):
        (folder / name).write_text("0123456789abcdef")
        (folder / name).chmod(0o600)
    (folder / "site.toml").write_text(text)


@pytest.mark.parametrize("page", [page for page in PAGES if any(each.language in RUN for each in blocks_of(page))])
def test_commands_and_python_run(
    page: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks: Set[str] = set()
    for block in blocks_of(page):
        if block.language == "toml":
            write_site_file(block.text, desk, monkeypatch)
        elif block.language == "sh":
            for command in commands_of(block):
                words = shlex.split(shortened(command))[1:]
                try:
                    code, _, err = invoke(capsys, *words)
                except EngineUnavailable as error:
                    extra = lacking_extra(str(error))
                    assert extra, f"{command}: {error}"
                    lacks.add(extra)
                    continue
                assert code == 0, f"{command}: {err}"
        elif block.language == "python":
            modules = re.findall(r"^import (\w+)", block.text, re.MULTILINE)
            absent = [name for name in modules if name not in sys.modules and not importable(name)]
            if absent:
                lacks.update(absent)
                continue
            exec(compile(block.text, page, "exec"), {})
    if lacks:
        pytest.skip(f"parts that want these did not run: {', '.join(sorted(lacks))}")


def importable(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_run_or_read(page: str) -> None:
    bash = shutil.which("bash")
    for block in blocks_of(page):
        assert block.language in LANGUAGES
        if block.language == "sh":
            lines = [line for line in block.text.splitlines() if line.strip()]
            assert len(list(commands_of(block))) == len(lines), f"{page}: a line of {lines} would not be run"
        elif block.language == "bash" and bash:
            done = subprocess.run([bash, "-n"], input=block.text, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        elif block.language == "json":
            assert json.loads(block.text)["schema"] == "edgecsp/1"


def test_extras_of_the_pages_exist() -> None:
    declared = set(re.findall(r"^(\w+) = \[", (REPO / "pyproject.toml").read_text("utf-8"), re.MULTILINE))
    named = {
        extra
        for page in PAGES
        for group in re.findall(r"'\.\[([\w,]+)\]'", (DOCS / page).read_text("utf-8"))
        for extra in group.split(",")
    }
    assert len(named) > 5 and named <= declared
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| .* \| .* \|$", (DOCS / "start/install.md").read_text("utf-8"), re.MULTILINE
    )
    listed = {extra.strip("` ") for row in rows for extra in row.split(",")}
    assert listed == set(extras_of_the_project())


def extras_of_the_project() -> List[str]:
    text = (REPO / "pyproject.toml").read_text("utf-8")
    section = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[|^# \[project", text, re.DOTALL | re.MULTILINE)
    assert section is not None
    return re.findall(r"^(\w+) = \[", section[0], re.MULTILINE)


def test_site_files_of_the_pages_are_ones(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
    from edgecsp.serve import site

    files = [block.text for page in PAGES for block in blocks_of(page) if block.language == "toml"]
    assert len(files) >= 4
    for text in files:
        write_site_file(text, desk, monkeypatch)
        site.load(desk / "site.toml")


def test_yaml_of_the_pages_is_yaml() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (edgecsp[val])")
    blocks = [block.text for page in PAGES for block in blocks_of(page) if block.language == "yaml"]
    assert len(blocks) == 1 and yaml.safe_load(blocks[0])["detectors"]["edgecsp"]["type"] == "deepstack"


# -- what is generated, and what a page must list ------------------------------------------------------------------


def test_generated_pages_are_up_to_date() -> None:
    for path, text in reference.pages().items():
        assert path.read_text("utf-8") == text, f"{path.name} is out of date; type: python -m benchmarks.reference"


def variables_of(tree: ast.Module) -> Iterator[str]:
    """Names of environment variables that a module reads or sets, as os.environ, getenv or typer's envvar has them."""
    constants = {
        node.targets[0].id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }

    def text(node: ast.AST) -> Any:
        return node.value if isinstance(node, ast.Constant) else constants.get(getattr(node, "id", ""))

    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func) if sys.version_info >= (3, 9) else ""
            if re.match(r"os\.(environ\.\w+|getenv)$", called) and node.args:
                yield text(node.args[0])
            yield from (text(each.value) for each in node.keywords if each.arg == "envvar")
        elif isinstance(node, ast.Subscript) and is_environ(node.value):
            yield text(node.slice)
        elif isinstance(node, ast.Compare) and is_environ(node.comparators[0]):
            yield text(node.left)


def is_environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


@pytest.mark.skipif(sys.version_info < (3, 9), reason="the code is read with ast.unparse (Python 3.9)")
def test_environment_variables_are_those_of_the_code() -> None:
    used = {
        name
        for path in (REPO / "edgecsp").rglob("*.py")
        for name in variables_of(ast.parse(path.read_text("utf-8")))
        if name and not (name.startswith("RAY_") and name != "RAY_AUTH_MODE")  # set for Ray, not for users
    }
    page = (DOCS / "reference/environment.md").read_text("utf-8")
    table = page[page.index("## Read by edgecsp") : page.index("## Read by libraries")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == used


def test_schemas_are_those_of_the_code() -> None:
    code = "".join(path.read_text("utf-8") for path in (REPO / "edgecsp").rglob("*.py"))
    page = (DOCS / "reference/json.md").read_text("utf-8")
    assert set(re.findall(r"`(edgecsp-[a-z-]+/\d+)`", page)) == set(re.findall(r'"(edgecsp-[a-z-]+/\d+)"', code))


def test_the_python_page_has_all_public_names() -> None:
    import edgecsp

    page = (DOCS / "reference/python.md").read_text("utf-8")
    described = {name.rpartition(".")[2] for name in re.findall(r"^::: edgecsp\.([\w.]+)$", page, re.MULTILINE)}
    assert described == set(edgecsp.__all__) - {"__version__"}


# -- the site ------------------------------------------------------------------------------------------------------


def anchors_of(document: Path) -> Set[str]:
    prose = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_links_and_their_anchors_exist() -> None:
    wrong = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", (DOCS / page).read_text("utf-8")):
            document = (DOCS / page).parent / target if target else DOCS / page
            if not document.exists() or (anchor and anchor not in anchors_of(document)):
                wrong.append(f"{page}: {target}#{anchor}")
    assert wrong == []


def test_links_of_documents_become_links_of_the_site() -> None:
    text = "[a](../docs/options.md#x) ![b](../benchmarks/results/demo.jpg) [c](../edgecsp/errors.py) [d](gone.md)\n"
    fenced = f"```text\n{text}```\n"
    assert site_hooks.rewrite_links(text + fenced, "repository/docker.md") == (
        "[a](../options.md#x) ![b](demo.jpg) c [d](gone.md)\n" + fenced
    )
    assert site_hooks.rewrite_links("text\n| a |\n|---|\n| b |\n", "index.md") == "text\n\n| a |\n|---|\n| b |\n"
    assert all((REPO / path).exists() for path in site_hooks.ADDED)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    program = os.environ.get("EDGECSP_MKDOCS")
    if not program or not Path(program).exists():
        pytest.skip("EDGECSP_MKDOCS names no mkdocs (make test sets it; extra docs)")
    folder = tmp_path_factory.mktemp("site")
    command: List[Any] = [program, "build", "--site-dir", folder]  # --quiet would count no warnings
    env = child_environment(NO_MKDOCS_2_WARNING="1")
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def test_every_page_is_in_the_site_and_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file()
    loads = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    found: Dict[str, List[str]] = {
        path.name: loads.findall(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"
    }
    assert len(found) > 100 and [each for each in found.items() if each[1]] == []
    troubleshooting = (site / "troubleshooting.html").read_text("utf-8")
    anchors = {each.docs for each in vars(errors).values() if isinstance(each, type) and issubclass(each, EdgecspError)}
    assert len(anchors) > 5 and all(f'id="{anchor}"' in troubleshooting for anchor in anchors if anchor)
    reference = (site / "reference/python.html").read_text("utf-8")
    assert "&gt;&gt;&gt; " in reference and "<blockquote>" not in reference, "examples of docstrings are code"


@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
@pytest.mark.parametrize(("page", "width", "dark"), [("index", 1200, False), ("reference/commands", 390, True)])
def test_pages_open_without_a_network(site: Path, tmp_path: Path, page: str, width: int, dark: bool) -> None:
    with chromium.opened(site / f"{page}.html", tmp_path / "profile", width, dark) as opened:
        assert opened.value("document.querySelector('h1').innerText")
        assert opened.value("document.documentElement.scrollWidth") <= width
        assert opened.value("document.body.dataset.mdColorScheme") == ("slate" if dark else "default")
        opened.value("document.querySelector('.md-search__input').focus()")
        opened.value("document.querySelector('.md-search__input').value = 'tracking'")
        opened.value("document.querySelector('.md-search__input').dispatchEvent(new Event('keyup', {bubbles: true}))")
        assert opened.value(
            "new Promise(done => { const look = () => document.querySelector('.md-search-result__item') ? done(true)"
            " : setTimeout(look, 50); look(); setTimeout(() => done(false), 15000); })"
        )
        assert opened.complaints() == []


# The search is tried above, on two pages; here it would read its index a hundred times.
WITHOUT_SEARCH = """
class Idle extends EventTarget { postMessage() {} terminate() {} }
Object.defineProperty(window, 'Worker', {get: () => Idle, set: () => {}});
"""


@pytest.mark.slow
@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed (Debian: chromium)")
def test_all_pages_fit_a_phone_in_the_dark_without_a_network(site: Path, tmp_path: Path) -> None:
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")  # its links begin at the host
    assert len(pages) > 100
    wrong = []
    with chromium.opened(site / "index.html", tmp_path / "profile", 390, dark=True) as opened:
        opened.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_SEARCH)
        for path in pages:
            opened.events.clear()
            opened.call("Page.navigate", url=path.as_uri())
            opened.until("Page.loadEventFired")
            width = opened.value("document.documentElement.scrollWidth")
            scheme = opened.value("document.body.dataset.mdColorScheme")
            complaints = opened.complaints()
            if width > 390 or scheme != "slate" or complaints:
                wrong.append((path.relative_to(site).as_posix(), width, scheme, complaints))
    assert wrong == []
