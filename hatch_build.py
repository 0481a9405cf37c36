"""The README as a package index shows it, where no file of the repository is beside it (hatchling's metadata hook).

A link to a file of the repository becomes its text, and an image of the repository is left out. Once pyproject.toml
names the public address as `Repository` in [project.urls], both become absolute links to that address.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
# An image that is left out takes the line below it, its caption, with it.
FIGURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)\s]+\)\n\n\*[^\n]*\*\n\n", re.MULTILINE)


def make_absolute(markdown, repository=None):
    """Return the text of a README without relative links."""
    if repository is None:
        return LINK.sub(lambda match: "" if match[1] else match[2], FIGURE.sub("", markdown))
    base = repository.rstrip("/")
    return LINK.sub(
        lambda match: f"{match[1]}[{match[2]}]({base}/{'raw' if match[1] else 'blob'}/main/{match[3]})", markdown
    )


class ReadmeHook(MetadataHookInterface):
    """Set the long description of the package."""

    PLUGIN_NAME = "custom"

    def update(self, metadata):
        """Read README.md and hand it over without relative links."""
        markdown = (Path(self.root) / "README.md").read_text("utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": make_absolute(markdown, repository)}
