"""Memory of `edgecsp run`: its peak, and by how much it grows over a long video.

    python -m benchmarks.memory VIDEO [--model NAME] [--engine NAME] [--out] [--frames N]

The growth is the slope of a line through the resident memory of all frames but the first tenth.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import List

import numpy as np

from edgecsp import pipeline
from edgecsp.cli._signals import return_large
from edgecsp.media import scheduler, sinks, sources
from edgecsp.system import memory

from . import command_line, proc

SELF = Path("/proc/self")


def main() -> None:
    """Parse, measure, print."""
    parser = command_line.parser(
        __doc__, model=pipeline.BUNDLED_MODEL, engine="auto", out=(False, "draw and encode, too"),
        frames=(int, "stop after so many"),
    )  # fmt: skip
    parser.add_argument("video")
    args = parser.parse_args()
    return_large()
    opened, summary, sizes = sources.open_all([args.video]), pipeline.RunSummary(), []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.mp4" if args.out else None
        places = scheduler.choose_concurrency(opened)
        with pipeline.load(args.model, args.engine, concurrency=places) as detector, sinks.open(
            out=out, json=Path(folder) / "x.jsonl", sources=opened
        ) as sink:
            pipeline.run(
                detector, opened, sink.write, summary,
                ended=sink.end_stream, tick=lambda: sizes.append(proc.resident(SELF)), max_frames=args.frames,
            )  # fmt: skip
    print(
        f"{summary.frames} frames: peak {(memory.peak() or 0) / 1e6:.0f} MB, grows {growth(sizes) / 1e6:.2f} MB / 1000"
    )


def growth(samples: List[int]) -> float:
    """Bytes by which it grows in 1000 frames, given the bytes after each."""
    rest = np.array(samples[len(samples) // 10 :], float)
    return float(np.polyfit(np.arange(len(rest)), rest, 1)[0]) * 1000


if __name__ == "__main__":
    main()
