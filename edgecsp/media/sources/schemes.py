"""Schemes of URLs: those of edgecsp, and those that other packages add.

A package adds one through an entry point whose name is the scheme and whose value opens a `Source`:

    [project.entry-points."edgecsp.sources"]
    toy = "edgecsp_toy:open_toy"        # open_toy(uri, *, stride, timeout_s) for toy://...

Entry points are read only for a scheme that is not built in.
"""

from __future__ import annotations

from typing import Tuple

from ...errors import SourceError
from ...system import entry_points
from .base import Source, redact
from .network import SCHEMES

GROUP = "edgecsp.sources"


def external() -> Tuple[str, ...]:
    """List the schemes that other packages add."""
    return tuple(sorted(set(entry_points.read(GROUP)) - set(SCHEMES)))


def require(uri: str) -> str:
    """Return the scheme of a URL. Raises `SourceError` when nothing opens it."""
    scheme = uri.partition("://")[0].lower()
    if scheme not in SCHEMES and scheme not in external():
        raise SourceError(
            f"{redact(uri)}: the scheme {scheme!r} is not supported; "
            f"supported: {', '.join((*SCHEMES, *external(), 'csi', 'gst:PIPELINE'))}"
        )
    return scheme


def open_external(uri: str, scheme: str, *, stride: int, timeout_s: float) -> Source:
    """Open a URL whose scheme another package adds. Raises `SourceError`."""
    point = entry_points.read(GROUP)[scheme]
    try:
        source = entry_points.load(point)(uri, stride=stride, timeout_s=timeout_s)
    except entry_points.EntryPointError as error:
        raise SourceError(f"{redact(uri)}: the scheme {scheme!r} {error}") from error
    if not isinstance(source, Source):
        place = entry_points.place(point)
        raise SourceError(f"{redact(uri)}: {place} gave a {type(source).__name__}, which is not derived from Source")
    return source
