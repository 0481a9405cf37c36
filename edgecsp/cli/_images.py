"""Input images of commands that measure or compare."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence

from ..errors import SourceError
from ._logging import warn

if TYPE_CHECKING:
    from ..media.sources import Source
    from ..types import Array

MOST = 64  # images to compare on: more add nothing


def open_sources(words: Sequence[str]) -> List[Source]:
    """Open folders, globs, images, videos, and .txt lists of paths (one per line, relative to the list's folder)."""
    from ..media import sources

    uris: List[str] = []
    for word in words:
        path = Path(word)
        if path.suffix.lower() == ".txt" and path.is_file():
            lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines()]
            uris += [str(path.parent / line) for line in lines if line and not line.startswith("#")]
            if not uris:
                raise SourceError(f"{word} lists no image; it must have one path per line")
        else:
            uris.append(word)
    return sources.open_all(uris)


def read_images(opened: Sequence[Source]) -> Iterator[Array]:
    """Yield all images of sources, (H, W, 3) uint8 BGR; problems are printed to stderr."""
    from ..media import sources

    for source in opened:
        with source:
            for frame in source:
                yield frame.image
        for text in sources.format_problems(source.problems):
            warn(text)


def read_sample(words: Optional[Sequence[str]]) -> List[Array]:
    """Read up to 64 images to compare on, synthetic ones without words. Raises `SourceError` when there are none."""
    from ..bench.images import synthetic_images

    images = list(itertools.islice(read_images(open_sources(words)), MOST)) if words else synthetic_images()
    if not images:
        raise SourceError(f"--images {' '.join(words or ())}: no images found")
    return images
