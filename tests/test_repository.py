"""The files by which a repository is known to programs: its metadata, its citation, its templates."""

from __future__ import annotations

import email
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict

import pytest

from support.repository import REPO

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Citation File Format 1.2.0: what it wants, and which keys its objects may have (those that are likely here).
CFF_REQUIRED = {"cff-version", "message", "title", "authors"}
CFF_KEYS = CFF_REQUIRED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url",
    "preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url",
    "version",
}  # fmt: skip
PERSON = {
    "affiliation",
    "alias",
    "email",
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "orcid",
    "website",
}
ENTITY = {"address", "alias", "city", "country", "email", "name", "website"}
REFERENCE = {
    "abstract", "authors", "collection-title", "conference", "doi", "end", "journal", "month", "pages", "publisher",
    "start", "title", "type", "url", "volume", "year",
}  # fmt: skip


def test_the_citation_file() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (edgecsp[val])")
    citation: Dict[str, Any] = yaml.safe_load((REPO / "CITATION.cff").read_text("utf-8"))
    assert set(citation) >= CFF_REQUIRED and set(citation) <= CFF_KEYS
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["license"] == project()["license"]["text"]
    for reference in citation["references"]:
        assert {"authors", "title", "type"} <= set(reference) <= REFERENCE
        assert isinstance(reference["year"], int) and reference["url"].startswith("https://")
    for author in (*citation["authors"], *(each for one in citation["references"] for each in one["authors"])):
        assert all(isinstance(value, str) for value in author.values()), author
        assert set(author) <= (ENTITY if "name" in author else PERSON) and {"name", "family-names"} & set(author)


def project() -> Dict[str, Any]:
    found: Dict[str, Any] = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def test_the_metadata_names_what_is_tested() -> None:
    versions = [tuple(map(int, each.split("3.")[1].split("."))) for each in project()["classifiers"] if ":: 3." in each]
    oldest = re.search(r">=3\.(\d+)", project()["requires-python"])
    assert oldest is not None and min(versions) == (int(oldest[1]),)
    makefile = (REPO / "Makefile").read_text("utf-8")
    assert f"python3.{oldest[1]}" in makefile, "make test runs it"
    assert "Typing :: Typed" in project()["classifiers"] and project()["authors"] == [{"name": "edgecsp contributors"}]


@pytest.mark.slow
def test_the_wheel_carries_its_metadata_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(opened.read(metadata))
    assert "edgecsp/py.typed" in names and any(name.endswith("LICENSE") for name in names)
    assert message.get_all("Classifier") == sorted(project()["classifiers"], key=message.get_all("Classifier").index)
    assert message["Keywords"] and message["Requires-Python"] == project()["requires-python"]
    assert not [name for name in names if name.split("/")[0] not in ("edgecsp", metadata.split("/")[0])]


@pytest.mark.parametrize("path", sorted((REPO / ".github").rglob("*.*")), ids=lambda path: path.name)
def test_templates(path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (edgecsp[val])")
    text = path.read_text("utf-8")
    if path.suffix in (".yml", ".yaml"):
        assert yaml.safe_load(text)
        return
    if "ISSUE_TEMPLATE" not in path.parts:
        assert "CHANGELOG" in text
        return
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert {"name", "about"} <= set(fields) <= {"name", "about", "title", "labels", "assignees"} and body.strip()
