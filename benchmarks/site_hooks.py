"""Hooks of mkdocs (mkdocs.yml): documents outside of docs/ become pages, and links between documents keep working.

A link to a document or an image that the site has becomes a link of the site; a link to another file of the
repository, as a module or a test, becomes its text, for the site has no such page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
# Files of the repository outside of docs/ that the site has, and their place there.
ADDED = {
    "CHANGELOG.md": "repository/changelog.md",
    "CODE_OF_CONDUCT.md": "repository/conduct.md",
    "CONTRIBUTING.md": "repository/contributing.md",
    "SECURITY.md": "repository/security.md",
    "benchmarks/results/demo.gif": "repository/demo.gif",
    "benchmarks/results/demo.jpg": "repository/demo.jpg",
    "benchmarks/results/serve.jpg": "repository/serve.jpg",
    "calib/README.md": "repository/calib.md",
    "docker/README.md": "repository/docker.md",
    "edgecsp/README.md": "repository/package.md",
    "edgecsp/zoo/README.md": "repository/zoo.md",
}
ORIGINS = {place: path for path, place in ADDED.items()}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
# A table right below a line of text: Markdown on GitHub has it begin there, the site's wants an empty line.
TABLE_BELOW_TEXT = re.compile(r"^([^|\n][^\n]*\n)(?=\|[^\n]*\|\n\|[-:| ]+\|$)", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the documents that lie outside of docs/."""
    from mkdocs.structure.files import File

    for path, place in ADDED.items():
        files.append(File.generated(config, place, abs_src_path=str(REPO / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn the links of a document into links of the site."""
    return rewrite_links(markdown, page.file.src_uri)


def rewrite_links(markdown: str, place: str) -> str:
    """Return the text of the page at `place` with its links as the site has them; code stays as it is."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [_rewrite(markdown[end : fence.start()], place), fence[0]]
        end = fence.end()
    return "".join([*parts, _rewrite(markdown[end:], place)])


def _rewrite(text: str, place: str) -> str:
    origin = ORIGINS.get(place, f"docs/{place}")
    folder = posixpath.dirname(origin)

    def site_link(link: re.Match[str]) -> str:
        image, label, target, anchor = link.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        site_path = ADDED.get(path) or (path[len("docs/") :] if path.startswith("docs/") else None)
        if site_path is not None:
            relative = posixpath.relpath(site_path, posixpath.dirname(place) or ".")
            return f"{image}[{label}]({relative}{anchor or ''})"
        return label if (REPO / path).exists() else link[0]  # what is missing stays, and the strict build says so

    return LINK.sub(site_link, TABLE_BELOW_TEXT.sub(r"\1\n", text))
