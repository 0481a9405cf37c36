"""Commands to type for optional dependencies, by how edgecsp itself was installed (PEP 610)."""

from __future__ import annotations

import json
import re
import shlex
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

PACKAGE = "edgecsp"
ROOT = Path(__file__).resolve().parents[2]  # of a checkout; of an installed package: site-packages


@lru_cache(maxsize=None)
def command(extra: str = "") -> str:
    """Return the command that installs an extra of edgecsp from the checkout, wheel or URL that edgecsp came from.

    Where that is gone, the command names the packages of the extra themselves.
    """
    from importlib import metadata

    try:
        installed: Optional[Distribution] = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        installed = None
    return format_command(extra, installed, ROOT)


def format_command(extra: str, installed: Optional[Distribution], root: Path) -> str:
    """Format the command for an installed distribution, or for a package that runs from the folder `root`."""
    brackets = f"[{extra}]" if extra else ""
    if (root / "pyproject.toml").is_file():  # this code is a checkout, whatever is installed beside it
        return f"pip install -e {shlex.quote(f'{root}{brackets}')}"
    if installed is None:
        return f"pip install {shlex.quote(f'{PACKAGE}{brackets}')}"
    origin: Dict[str, Any] = json.loads(installed.read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    path = _to_path(url) if url.startswith("file:") else None
    if path is not None and not path.exists():
        return f"pip install {' '.join(map(shlex.quote, _list_requirements(extra, installed)))}"
    if "vcs_info" in origin:
        revision = origin["vcs_info"].get("requested_revision")
        url = f"{origin['vcs_info']['vcs']}+{url}" + (f"@{revision}" if revision else "")
    elif "dir_info" in origin:
        option = "-e " * bool(origin["dir_info"].get("editable"))
        return f"pip install {option}{shlex.quote(f'{path}{brackets}')}"
    return f"pip install {shlex.quote(PACKAGE + brackets + (f' @ {url}' if url else ''))}"  # no URL: from a registry


def _to_path(url: str) -> Path:
    from urllib.request import url2pathname  # with ssl and email, an eighth of what `edgecsp --help` takes

    return Path(url2pathname(urlsplit(url).path))


def _list_requirements(extra: str, installed: Distribution) -> List[str]:
    """List the requirements of an extra, without their markers."""
    named = re.compile(rf"""extra\s*==\s*["']{re.escape(extra)}["']""")
    rows = (row.partition(";") for row in installed.requires or ())
    return [requirement.strip() for requirement, _, marker in rows if named.search(marker)]
