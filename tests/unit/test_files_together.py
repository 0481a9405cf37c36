"""Several files get their names together, after the block that looks at them, or none does."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from edgecsp.cache import files
from edgecsp.errors import BuildFailed, OutputError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_names_come_when_the_block_ends(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "new" / "b"
    a.write_bytes(b"old")
    with files.atomic_group({a: b"one", b: b"two"}) as parts:
        assert a.read_bytes() == b"old" and not b.exists()
        assert [parts[each].path.read_bytes() for each in (a, b)] == [b"one", b"two"]
    assert contents(tmp_path / "new") == {"b": b"two"} and a.read_bytes() == b"one"


def test_what_is_dropped_gets_no_name(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    b.write_bytes(b"old")
    with files.atomic_group({a: b"one", b: b"two"}) as parts:
        parts[b].drop()
    assert contents(tmp_path) == {"a": b"one", "b": b"old"}


def test_a_block_that_raises_leaves_all_as_it_was(tmp_path: Path) -> None:
    a = tmp_path / "a"
    a.write_bytes(b"old")
    with pytest.raises(BuildFailed), files.atomic_group({a: b"one", tmp_path / "b": b"two"}):
        raise BuildFailed("the heads differ")
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_leaves_all_as_it_was(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may refuse the bytes as late as fsync."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"old a")
    b.write_bytes(b"old b")
    seen = []

    def full(handle: int) -> Any:
        seen.append(handle)
        if len(seen) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    message = f"cannot write {(a, b)[at - 1]}: No space left on device"
    with pytest.raises(OutputError, match=message), files.atomic_group({a: b"one", b: b"two"}):
        raise AssertionError("the block is not entered")
    assert contents(tmp_path) == {"a": b"old a", "b": b"old b"}
