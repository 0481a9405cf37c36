"""OpenCV 4's DNN as a process to be timed: `opencv4_engine.py MODEL.onnx THREADS`, and the loop that all share.

Run by an interpreter that has OpenCV 4 and numpy and no more, so it imports nothing of edgecsp.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Callable


def serve(infer: Callable[[], object]) -> None:
    """Answer each line "N" on stdin with N timed calls: {"ms": [...], "cpu_ms": mean CPU time of this process}."""
    for _ in range(3):
        infer()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        taken, spent = [], time.process_time()
        for _ in range(int(line)):
            begun = time.perf_counter()
            infer()
            taken.append((time.perf_counter() - begun) * 1e3)
        print(json.dumps({"ms": taken, "cpu_ms": (time.process_time() - spent) * 1e3 / len(taken)}), flush=True)


def main() -> None:
    """Open the network, then serve."""
    import cv2
    import numpy as np

    path, threads, height, width = sys.argv[1], *map(int, sys.argv[2:5])
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(path)
    names = net.getUnconnectedOutLayersNames()
    batch = np.random.default_rng(0).random((1, 3, height, width), np.float32)

    def infer() -> None:
        net.setInput(batch)
        net.forward(names)

    serve(infer)


if __name__ == "__main__":
    main()
