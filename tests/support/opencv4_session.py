"""Run by an interpreter that has OpenCV 4: `opencv4_session.py FOLDER`, edgecsp on its path.

For every NAME.onnx beside its NAME.npz (the batch first, then the wanted heads by name): opens it with edgecsp's own
backend and prints the largest difference as a share of the head's scale, a line a graph. Needs numpy and cv2 alone.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from edgecsp.backends import SessionOptions
from edgecsp.backends.opencv import OpenCvSession
from edgecsp.processing.heads.two_stage import Raw
from edgecsp.types import Input, Model

assert cv2.__version__.startswith("4."), cv2.__version__
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    with np.load(path.with_suffix(".npz")) as saved:
        batch, *names = saved.files
        heads = tuple(Raw(name, classes=1) for name in names)
        graph = Input(saved[batch].shape[2:], channels=saved[batch].shape[1])
        model = Model(path.stem, graph, heads, ("thing",), onnx=path.read_bytes())
        session = OpenCvSession(model, SessionOptions("cpu", 2, "fp32"))
        outputs = session.run(saved[batch])
        session.run(np.zeros_like(saved[batch]))  # which leaves the first arrays alone
        assert [out.shape for out in outputs] == [saved[name].shape for name in names]
        print(path.stem, max(np.abs(a - saved[n]).max() / np.abs(saved[n]).max() for a, n in zip(outputs, names)))
        session.close()
