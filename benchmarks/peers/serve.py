"""The loop that every peer's script shares. It imports the standard library alone, for it runs in all of them.

A script is started with one argument, a JSON object: {"files": {...}, "images": FILE.npy, "threads", "conf", "iou"};
"threads" is null where the library decides, and with it everything else that its users leave to it.
It answers {"ready": ..., "boxes": [...]}, then each line "N" on stdin with N timed calls over the images in turn:
{"ms": [...], "cpu_ms": mean CPU milliseconds of this process a call}. An image is (720, 1280, 3) uint8 BGR.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

Box = Tuple[int, float, float, float, float, float]  # class, score, x1, y1, x2, y2 in the image's pixels


def read_request() -> Dict[str, Any]:
    """Read the request, and take no more CPUs than its threads, whatever a library takes by itself."""
    request: Dict[str, Any] = json.loads(sys.argv[1])
    if request["threads"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["threads"]])
    # What a library prints must not be taken for an answer.
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return request


def serve(
    detect: Callable[[Any], Any], boxes: Callable[[Any], Sequence[Box]], inputs: Sequence[Any], version: str
) -> None:
    """Detect in every input once, answer with the boxes, then be timed. `detect` is timed, `boxes` reads its result."""
    detected = [[_plain(box) for box in boxes(detect(each))] for each in inputs]
    answer({"ready": True, "version": version, "boxes": detected})
    turn = itertools.cycle(inputs)
    for line in sys.stdin:
        taken, spent = [], _cpu_s()
        for _ in range(int(line)):
            each = next(turn)
            begun = time.perf_counter()
            detect(each)
            taken.append((time.perf_counter() - begun) * 1e3)
        answer({"ms": taken, "cpu_ms": (_cpu_s() - spent) * 1e3 / len(taken)})


def answer(message: Dict[str, Any]) -> None:
    """Write one answer."""
    print(json.dumps(message), file=sys.stdout, flush=True)


def _plain(box: Box) -> List[float]:
    return [int(box[0]), *(round(float(value), 4) for value in box[1:])]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
