"""The command that installs an extra, by how edgecsp was installed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Optional

import pytest

from edgecsp.system import install
from support.repository import REPO


class Installed:
    """A distribution, as importlib.metadata describes one."""

    requires = ("numpy>=1.24", "openvino>=2024.4; extra == 'openvino'", 'ncnn>=1; extra == "ncnn"')

    def __init__(self, origin: Optional[Any]) -> None:
        self.origin = origin

    def read_text(self, name: str) -> Optional[str]:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def command(tmp_path: Path, origin: Optional[Any]) -> str:
    installed: Any = Installed(origin)
    words = shlex.split(install.format_command("openvino", installed, tmp_path))
    assert words[:2] == ["pip", "install"]
    return " ".join(words[2:])


def test_from_this_checkout() -> None:
    assert install.command("openvino") == f"pip install -e '{REPO}[openvino]'"
    assert install.command() == f"pip install -e {REPO}"


def test_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    url = folder.as_uri()
    assert command(tmp_path, {"url": url, "dir_info": {"editable": True}}) == f"-e {folder}[openvino]"
    assert command(tmp_path, {"url": url, "dir_info": {}}) == f"{folder}[openvino]"


def test_from_a_wheel_that_is_there_or_gone(tmp_path: Path) -> None:
    wheel = tmp_path / "edgecsp-0.1.0-py3-none-any.whl"
    origin = {"url": wheel.as_uri(), "archive_info": {}}
    assert command(tmp_path, origin) == "openvino>=2024.4"
    wheel.write_bytes(b"")
    assert command(tmp_path, origin) == f"edgecsp[openvino] @ {wheel.as_uri()}"


@pytest.mark.parametrize(("revision", "end"), [({}, ""), ({"requested_revision": "v1"}, "@v1")])
def test_from_git(tmp_path: Path, revision: Any, end: str) -> None:
    origin = {"url": "https://example.org/e.git", "vcs_info": {"vcs": "git", "commit_id": "0" * 40, **revision}}
    assert command(tmp_path, origin) == f"edgecsp[openvino] @ git+https://example.org/e.git{end}"


def test_from_a_registry(tmp_path: Path) -> None:
    assert command(tmp_path, None) == "edgecsp[openvino]"


def test_pages_name_no_registry() -> None:
    """The package is in none under its name: `pip install 'edgecsp[...]'` alone cannot be typed."""
    pages = [REPO / "README.md", REPO / "CONTRIBUTING.md", *REPO.glob("docs/**/*.md"), *REPO.glob("*/README.md")]
    for page in pages:
        assert not re.search(r"pip install 'edgecsp\[\w+\]'", page.read_text("utf-8")), page


def test_the_demo_needs_no_development_packages() -> None:
    makefile = (REPO / "Makefile").read_text("utf-8")
    assert "\ndemo: $(VENV)/installed\n" in makefile
    recipe = makefile.partition("$(VENV)/installed: ")[2].partition("\n\n")[0]
    assert recipe.splitlines()[-2].endswith("-e .") and "[dev]" not in recipe
