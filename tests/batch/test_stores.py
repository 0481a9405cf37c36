"""Corpora and rows that lie in a store: a real S3 server over HTTP, and fsspec's store in memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from support import media
from support.corpora import batch, lines
from support.ports import await_port, free_port
from support.repository import REPO

pytest.importorskip("pyarrow", reason="pyarrow is not installed (edgecsp[ray])")

WORDS = ("-e", "ort", "--segment", 16, "--group", 2, "--jsonl")
ODD = "deep er/50% of # v1.mp4"  # names that mean something in a URI


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of a video with codes, as a video and as pictures, and one whose name is odd."""
    import cv2

    folder = tmp_path_factory.mktemp("corpus")
    (folder / ODD).parent.mkdir()
    options = {"preset": "veryfast", "g": "8", "x264-params": "bframes=2:b-adapt=0"}
    media.video(folder / ODD, 40, options=options)
    codes = cv2.VideoCapture(str(REPO / "benchmarks" / "codes.mp4"))
    pictures = [codes.read()[1] for _ in range(24)]
    codes.release()
    height, width = pictures[0].shape[:2]
    media.video(folder / "codes.mp4", 24, size=(width, height), options=options, draw=lambda i, *_: pictures[i])
    for number in range(3):
        cv2.imwrite(str(folder / f"p{number}.png"), pictures[number])
    return folder


@pytest.fixture(scope="module")
def local(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> List[Dict[str, Any]]:
    """The rows of the corpus on a disk, without their sources."""
    out = tmp_path_factory.mktemp("local") / "rows"
    batch(corpus, "--out", out, *WORDS)
    rows = without_source(lines(out))
    assert len(rows) == 67 and sum(len(row["detections"]) for row in rows) > 20
    return rows


def without_source(said: List[str]) -> List[Dict[str, Any]]:
    return [{**json.loads(line), "source": ""} for line in said]


class Bucket:
    """A bucket of an S3 server of this test's own."""

    def __init__(self, port: int) -> None:
        from pyarrow import fs

        self.options = f"?scheme=http&endpoint_override=127.0.0.1:{port}&region=eu-central-1"
        self.system = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", region="eu-central-1", allow_bucket_creation=True,
        )  # fmt: skip
        self.system.create_dir("bucket")

    def uri(self, path: str) -> str:
        return f"s3://bucket/{path}{self.options}"

    def put(self, folder: Path, path: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                with self.system.open_output_stream(f"bucket/{path}/{file.relative_to(folder).as_posix()}") as stream:
                    stream.write(file.read_bytes())

    def names(self, path: str) -> List[str]:
        """All objects below a path, in the bucket."""
        from pyarrow import fs

        wanted = fs.FileSelector(f"bucket/{path}", recursive=True, allow_not_found=True)
        return sorted(info.path for info in self.system.get_file_info(wanted) if info.is_file)

    def tree(self, path: str) -> Dict[str, bytes]:
        """What is in them, by their names below the path."""
        strip = len(f"bucket/{path}/")
        return {name[strip:]: self.system.open_input_file(name).readall() for name in self.names(path)}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    for name in ("moto", "flask_cors"):
        pytest.importorskip(name, reason=f"{name} is not installed (moto's S3 server: edgecsp[dev])")
    port = free_port()
    said = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with said, pytest.MonkeyPatch.context() as patch:
        for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(f"AWS_{name}", value)
        with subprocess.Popen(command, stdout=said, stderr=said) as server:
            await_port(port, server)
            yield Bucket(port)
            server.terminate()


@pytest.mark.slow
def test_s3(bucket: Bucket, corpus: Path, local: List[Dict[str, Any]]) -> None:
    """In from a bucket, out to a bucket; killed, done again, looked through."""
    bucket.put(corpus, "in")
    given = [bucket.uri("in"), "--out", bucket.uri("out"), *WORDS]
    command = [sys.executable, "-m", "edgecsp", "batch", *map(str, given)]
    with subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, env=os.environ) as running:
        late = time.monotonic() + 100
        while not any("state/parts" in name for name in bucket.names("out")) and time.monotonic() < late:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=30)
    assert running.returncode == -9 and "manifest.jsonl" not in bucket.tree("out")
    assert "in an earlier run" in batch(*given).stderr
    made = bucket.tree("out")
    entries = [json.loads(line) for line in made["manifest.jsonl"].splitlines()][1:]
    said = [line for part in entries for name in part["files"] if name.endswith(".jsonl") for line in
            made[name].decode().splitlines()]  # fmt: skip
    assert without_source(said) == local
    assert {json.loads(line)["source"] for line in said} == {
        *(f"s3://bucket/in/{name}" for name in ("codes.mp4", "p0.png", "p1.png", "p2.png")),
        "s3://bucket/in/deep er/50%25 of %23 v1.mp4",
    }
    assert not [name for name in made if name.endswith(".part")]
    batch(bucket.uri("in"), "--out", bucket.uri("undisturbed"), *WORDS)
    fresh = bucket.tree("undisturbed")
    assert {name: data for name, data in made.items() if not name.startswith("state/")} == {
        name: data for name, data in fresh.items() if not name.startswith("state/")
    }
    assert "all digests verified" in batch("summary", bucket.uri("out"), "--verify").stdout


@pytest.mark.slow
def test_a_store_that_is_not_there_is_told(bucket: Bucket, corpus: Path) -> None:
    assert (
        "cannot list s3://nobody"
        in batch(f"s3://nobody/in{bucket.options}", "--out", bucket.uri("none"), "-e", "null", code=3).stderr
    )
    said = batch(corpus, "--out", f"s3://nobody/out{bucket.options}", "-e", "null", code=5).stderr
    assert "s3://nobody/out" in said


def test_fsspecs_store_in_memory(corpus: Path, local: List[Dict[str, Any]]) -> None:
    """What any store of fsspec goes through."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (edgecsp[ray])")
    from edgecsp import batch as package

    memory = fsspec.filesystem("memory")
    memory.put(str(corpus) + "/", "/corpus/", recursive=True)
    made, settings = package.build_task("codes", "ort", out="memory://rows", jsonl=True)
    with package.executor() as crew:
        first = package.run(package.read("memory://corpus"), made, crew, settings, segment=16, group=2)
        again = package.run(package.read("memory://corpus"), made, crew, settings, segment=16, group=2)
    assert first.failures == again.failures == []
    assert (first.before, again.before, again.frames) == (0, first.frames, first.frames)
    entries = [json.loads(line) for line in memory.cat("/rows/manifest.jsonl").splitlines()][1:]
    said = [line for part in entries for name in part["files"] if name.endswith(".jsonl") for line in
            memory.cat(f"/rows/{name}").decode().splitlines()]  # fmt: skip
    assert without_source(said) == local
    assert json.loads(said[0])["source"].startswith("memory://corpus/")
