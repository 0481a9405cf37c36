"""`edgecsp batch` beside `edgecsp run`, and what it costs where there are many machines.

    python -m benchmarks.batch overhead [--rounds 5] [--videos 6] [--frames 900] [--engine ort] [--json FILE]
    python -m benchmarks.batch plan [--counts 10000 100000 1000000]
    python -m benchmarks.batch disk [--parts 2000] [--bytes 20000]
    python -m benchmarks.batch index [--frames 600]
    python -m benchmarks.batch scheduler [--nodes 2] [--actors 2] [--seconds 0 ...] [--parts 2000] [--until N]
    python -m benchmarks.batch project FIGURES [--nodes 64] [--cores 16]

All but the first print a line of JSON a figure; `project` reads those lines (docs/batch-scale.md).

`overhead`: the same files, the same cores. Each round has each way do a long corpus and a short one (a tenth), the
ways in turns. What the two take tells what a frame takes and what a start does: Ray's processes, its workers' imports,
the session. Ratios are a round's own, so that what disturbs a round disturbs both sides; median and range are over
rounds. CPU time is that of all processes that a command starts, read from /proc five times a second: of each its last
fifth of a second is not seen. Linux alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from json import dumps
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from edgecsp.bench import stats

from . import batch_ray, command_line
from . import batch_scale as scale
from .effort import MARK, Effort
from .images import texture_video

TARGET = 0.85


class Sample(NamedTuple):
    """One command: frames, seconds from begin to end, those of its own figure, CPU seconds."""

    frames: int
    seconds: float
    own_s: float
    cpu_s: float


def timed(words: Sequence[str], env: Dict[str, str], cwd: Path) -> Sample:
    """Run the command and take its time."""
    mark = uuid.uuid4().hex
    with Effort(mark) as effort:
        begun = time.monotonic()
        command = [sys.executable, "-m", "edgecsp", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**env, MARK: mark}, cwd=cwd)
        seconds = time.monotonic() - begun
    match = re.search(r"(\d+) frames.*? in ([\d.]+) s", done.stderr)
    if done.returncode or match is None:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}\n{done.stderr}")
    return Sample(int(match[1]), seconds, float(match[2]), effort.cpu_s)


class Way(NamedTuple):
    """A way's samples, a round each: the long corpus and the short one."""

    long: List[Sample]
    short: List[Sample]

    def each(self, figure: Callable[[Sample, Sample], float]) -> List[float]:
        """A figure of each round."""
        return [figure(*pair) for pair in zip(self.long, self.short)]


def frame_s(long: Sample, short: Sample) -> float:
    """Seconds a frame takes when all has started."""
    return (long.seconds - short.seconds) / (long.frames - short.frames)


def start_s(long: Sample, short: Sample) -> float:
    """Seconds that a command takes whatever there is to do."""
    return short.seconds - short.frames * frame_s(long, short)


def cpu_frame_s(long: Sample, short: Sample) -> float:
    """CPU seconds of a frame when all has started."""
    return (long.cpu_s - short.cpu_s) / (long.frames - short.frames)


def report(ways: Dict[str, Way]) -> None:
    """Print what each way takes, and its ratio to `run`."""
    run = ways["run"]
    for name, way in ways.items():
        print(f"{name}")
        total = way.each(lambda long, short: long.frames / long.seconds)
        print(f"  fps, begun and ended, {way.long[0].frames} frames   {stats.spread(total, '.1f')}")
        print(f"  fps when all has started             {stats.spread([1 / s for s in way.each(frame_s)], '.1f')}")
        print(f"  seconds of start                     {stats.spread(way.each(start_s), '.1f')}")
        print(f"  CPU ms a frame when all has started  {stats.spread([1e3 * s for s in way.each(cpu_frame_s)], '.2f')}")
        if way is run:
            continue
        # run's over the way's, round by round: above 1 the way needs less.
        whole = stats.ratios([s.seconds for s in run.long], [s.seconds for s in way.long])
        frames, cpu = (stats.ratios(run.each(figure), way.each(figure)) for figure in (frame_s, cpu_frame_s))
        print(f"  of run's fps, begun and ended        {stats.spread(whole, '.2f')}")
        print(f"  of run's fps when all has started    {stats.spread(frames, '.2f')}")
        print(f"  the same by CPU time                 {stats.spread(cpu, '.2f')}")
        print(f"  {enough(run, way)}")


def describe_break_even(ways: Dict[str, Way]) -> str:
    """Describe the two costs that `project` needs."""
    cpu = {name: 1e6 * stats.median(way.each(cpu_frame_s)) for name, way in ways.items()}
    keys = {"run": "run", "batch": "batch", "batch --ray local": "ray"}
    return dumps({"what": "overhead", **{f"{keys[name]}_cpu_us_a_frame": round(us) for name, us in cpu.items()}})


def enough(run: Way, way: Way) -> str:
    """Describe from how many frames on the start no longer matters."""
    (s_run, f_run), (s_way, f_way) = (
        (stats.median(each.each(start_s)), stats.median(each.each(frame_s))) for each in (run, way)
    )
    gain = f_run - TARGET * f_way
    if gain <= 0:
        return f"never {TARGET} of run's fps: a frame takes {f_way / f_run:.2f} of run's time"
    frames = max(0.0, (TARGET * s_way - s_run) / gain)
    return f"{TARGET} of run's fps, start included, from {frames:.0f} frames on ({frames * f_way:.0f} s of work)"


def measured(rounds: int, videos: int, frames: int, engine: str) -> Dict[str, Way]:
    """All rounds."""
    ways = {name: Way([], []) for name in ("run", "batch", "batch --ray local")}
    with tempfile.TemporaryDirectory(prefix="rb") as name:
        folder = Path(name)
        for corpus, count in (("long", frames), ("short", max(1, frames // 10))):
            (folder / corpus).mkdir()
            for number in range(videos):
                texture_video(folder / corpus / f"v{number}.mp4", count, number)
        env = {**os.environ, "RAY_TMPDIR": name, "EDGECSP_HOME": str(folder / "home")}
        order = list(ways)
        for number in range(rounds):
            for way in order[number % len(order) :] + order[: number % len(order)]:
                for corpus, samples in ways[way]._asdict().items():
                    out = f"{way}-{corpus}-{number}".replace(" ", "")
                    words = {
                        "run": ["run", corpus, "--json", f"{out}.jsonl"],
                        "batch": ["batch", corpus, "--out", out],
                        "batch --ray local": ["batch", corpus, "--out", out, "--ray", "local"],
                    }[way]
                    samples.append(timed([*words, "-e", engine], env, folder))
                    print(f"round {number + 1}: {way}, {corpus}: {samples[-1]}", file=sys.stderr)
    return ways


def main() -> None:
    """Parse, measure, print."""
    parser = command_line.parser(__doc__)
    commands = parser.add_subparsers(dest="what", required=True)

    def command(name: str, act: Callable[..., None], **options: Any) -> None:
        command_line.add_options(commands.add_parser(name), **options).set_defaults(act=act)

    command("overhead", overhead, rounds=5, videos=6, frames=900, engine="ort", json="")
    command("plan", scale.plan, counts=[10_000, 100_000, 1_000_000])
    command("disk", scale.disk, parts=2000, bytes=20_000)
    command("index", scale.index, frames=600)
    command("scheduler", batch_ray.scheduler, nodes=2, cpus=1, actors=2, agents=0, seconds=[0.0], parts=2000, until=0)
    command("project", scale.project, nodes=64, cores=16)
    commands.choices["project"].add_argument("figures", type=Path)
    arguments = vars(parser.parse_args())
    arguments.pop("what")
    arguments.pop("act")(**arguments)


def overhead(rounds: int, videos: int, frames: int, engine: str, json: str) -> None:
    """Measure, print, keep."""
    ways = measured(rounds, videos, frames, engine)
    report(ways)
    print(describe_break_even(ways))
    if json:
        results = {
            name: {corpus: [s._asdict() for s in samples] for corpus, samples in way._asdict().items()}
            for name, way in ways.items()
        }
        Path(json).write_text(dumps(results, indent=1))


if __name__ == "__main__":
    main()
