"""`edgecsp batch --track`: videos whole, with the ids that `run --track` gives."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from edgecsp.batch import build_task, read, run
from edgecsp.batch.job import LocalExecutor
from support import media
from support.commands import edgecsp
from support.corpora import batch, by_source, lines, manifest, tree
from support.repository import REPO

pytest.importorskip("pyarrow", reason="pyarrow is not installed (edgecsp[ray])")

FRAMES = 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of codes with a keyframe every 8 frames, and an image."""
    folder = tmp_path_factory.mktemp("tracked")
    demo = cv2.VideoCapture(str(REPO / "benchmarks" / "codes.mp4"))
    images = [demo.read()[1] for _ in range(FRAMES)]
    demo.release()
    options = {"preset": "veryfast", "g": "8", "x264-params": "bframes=2:b-adapt=0"}
    media.video(folder / "codes.mp4", FRAMES, size=(640, 480), draw=lambda i, *_: images[i], options=options)
    cv2.imwrite(str(folder / "still.png"), images[0])
    return folder


def test_the_rows_are_those_of_run_and_a_killed_part_is_made_again(corpus: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    out = tmp_path / "rows"
    words = ("--out", out, "-e", "ort", "--track", "--jsonl")
    batch(corpus, *words)
    done = edgecsp("run", corpus / "codes.mp4", corpus / "still.png", "-e", "ort", "--track", "--json", "-", "-q")
    assert by_source(lines(out)) == by_source(done.stdout.splitlines())
    parts = manifest(out)[1:]
    assert [(part["first"], part["frames"]) for part in parts] == [(0, FRAMES), (0, 1)], "one part a video"
    video, still = (
        parquet.read_table(out / name).to_pylist() for part in parts for name in part["files"] if name.endswith("t")
    )
    ids = [each["track_id"] for row in video for each in row["detections"]]
    assert len(ids) > FRAMES and min(ids) == 1 and len(set(ids)) < 12
    assert [row["detections"] for row in video] == [json.loads(text)["detections"] for text in lines(out)[:FRAMES]]
    assert still[0]["detections"] and {each["track_id"] for each in still[0]["detections"]} == {None}

    before = tree(out)
    for name in parts[0]["files"]:
        (out / name).unlink()
    batch(corpus, *words)
    assert tree(out) == before
    refused = edgecsp("batch", corpus, "--out", out, "-e", "ort", "--jsonl", code=2)
    assert "track was True and is None" in refused.stderr


def test_a_video_is_split_only_where_nothing_is_tracked(corpus: Path, tmp_path: Path) -> None:
    frames = {}
    for track in (False, True):
        out = tmp_path / str(track)
        task, settings = build_task("codes", "null", out=out, track=track)
        run(read(str(corpus / "codes.mp4")), task, LocalExecutor(1), settings, segment=16)
        frames[track] = [part["frames"] for part in manifest(out)[1:]]
    assert frames == {False: [16, 16, 8], True: [40]}


def test_what_cannot_be_tracked(corpus: Path, tmp_path: Path) -> None:
    refused = edgecsp("batch", corpus, "--out", tmp_path / "rows", "--track", "--segment", "16", code=2)
    assert "--segment splits videos, and --track needs whole ones" in refused.stderr
