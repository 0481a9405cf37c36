"""`edgecsp batch --ray`: real clusters of several nodes, with Ray's token; the rows of `run`, the bytes without Ray."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Dict, Iterator, List, NamedTuple, Sequence

import pytest

from edgecsp.graph import onnx_model
from support import media
from support.clusters import Cluster, actors, simulated, started
from support.commands import edgecsp
from support.corpora import batch, by_source, lines, parts, tree
from support.ports import free_port
from support.repository import REPO
from support.tiny import Tiny

pytest.importorskip("pyarrow", reason="pyarrow is not installed (edgecsp[ray])")
if not shutil.which("ray", path=str(Path(sys.executable).parent)):
    pytest.skip("Ray is not installed (edgecsp[ray]; it wants Python 3.10)", allow_module_level=True)
pytestmark = [pytest.mark.slow]

SHORT, LONG = 200, 2  # videos
OURS = ("edgecsp: ", "wrote ")  # how lines on stderr begin
PARTLY = 4  # the exit code: one of them is broken
Words = List[object]


class Job(NamedTuple):
    """The corpus with all that its rows depend on, what is to come of it, and the environment of Ray."""

    words: Words
    expected: Dict[str, bytes]
    env: Dict[str, str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred short videos, two long ones, and one that is broken."""
    folder = tmp_path_factory.mktemp("corpus")
    options = {"preset": "ultrafast", "g": "10", "x264-params": "bframes=2:b-adapt=0:threads=1"}
    for number in range(SHORT):
        media.video(folder / f"short{number}.mp4", 6 + number % 5, size=(96, 64), options=options)
    for number in range(LONG):
        media.video(folder / f"long{number}.mp4", 800, size=(96, 64), options=options)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def env() -> Iterator[Dict[str, str]]:
    """A token of this test's own, and a folder for Ray whose name is short: its sockets have little room."""
    folder = tempfile.mkdtemp(prefix="r")
    more = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_TMPDIR": folder}
    yield {**os.environ, **more, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(REPO)}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def job(corpus: Path, tiny: Tiny, env: Dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A real network that finds much in little time; what a run without Ray leaves, whose rows are `edgecsp run`'s."""
    folder = tmp_path_factory.mktemp("alone")
    onnx_model.save(tiny.model, folder / "tiny.onnx")
    words = [corpus, "-m", folder / "tiny.onnx", "--conf", 0.05, "--max-det", 10, "-e", "ort"]
    pieces = ["--segment", 40, "--jsonl"]
    out = folder / "rows"
    batch(*words, *pieces, "--out", out, code=PARTLY)
    run = edgecsp("run", *words, "--json", "-", "-q")
    assert run.returncode == PARTLY, run.stderr
    assert by_source(lines(out)) == by_source(run.stdout.splitlines())
    assert run.stdout.count('"label"') > 1000
    found = tree(out)
    assert sum(name.endswith(".parquet") for name in found) == SHORT + LONG * 20 + 1
    return Job([*words, *pieces], found, env)


@pytest.fixture(scope="module")
def two_nodes(env: Dict[str, str]) -> Iterator[Cluster]:
    with started(env, 2, 2) as cluster:
        yield cluster


def test_one_worker_gives_the_same_bytes(two_nodes: Cluster, job: Job, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    env = {**job.env, "RAY_ADDRESS": two_nodes.address}
    batch(*job.words, "--out", out, "--ray", "auto", "--workers", 1, code=PARTLY, env=env)
    assert tree(out) == job.expected


def test_without_the_token_nobody_works(two_nodes: Cluster, job: Job, tmp_path: Path) -> None:
    other = {**job.env, "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    begun = time.monotonic()
    done = batch(*job.words, "--out", tmp_path / "rows", "--ray", two_nodes.address, env=other, code=6)
    assert "no Ray cluster answers" in done.stderr and time.monotonic() - begun < 60
    assert not list((tmp_path / "rows").rglob("*.parquet"))


def test_where_nobody_listens(job: Job, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    said = batch(*job.words, "--out", tmp_path / "rows", "--ray", address, env=job.env, code=6).stderr
    assert f"no Ray cluster answers at '{address}'" in said and time.monotonic() - begun < 30
    assert all(line.startswith(OURS) for line in said.splitlines()), said


@contextmanager
def half_done(job: Job, out: Path, *words: object, begin: Sequence[str] = ("-m", "edgecsp")) -> Iterator[Popen]:
    """The command, when half of its parts are done."""
    command = [sys.executable, *begin, "batch", *map(str, [*job.words, "--out", out, *words])]
    total = SHORT + LONG * 20
    late = time.monotonic() + 120
    running = Popen(command, env=job.env, cwd=REPO, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True)
    try:
        while len(parts(out)) < total // 2 and time.monotonic() < late:
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.01)
        assert total // 2 <= len(parts(out)) < total, "it was over before anything could be killed"
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)


def ends_well(running: Popen, job: Job, out: Path) -> None:
    told, said = running.communicate(timeout=240)
    assert running.returncode == PARTLY and not told, said
    assert all(line.startswith(OURS) or re.match(r"\d+ frames", line) for line in said.splitlines()), said
    assert "edgecsp: Ray: " in said  # that somebody died
    assert tree(out) == job.expected


def test_one_of_two_workers_is_killed_and_the_bytes_are_the_same(two_nodes: Cluster, job: Job, tmp_path: Path) -> None:
    with half_done(job, tmp_path / "rows", "--ray", two_nodes.address, "--workers", 2) as running:
        one, _ = actors(job.env)
        os.kill(one, signal.SIGKILL)
        ends_well(running, job, tmp_path / "rows")


def test_blocks_of_several_parts_are_told_at_once_and_lost_at_once(
    two_nodes: Cluster, job: Job, tmp_path: Path
) -> None:
    """As with more than 10,000 parts; a worker that dies leaves parts of its block done, which stay."""
    few = "from edgecsp.batch import _ray; _ray.MANY, _ray.BLOCKS = 12, 1; from edgecsp.cli import main; main()"
    out = tmp_path / "rows"
    with half_done(job, out, "--ray", two_nodes.address, "--workers", 2, begin=("-c", few)) as running:
        one, _ = actors(job.env)
        before = {path: path.stat().st_mtime_ns for path in parts(out)}
        os.kill(one, signal.SIGKILL)
        ends_well(running, job, out)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_a_node_with_two_of_four_workers_is_lost_and_the_bytes_are_the_same(
    two_nodes: Cluster, job: Job, tmp_path: Path
) -> None:
    """All its processes at once; the cluster was made by `ray start`."""
    with half_done(job, tmp_path / "rows", "--ray", two_nodes.address) as running:
        two_nodes.kill()
        ends_well(running, job, tmp_path / "rows")


def test_a_raylet_is_killed_and_the_bytes_are_the_same(job: Job, tmp_path: Path) -> None:
    """By its pid; the cluster was made by `ray.cluster_utils.Cluster`."""
    out = tmp_path / "rows"
    with simulated(job.env, 1, 1) as cluster, half_done(job, out, "--ray", cluster.address) as running:
        cluster.kill()
        ends_well(running, job, out)


def test_a_ray_of_its_own(job: Job, tmp_path: Path) -> None:
    """--ray local; killed half way with all its processes, the same command goes on, and does no part again."""
    out = tmp_path / "rows"
    local = ("--ray", "local", "--workers", 2)
    with half_done(job, out, *local) as running:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)
    assert len(list(out.glob("state/begun/*/*.json"))) <= 2  # what is to be done again: a part a worker
    before = {path: path.stat().st_mtime_ns for path in parts(out)}
    said = batch(*job.words, "--out", out, *local, env=job.env, code=PARTLY).stderr
    assert "in an earlier run" in said and "Ray's dashboard: http://127.0.0.1:" in said
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert tree(out) == job.expected
