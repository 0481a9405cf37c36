"""onnxruntime alone, `MODEL.onnx THREADS` its arguments: it answers each line "N" with the median of N calls, in ms."""

from __future__ import annotations

import sys
import time

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
graph_input = session.get_inputs()[0]
batch = np.random.default_rng(0).random(graph_input.shape, np.float32)
for line in sys.stdin:
    taken = []
    for _ in range(int(line)):
        begun = time.perf_counter()
        session.run(None, {graph_input.name: batch})
        taken.append((time.perf_counter() - begun) * 1e3)
    print(float(np.median(taken)), flush=True)
