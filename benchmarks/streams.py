"""Eight videos at once against one: frames per second in all, CPU a frame, and how evenly the eight get on.

    python -m benchmarks.streams [--model NAME] [--engine NAME] [--video FILE] [--streams 8] [--out] [--rounds 3]

Both do the same frames, in turns: one video that holds `--streams` times as many of them, and so many videos.
Evenness is read when nine tenths of all frames are done: each stream's frames over their mean.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import List

from edgecsp.bench import stats

from . import command_line
from .images import image_paths, video
from .serve import MODEL
from .video import overlapped


def main() -> None:
    """Parse, measure, print."""
    out, frames = (False, "draw and encode, too"), (80, "of each stream")
    args = command_line.parser(__doc__, **MODEL, streams=8, frames=frames, out=out, rounds=5).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch, count = Path(folder), args.streams
        taken = (image_paths() * 99)[: max(1, args.frames // 5)]
        short = video(scratch / "short.mp4", taken, hw=(720, 1280), fps=30, hold=5)
        long = video(scratch / "long.mp4", taken * count, hw=(720, 1280), fps=30, hold=5)
        ratios, costs, shares = [], [], []
        for turn in range(args.rounds + 1):  # the first round warms up and is not counted
            one, many = overlapped(args, [long], scratch), overlapped(args, [short] * count, scratch)
            if turn:
                ratios.append(many[0] / one[0])
                costs.append(many[1] / one[1])
                shares += _shares(many[2], count)
    print(f"{args.model} on {args.engine}: {count} videos at once over one, medians of {args.rounds} rounds")
    print(f"  frames per second {stats.spread(ratios)}")
    print(f"  CPU a frame       {stats.spread(costs)}")
    print(f"  each stream's share of an even one: {min(shares):.3f} .. {max(shares):.3f}")


def _shares(order: List[int], count: int) -> List[float]:
    done = Counter(order[: len(order) * 9 // 10])
    return [frames * count / sum(done.values()) for frames in done.values()]


if __name__ == "__main__":
    main()
