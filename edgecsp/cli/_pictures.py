"""Pictures that a command is given to learn from or to compare on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List, Sequence

from ..errors import SourceError
from ._logging import warn

if TYPE_CHECKING:
    from ..media.sources import Source
    from ..types import Array


def opened(given: Sequence[str]) -> List[Source]:
    """Folders, globs, pictures, videos, and .txt lists of such (a line each, from the list's folder) -> sources."""
    from ..media import sources

    uris: List[str] = []
    for word in given:
        path = Path(word)
        if path.suffix.lower() == ".txt" and path.is_file():
            lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines()]
            uris += [str(path.parent / line) for line in lines if line and not line.startswith("#")]
            if not uris:
                raise SourceError(f"{word} lists no picture; it holds one path a line")
        else:
            uris.append(word)
    return sources.open_all(uris)


def images(given: Sequence[Source]) -> Iterator[Array]:
    """Their pictures, one after the other: (H, W, 3) uint8 BGR. What could not be read is told on stderr."""
    from ..media import sources

    for source in given:
        with source:
            for frame in source:
                yield frame.image
        for text in sources.told(source.problems):
            warn(text)
