"""Web pages that servers send instead of a file; the confirmation page of Google Drive can be answered.

For files too large for its virus scan Drive shows a page that asks whether to download anyway. Its direct link
with confirm=t skips that page today; where it does not, the page's form (id "download-form", hidden fields) is
sent once, as its button would. Quota pages and sign-in pages cannot be answered, and are told to the user.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from ...system.http import Response

DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
MAX_PAGE = 1 << 18


class Page(NamedTuple):
    """A web page: its title, and the URL that its download button leads to, None when it has none."""

    title: str
    confirmed_url: Optional[str]

    @property
    def label(self) -> str:
        """The title in brackets, for a message."""
        return f" ({self.title!r})" if self.title else ""


def direct_url(url: str) -> str:
    """Convert a Google Drive link of any form to a direct link; return any other URL as it is."""
    parts = urlsplit(url)
    if parts.hostname not in ("drive.google.com", "docs.google.com"):
        return url
    in_path = re.search(r"/d/([\w-]+)", parts.path)
    key = in_path[1] if in_path else dict(parse_qsl(parts.query)).get("id", "")
    return DRIVE.format(key) if key else url


def find_page(response: Response) -> Optional[Page]:
    """Return the web page in a response, None when it may be the file."""
    if response.status == 416:
        return None
    kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
    start = response.peek(64).lstrip()[:9].lower()
    if kind != "text/html" and not start.startswith((b"<!doctype", b"<html")):
        return None
    parser = _Parser()
    parser.feed(b"".join(response.blocks(MAX_PAGE)).decode("utf-8", errors="replace"))
    confirmed = None
    if parser.action is not None:
        link = urlsplit(urljoin(response.url, parser.action))
        confirmed = link._replace(query=urlencode({**dict(parse_qsl(link.query)), **parser.fields})).geturl()
    return Page(" ".join(parser.title.split())[:80], confirmed)


class _Parser(HTMLParser):
    """Finds a page's title and its download form."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.action: Optional[str] = None
        self.fields: Dict[str, str] = {}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        if tag == "title":
            self._inside = "title"
        elif tag == "form" and attributes.get("id") in ("download-form", "downloadForm"):
            self._inside, self.action = "form", attributes.get("action", "")
        elif tag == "input" and self._inside == "form" and attributes.get("type") == "hidden":
            self.fields[attributes.get("name", "")] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self.title += data
