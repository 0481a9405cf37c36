"""OpenCV 4's DNN alone, its arguments MODEL.onnx THREADS HEIGHT WIDTH: a line "N" gets the median of N calls, in ms."""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np

cv2.setNumThreads(int(sys.argv[2]))
net = cv2.dnn.readNetFromONNX(sys.argv[1])
names = net.getUnconnectedOutLayersNames()
hw = tuple(map(int, sys.argv[3:5]))
batch = np.random.default_rng(0).random((1, 3, *hw), np.float32)
for line in sys.stdin:
    taken = []
    for _ in range(int(line)):
        begun = time.perf_counter()
        net.setInput(batch)
        net.forward(names)
        taken.append((time.perf_counter() - begun) * 1e3)
    print(float(np.median(taken)), flush=True)
