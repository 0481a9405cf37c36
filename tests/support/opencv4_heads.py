"""Run by an interpreter that has OpenCV 4: `opencv4_heads.py CFG WEIGHTS INPUT.npy OUT.npz LAYER...`

Saves the outputs of the numbered convolutions as OpenCV's own darknet reader computes them; `last` is the net's end.
"""

import sys

import cv2
import numpy as np

cfg, weights, blob, out, *layers = sys.argv[1:]
net = cv2.dnn.readNetFromDarknet(cfg, weights)  # type: ignore[attr-defined]
net.setInput(np.load(blob))
known = net.getLayerNames()
# OpenCV gives the activation of layer N a layer of its own, numbered N + 1.
activated = {layer: f"logistic_{int(layer) + 1}" for layer in layers if layer != "last"}
activated["last"] = known[-1]
np.savez(out, *net.forward([activated[n] if activated[n] in known else f"conv_{n}" for n in layers]))
