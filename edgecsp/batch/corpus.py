"""List the files of a corpus, in the same order on every run.

videos/                        everything below a folder, in natural order
'shots/**/*.jpg'               what a pattern matches
list.txt                       a path or URI a line (# begins a comment)
list.csv, list.parquet         the column source (or path, uri, file)
s3://bucket/videos             what lies below it; gs://, file:// and what else pyarrow and fsspec speak
clip.mp4                       one file
"""

from __future__ import annotations

import csv
import glob
import os
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

from ..cache.files import suggest_similar
from ..errors import SourceError
from ..media import sources
from ..media.sources.paths import matching, walk
from . import storage
from .shards import IMAGE, VIDEO, Item

COLUMNS = ("source", "path", "uri", "file")
LISTS = (".txt", ".lst", ".list", ".csv", ".parquet")


def read(corpus: str) -> List[Item]:
    """List the files of a corpus, each once. Raises `SourceError` when there is none."""
    paths = _find_files(corpus)
    items = list({source: _item(source) for source in paths}.values())
    if not items:
        kinds = "no image or video" if not corpus.lower().endswith(LISTS) else "no path or URI"
        raise SourceError(f"{sources.redact(corpus)} holds {kinds}; give a folder, a pattern, a list file or a URI")
    return items


def _find_files(corpus: str) -> List[str]:
    if storage.is_uri(corpus):
        return _find_in_store(corpus)
    path = storage.local(corpus) if corpus.startswith("file://") else corpus
    if os.path.isdir(path):
        return _find_in_folder(path)
    if os.path.isfile(path):
        return _read_list(path) if path.lower().endswith(LISTS) else [path]
    if glob.has_magic(path):
        names = (name for name in matching(path) if not os.path.isdir(name))
        return sorted((name for name in names if sources.is_media(os.path.basename(name))), key=sources.natural_key)
    raise SourceError(f"not found: {corpus or 'a corpus with an empty name'}{suggest_similar(corpus or 'x')}")


def _find_in_folder(folder: str) -> List[str]:
    paths = [os.path.join(here, name) for here, names in walk(folder) for name in names if sources.is_media(name)]
    return sorted(paths, key=sources.natural_key)


def _find_in_store(uri: str) -> List[str]:
    from pyarrow import fs as systems

    system, root = storage.store(uri)
    try:
        info = system.get_file_info(root)
        if info.is_file:
            return [uri]
        inside = system.get_file_info(systems.FileSelector(root, recursive=True))
    except OSError as error:
        raise SourceError(f"cannot list {sources.redact(uri)}: {' '.join(str(error).split())[:200]}") from error
    names = [file.path[len(root.rstrip("/")) :].strip("/") for file in inside if file.is_file]
    visible = [name for name in names if not any(word.startswith(".") for word in name.split("/"))]
    uris = [storage.join_uri(uri, name) for name in visible if sources.is_media(name)]
    return sorted(uris, key=sources.natural_key)


def _read_list(path: str) -> List[str]:
    try:
        if path.lower().endswith(".parquet"):
            written = _column(path)
        elif path.lower().endswith(".csv"):
            written = _csv(path)
        else:
            lines = Path(path).read_text("utf-8", "surrogateescape").splitlines()
            written = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    except OSError as error:
        raise SourceError(f"cannot read the list {path}: {error.strerror or error}") from error
    beside = os.path.dirname(path)
    return [_resolve(word, beside) for word in written if word]


def _resolve(word: str, beside: str) -> str:
    """Resolve a list's entry: as written if that exists from here, else relative to the list."""
    if "://" in word or os.path.isabs(word) or os.path.exists(word) or not beside:
        return word
    return os.path.join(beside, word)


def _csv(path: str) -> List[str]:
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file)
        column = _find_column(path, rows.fieldnames or ())
        return [(row[column] or "").strip() for row in rows]


def _column(path: str) -> List[str]:
    arrow = storage.arrow()
    from pyarrow import parquet

    try:
        column = _find_column(path, parquet.read_schema(path).names)
        return [str(word or "") for word in parquet.read_table(path, columns=[column])[column].to_pylist()]
    except arrow.ArrowInvalid as error:
        raise SourceError(f"{path} is not a Parquet file: {' '.join(str(error).split())[:200]}") from error


def _find_column(path: str, columns: Iterable[str]) -> str:
    columns = list(columns)
    for name in COLUMNS:
        if name in columns:
            return name
    raise SourceError(f"{path} has the columns {', '.join(columns) or 'none'}; one of {', '.join(COLUMNS)} is needed")


def _item(source: str) -> Item:
    if not storage.is_uri(source):
        place = storage.local(source)
        # A missing file is reported when it is processed; until then its extension decides.
        is_image = os.path.splitext(place)[1].lower() in sources.IMAGE_SUFFIXES
        if os.path.isfile(place):
            is_image = sources.is_image(place)
        return Item(source, place, IMAGE if is_image else VIDEO)
    # The path stays whole: rows and shards are named by it. Options only say how to reach the store.
    redacted = sources.redact(source, in_path=False).partition("?")[0]
    extension = os.path.splitext(redacted)[1].lower()
    return Item(redacted, source, IMAGE if extension in sources.IMAGE_SUFFIXES else VIDEO)


def split(items: Iterable[Item]) -> Tuple[List[Item], List[Item]]:
    """Split into videos and images."""
    kinds: Dict[str, List[Item]] = {VIDEO: [], IMAGE: []}
    for item in items:
        kinds[item.kind].append(item)
    return kinds[VIDEO], kinds[IMAGE]
