"""A file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgecsp.cache import files
from edgecsp.errors import OutputError


def test_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    for data in (b"one", b"two" * 1000):
        with files.atomic(path) as file:
            file.write(data)
            assert path.exists() == (data != b"one")
        assert path.read_bytes() == data and os.listdir(path.parent) == ["a.bin"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert files.digest_of(path) == hashlib.sha256(b"two" * 1000).hexdigest()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_not_at_all(tmp_path: Path, error: type) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), files.atomic(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_killed_in_the_middle_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = f"""
import os, signal
from edgecsp.cache import files
with files.atomic({str(path)!r}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == b"old"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=f"cannot write {path}"), files.atomic(path):
            pass
    with pytest.raises(OutputError, match="give a file name"), files.atomic(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"), files.atomic(tmp_path / "a"):
        pass


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="No space left"), files.atomic(tmp_path / "a") as file:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
        file.write(b"never")
    assert os.listdir(tmp_path) == []


def test_nearby(tmp_path: Path) -> None:
    (tmp_path / "yolov3-tiny.cfg").touch()
    assert files.suggest_similar(tmp_path / "yolo3-tiny.cfg") == f"; did you mean {tmp_path / 'yolov3-tiny.cfg'}?"
    assert files.suggest_similar(tmp_path / "zzz") == ""
    assert files.suggest_similar(tmp_path / "no" / "zzz") == f"; there is no folder {tmp_path / 'no'} either"
