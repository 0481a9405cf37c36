"""The moving image of the README comes from its script."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import demo_gif
from support import media

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def test_frames_of_a_video_become_an_endless_gif(tmp_path: Path) -> None:
    media.video(tmp_path / "a.mp4", 6)
    frames = demo_gif.annotated_frames(tmp_path / "a.mp4", stride=2, count=3)
    assert len(frames) == 3
    demo_gif.write(tmp_path / "a.gif", frames, width=32, colors=16, frame_ms=100)
    with Image.open(tmp_path / "a.gif") as made:
        assert made.width == 32 and made.n_frames >= 2 and made.info["loop"] == 0


def test_the_one_that_is_shown_moves() -> None:
    with Image.open(demo_gif.OUT) as shown:
        assert shown.n_frames > 10
