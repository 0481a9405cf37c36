"""`edgecsp batch` over images that are damaged, no files, or reached by links in a circle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecsp.batch import corpus
from support import images
from support.corpora import batch, failures

pytest.importorskip("pyarrow", reason="pyarrow is not installed (edgecsp[ray])")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    images.linked(folder)
    expected = [str(folder / name / f"{name}.jpg") for name in "abcdef"]
    assert [item.source for item in corpus.read(str(folder))] == expected
    assert [item.source for item in corpus.read(f"{folder}/**/*.jpg")] == expected


def test_a_folder_that_is_linked_from_elsewhere_is_read(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.jpg").write_bytes(images.encoded(".jpg"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "other")
    assert [item.source for item in corpus.read(str(tmp_path / "in"))] == [str(tmp_path / "in" / "link" / "x.jpg")]


def test_what_is_damaged_or_no_file_is_a_failure_and_not_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "damaged.jpg").write_bytes(images.damaged_jpeg())
    (folder / "whole.jpg").write_bytes(images.encoded(".jpg"))
    for name in ("p.jpg", "v.mp4"):
        os.mkfifo(folder / name)
    batch(folder, "--out", tmp_path / "out", "-e", "ort", code=4)
    said = {Path(row["source"]).name: row["reason"] for row in failures(tmp_path / "out")}
    assert sorted(said) == ["damaged.jpg", "p.jpg", "v.mp4"]
    assert said["damaged.jpg"].startswith("damaged") and "not a regular file" in said["p.jpg"] + said["v.mp4"]
