"""Trains the zoo's CSPDenseNetb Ref.-PRN on scenes: `python -m calib.train RUN --shards SHARDS --steps 40000`.

RUN is a folder: `run.json` (what was asked, anchors), `log.jsonl`, `curves.png`, `last.pt`. The same command goes on
where it stopped; `--minutes` stops it in time. `--live` makes scenes on the spot instead of reading shards (a
machine with a GPU and many cores). `python -m calib.bake RUN` writes the model.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import sys
import time
from pathlib import Path
from typing import List, Tuple

import torch

from edgecsp.errors import EdgecspError

from . import CLASSES, data, detect, score
from .run import SIDE, Run, source

SIDES = {"cpu": (224, 256, 256, 288, 320, 320), "cuda": (224, 256, 288, 320, 320, 352, 384, 416)}


def keep_memory() -> None:
    """Tell glibc to keep freed memory: a step that maps and faults in every tensor anew takes 1.6 times as long."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # no glibc
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)


def train(run: Run, deadline: float) -> None:
    """Steps until the last one or the deadline (of `time.monotonic`), with an evaluation every so often."""
    a = run.a
    sides = tuple(a.sides or SIDES[run.device])
    pictures, truths = detect.truth(a.eval_count, SIDE)
    queue = data.batches(source(a), a.seed, run.step, a.steps, a.batch, sides, a.workers)
    seen: List[torch.Tensor] = []
    begin, saved, first = time.monotonic(), time.monotonic(), run.step
    for batch in queue:
        seen.append(torch.stack(run.learn(*batch)).detach())
        now = time.monotonic()
        due = run.step % a.eval_every == 0 or run.step == a.steps or now > deadline
        if run.step % 50 == 0 or due:
            terms = torch.stack(seen).mean(0).tolist()
            seen.clear()
            per_s = (run.step - first) * a.batch / (time.monotonic() - begin)
            run.log.append({"step": run.step, "loss": round(sum(terms), 4), "images_per_s": round(per_s, 1)})
            run.log[-1].update(zip(("box", "objectness", "classes"), (round(t, 4) for t in terms)))
            _progress(run, sum(terms), per_s)
        if due:
            s = score.score(detect.detect(run.average.tape, pictures, run.device), truths, len(CLASSES))
            run.log.append({"step": run.step, **score.row(s, CLASSES)})
            print("\n" + json.dumps(run.log[-1]), file=sys.stderr)
        if due or now - saved > 120:
            run.save()
            saved = time.monotonic()
        if now > deadline:
            return


def _progress(run: Run, loss: float, per_s: float) -> None:
    left = (run.a.steps - run.step) * run.a.batch / max(per_s, 1e-9) / 60
    line = f"step {run.step:,} of {run.a.steps:,}  loss {loss:.3f}  {per_s:.0f} images/s  {left:.0f} min left "
    print("\r" + line, end="", file=sys.stderr, flush=True)


def parsed(arguments: List[str] | None = None) -> Tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m calib.train", description=__doc__.split("\n")[0])
    p.add_argument("run", type=Path, help="the run's folder")
    scenes = p.add_mutually_exclusive_group(required=True)
    scenes.add_argument("--shards", type=Path)
    scenes.add_argument("--live", type=int, metavar="SEED", help="make scenes on the spot, from this seed on")
    p.add_argument("--start", type=Path, metavar="RUN", help="begin with another run's weights and anchors")
    p.add_argument("--steps", type=int, required=True)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--warmup", type=int, default=300)
    p.add_argument("--decay", type=float, default=0.02)
    p.add_argument("--box", choices=("mse", "giou", "ciou"), default="mse")
    p.add_argument("--also", type=float, default=0.35, help="IoU of shapes above which more anchors share a box")
    p.add_argument("--smooth", type=float, default=0.0)
    p.add_argument("--sides", type=int, nargs="+", help="sides of the batches, each as often as it is named")
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--minutes", type=float, default=math.inf)
    p.add_argument("--eval-every", type=int, default=1000)
    p.add_argument("--eval-count", type=int, default=200)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--cpu", action="store_true")
    return p.parse_args(arguments), p


def main() -> None:
    """Parse the command line and train."""
    deadline = time.monotonic()
    a, parser = parsed()
    deadline += a.minutes * 60
    keep_memory()
    try:
        run = Run(a.run, a)
        train(run, deadline)
    except EdgecspError as error:
        parser.error(str(error))
    print(f"\n{run.step:,} of {a.steps:,} steps in {a.run}", file=sys.stderr)


if __name__ == "__main__":
    main()
