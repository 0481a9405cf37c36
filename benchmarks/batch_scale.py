"""Costs of `edgecsp batch` on many machines: each alone, and what follows from them.

See `python -m benchmarks.batch --help` for the commands, and docs/batch-scale.md for what they said.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from edgecsp.batch import _ray, job, keyframe_index, work
from edgecsp.batch.ledger import Ledger, Record
from edgecsp.batch.shards import VIDEO, Item, Shard, SplitPoint, split_video, whole_video
from edgecsp.bench import stats

from .batch_idle import record

PIECES = 10  # parts of a video, where videos are made up
MIB = 1 << 20


def print_figures(**figures: Any) -> None:
    """A line of figures."""
    print(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in figures.items()}), flush=True)


def made_up(count: int) -> List[Item]:
    """Videos that are not there, of PIECES parts each."""
    names = [f"/archive/2026/{number % 365:03d}/camera-{number:07d}.mp4" for number in range(count // PIECES)]
    return [Item(name, name, VIDEO) for name in names]


def made_up_parts(count: int) -> List[Shard]:
    """Their parts."""
    places = [SplitPoint(number * 54_000, number * job.SEGMENT) for number in range(1, PIECES)]
    shards: List[Shard] = []
    for item in made_up(count + PIECES - 1):
        shards += split_video(item, places, PIECES * job.SEGMENT, job.SEGMENT)
    return shards[:count]


# -- the driver without Ray: lists, records, the manifest ------------------------------------------------------------


class Instant:
    """A crew that has everything done at once; what it says has been JSON, as what Ray's workers say."""

    def index(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """PIECES parts each."""
        places = [[number * 54_000, number * job.SEGMENT] for number in range(1, PIECES)]
        for item in items:
            record = {"source": item.source, "frames": PIECES * job.SEGMENT, "cuts": places, "why": ""}
            yield json.loads(json.dumps(record))

    def process(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """Return a record as if the part were done."""
        for part in parts:
            yield json.loads(json.dumps(record(json.loads(json.dumps(part.to_dict())))))


def plan(counts: Sequence[int]) -> None:
    """CPU and bytes that the driver's own work takes a part, without Ray; each count in a process of its own."""
    for count in counts:
        code = f"from benchmarks import batch_scale; batch_scale._plan({count})"
        subprocess.run([sys.executable, "-c", code], check=True)


def _plan(count: int) -> None:
    from edgecsp import batch

    began: Dict[str, float] = {}

    def tick(progress: job.JobProgress) -> None:
        began.setdefault(progress.stage if progress.parts < progress.part_count else "ending", time.process_time())

    with tempfile.TemporaryDirectory(prefix="rb") as out:
        items = made_up(count)
        task, settings = batch.build_task("codes", "null", out=out)
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        done = batch.run(items, task, Instant(), settings, tick=tick)
        ended = time.process_time()
        assert done.parts == count and not done.failures
        size = sum(path.stat().st_size for path in Path(out).glob("*.*"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print_figures(
        what="plan", parts=count, cpu_us_a_part=1e6 * (ended - begun) / count, bytes_a_part=grown / count,
        manifest_bytes_a_part=size / count,
    )  # fmt: skip


# -- what a part costs on a disk ------------------------------------------------------------------------------------


def disk(parts: int, bytes: int) -> None:
    """Microseconds of a part's files: asked for, written, and believed when the command is given again."""
    with tempfile.TemporaryDirectory(prefix="rb") as name:
        source = Path(name) / "v.mp4"
        source.write_bytes(b"x")
        item = Item(str(source), str(source), VIDEO)
        ledger = Ledger(str(Path(name) / "out"))
        some = [Shard(f"{n:012x}-{0:09d}", VIDEO, (item,), first=0, frames=1800, begin=1) for n in range(parts)]
        data = os.urandom(bytes)
        spent = {}
        for what, act in (
            ("new", ledger.finished_record),
            ("begin", ledger.count_attempt),
            ("finish", lambda part: ledger.finish(part, {"name": part.name, "frames": 1800}, {".parquet": data})),
            ("believe", ledger.finished_record),
        ):
            clock, cpu = time.monotonic(), time.process_time()
            for part in some:
                act(part)
            spent[what] = (time.monotonic() - clock, time.process_time() - cpu)
        print_figures(
            what="disk", parts=parts, bytes=bytes, **{f"{k}_us": 1e6 * v[0] / parts for k, v in spent.items()},
            **{f"{k}_cpu_us": 1e6 * v[1] / parts for k, v in spent.items()},
        )  # fmt: skip


# -- indexing and decoding ------------------------------------------------------------------------------------------


def index(frames: int) -> None:
    """Measure reading packets and decoding, of videos as large as cameras make them."""
    from edgecsp.batch.segment import Segment

    from .images import texture_video

    with tempfile.TemporaryDirectory(prefix="rb") as name:
        for hw in ((480, 640), (1080, 1920)):
            path = Path(name) / f"{hw[0]}.mp4"
            texture_video(path, frames, 0, hw)
            item = Item(str(path), str(path), VIDEO)
            taken: Dict[str, List[float]] = {"index": [], "decode": []}
            for _ in range(3):
                begun = time.process_time()
                assert keyframe_index.index(item).frames == frames
                taken["index"].append(time.process_time() - begun)
                begun = time.process_time()
                assert sum(1 for _ in Segment(whole_video(item), 1)) == frames
                taken["decode"].append(time.process_time() - begun)
            size = path.stat().st_size
            at = {key: stats.median(values) for key, values in taken.items()}
            print_figures(
                what="index", pixels=f"{hw[1]}x{hw[0]}", bytes_a_frame=size / frames,
                index_cpu_us_a_frame=1e6 * at["index"] / frames, index_mb_a_cpu_s=size / at["index"] / 1e6,
                decode_cpu_us_a_frame=1e6 * at["decode"] / frames,
            )  # fmt: skip


# -- what follows ---------------------------------------------------------------------------------------------------

# What is not measured here; the table says so.
HOURS, RATE = 40_000, 30  # of the archive, frames per second
CAMERA = 500_000 / RATE  # bytes of a frame: 4 Mbit/s
SOURCE = 1.25e9  # bytes a second: a link of 10 Gbit/s
REQUEST_S = 0.02  # until a store has answered
STORE = 3500  # files a second under one prefix, as S3 promises
HEAD = 16e9  # bytes of the head's memory that the driver may have


class Row(NamedTuple):
    """A demand and the capacity for it, in the same unit."""

    what: str
    measured: str
    needed: float
    has: float
    unit: str

    def cells(self) -> List[str]:
        """The row as the table has it."""
        share = self.needed / self.has
        return [self.what, self.measured, f"{_figure(self.needed)} {self.unit}", _figure(self.has), f"{share:.2f}"]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def project(figures: Path, nodes: int, cores: int) -> None:
    """A table of what so many nodes ask of each thing there is one of, from what the other commands printed."""
    lines = [json.loads(line) for line in figures.read_text("utf-8").splitlines() if line.startswith("{")]
    latest: Dict[str, Dict[str, Any]] = {}
    for line in lines:
        latest[line["what"]] = line  # the last of each
    short, long = sorted((line for line in lines if line["what"] == "list"), key=lambda line: int(line["parts"]))[:2]
    more = long["parts"] - short["parts"]
    ray_bytes = (long["driver_bytes_a_part"] * long["parts"] - short["driver_bytes_a_part"] * short["parts"]) / more
    latest["list"] = {"bytes": ray_bytes, "seconds": (long["first_s"] - short["first_s"]) / more}
    frame_s = latest["overhead"]["ray_cpu_us_a_frame"] / 1e6
    fps, frames = nodes * cores / frame_s, HOURS * 3600 * RATE
    parts = frames / job.SEGMENT
    print(
        f"{nodes} nodes of {cores} cores at {1 / frame_s:.0f} frames per second and core: {fps:,.0f} in all. "
        f"{HOURS:,} hours of video are {parts / 1e6:.1f} million parts, done in {frames / fps / 3600:.1f} hours.\n"
    )
    print("| what there is one of | measured | asked | has | share |\n|---|---|---|---|---|")
    for row in sorted(_rows(latest, fps, parts, nodes, cores), key=lambda row: -row.needed / row.has):
        print("| " + " | ".join(row.cells()) + " |")


def _rows(lines: Dict[str, Dict[str, Any]], fps: float, parts: float, nodes: int, cores: int) -> Iterator[Row]:
    driver_s = lines["scheduler"]["cpu_us_a_part"]["driver"] / 1e6
    index_s = lines["index"]["index_cpu_us_a_frame"] / 1e6
    own, ray = lines["plan"]["bytes_a_part"], lines["list"]["bytes"]
    blocks = min(parts, max(_ray.MANY, _ray.BLOCKS * nodes * cores))
    hours, read = parts * job.SEGMENT / fps / 3600, parts * job.SEGMENT * CAMERA
    for what, size in (("pieces of videos", job.SEGMENT), ("groups of images", job.GROUP)):
        measured = f"{1e3 * driver_s:.1f} ms of CPU a block"
        yield Row(f"driver: {what} ({size}), each a block", measured, fps / size, 1 / driver_s, "a second")
    yield Row("driver: the archive's blocks", measured, blocks / hours / 3600, 1 / driver_s, "a second")
    measured = f"{own / 1e3:.1f} kB a part, {ray / 1e3:.1f} a block"
    yield Row("driver: memory", measured, (parts * own + blocks * ray) / 1e9, HEAD / 1e9, "GB")
    listed = lines["list"]["seconds"]
    yield Row("driver: before the first part", f"{1e3 * listed:.1f} ms a block", blocks * listed / 3600, hours, "h")
    yield Row("source: detecting", "", fps * CAMERA / 1e6, SOURCE / 1e6, "MB a second")
    yield Row("source: indexing first", "every byte once more", read / SOURCE / 3600, hours, "h")
    yield Row("cores: indexing first", f"{1e6 * index_s:.0f} us a frame", fps * index_s, nodes * cores, "cores")
    yield Row("link of a machine", "", fps / nodes * CAMERA / 1e6, SOURCE / 1e6, "MB a second")
    believe = lines["disk"]["believe_us"] / 1e6
    yield Row("given again, on a disk", f"{1e6 * believe:.0f} us a part", parts * believe / 3600, hours, "h")
    requests_s = 3 * REQUEST_S / job.LEDGER_READS
    yield Row("given again, on a store", "3 requests a part, 32 at once", parts * requests_s / 3600, hours, "h")
    files = 3 * fps / job.SEGMENT
    yield Row("rows: files made", "3 a part", files, STORE, "a second")
