"""Paths of local files: check for regular files, walk folders, match patterns."""

from __future__ import annotations

import glob
import os
import stat
from typing import Iterator, List, Set, Tuple

from ...errors import SourceError


def check_regular(path: str) -> None:
    """Refuse anything but a regular file before it is opened, since opening a FIFO blocks. Raises `SourceError`."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise SourceError(f"{path} is {kind}; pipe an image to '-', or give a file, a folder or a URL")


def walk(folder: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield each folder below one, itself included, with the names of its files.

    Links are followed, and a folder is entered once however many links (or a loop of them) lead to it; its own path
    comes before a link's. Hidden and unreadable folders are skipped. "" is the current folder.
    """
    visited: Set[Tuple[int, int]] = set()
    waiting: List[str] = [folder]
    links: List[str] = []
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        try:
            about = os.stat(here or ".")
            names = sorted(os.listdir(here or "."), reverse=True)
        except OSError:
            continue
        if (about.st_dev, about.st_ino) in visited:
            continue
        visited.add((about.st_dev, about.st_ino))
        inner = [name for name in names if os.path.isdir(os.path.join(here, name))]
        yield here, sorted(set(names).difference(inner))
        for path in (os.path.join(here, name) for name in inner if not name.startswith(".")):
            (links if os.path.islink(path) else waiting).append(path)


def matching(pattern: str) -> List[str]:
    """List the paths that match a glob pattern; `**` enters each folder once, as `walk` does."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        return glob.glob(pattern)
    at = parts.index("**")
    behind = [part for i, part in enumerate(parts[at:]) if part != "**" or parts[at + i - 1] != "**"][1:] or ["*"]
    roots = glob.glob(os.sep.join([*parts[:at], ""])) if at else [""]
    folders = [folder for root in roots for folder, _ in walk(root)]
    inside = (path for folder in folders for path in matching(os.path.join(glob.escape(folder), *behind)))
    return list(dict.fromkeys(inside))
