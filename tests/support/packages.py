"""Packages that are installed for one test, in this process: a module and the metadata of its entry points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict

import pytest

from edgecsp import zoo
from edgecsp.backends import registry
from edgecsp.system import entry_points


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    groups: Dict[str, Dict[str, str]],
    package: str = "edgecsp-toy",
) -> None:
    """Install a package of one module into `folder`; `groups` are entry points, name and object by group."""
    monkeypatch.syspath_prepend(str(folder))
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    monkeypatch.delitem(sys.modules, module, raising=False)
    metadata = folder / f"{module}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    points = [
        line
        for group, names in groups.items()
        for line in (f"[{group}]", *(f"{name} = {module}:{value}" for name, value in names.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n")
    forget()


def forget() -> None:
    """Have the entry points read anew."""
    entry_points.read.cache_clear()
    registry._external_session.cache_clear()
    zoo._external_entries.cache_clear()
