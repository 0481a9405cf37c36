"""Time of a start: `edgecsp --help`, and `edgecsp run IMAGE --json -` with the bundled model.

    python -m benchmarks.start [--rounds 7] [--engine NAME ...] [--before FOLDER]

CPU seconds (user + system, of all threads) and seconds on the clock, of whole processes, in turns; medians, with the
least beside them. The first round fills the caches (bytecode, edgecsp's plans, the disk's) and is not counted.
`--before FOLDER` measures another checkout of edgecsp too.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

from edgecsp import backends
from edgecsp.bench import stats

from . import command_line
from .images import image_paths

HERE = Path(__file__).resolve().parents[1]
Took = Tuple[float, float]


def main() -> None:
    """Parse, measure, print."""
    parser = command_line.parser(__doc__, rounds=7, before=(Path, "the root of another checkout"))
    parser.add_argument("--engine", action="append", help="[default: auto and each engine that is here]")
    args = parser.parse_args()
    able = [name for name in backends.names(with_dummies=False) if backends.unavailable_reason(name) is None]
    roots = {"now": HERE, **({"before": args.before.resolve()} if args.before else {})}
    run = ["run", str(image_paths()[0]), "--json", "-", "--quiet", "--engine"]
    rows = {"--help": ["--help"], **{f"run, {name}": [*run, name] for name in args.engine or ["auto", *able]}}
    taken: Dict[Tuple[str, str], List[Took]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(args.rounds + 1):
            for row, words in rows.items():
                for when, root in roots.items():
                    took = _process(root, words, Path(scratch) / when)
                    if turn:
                        taken.setdefault((row, when), []).append(took)
    print(f"{'':18} {'':7} {'CPU s':>16} {'clock s':>16}   median (least) of {args.rounds}")
    for (row, when), each in taken.items():
        cells = [f"{stats.median(column):7.3f} ({min(column):.3f})" for column in zip(*each)]
        print(f"{row:18} {when:7} {cells[0]:>16} {cells[1]:>16}")


def _process(root: Path, words: List[str], folder: Path) -> Took:
    env = dict(os.environ, PYTHONPATH=str(root), EDGECSP_HOME=str(folder / "home"))
    env.update(PYTHONPYCACHEPREFIX=str(folder / "bytecode"))
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    folder.mkdir(exist_ok=True)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "edgecsp", *words], env=env, cwd=folder, capture_output=True)
    clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"edgecsp {' '.join(words)}: {done.stderr.decode().strip()}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, clock


if __name__ == "__main__":
    main()
