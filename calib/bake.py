"""A run's average weights -> `codes.weights` and, through the zoo, `codes.onnx`: `python -m calib.bake RUN`.

The ONNX is run beside the torch module before anything is believed: their raw heads must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Mapping, Optional

import numpy as np
import torch

from edgecsp import files, onnx_model, zoo
from edgecsp.core import Model
from edgecsp.darknet import weights as darknet_weights
from edgecsp.errors import BuildFailed, EdgecspError

from . import CLASSES, TEST_SEEDS, anchors
from .run import MODEL, SIDE, network
from .tape import Tape

CLOSE = 1e-3


def baked(tape: Tape, sizes: anchors.Anchors, weights: Path, origin: Optional[Mapping[str, str]] = None) -> Model:
    """Write a tape's floats to `weights` and read them back through the zoo as a self-describing model."""
    with files.atomic(weights) as file:
        darknet_weights.write(file, tape.floats())
    held = darknet_weights.WeightsFile(weights, tape.net)
    return zoo.model(MODEL, held, (SIDE, SIDE), CLASSES, anchors=sizes, masks=anchors.MASKS, origin=origin)


def furthest(model: Model, tape: Tape, pictures: np.ndarray) -> float:
    """The largest difference of any raw value between the ONNX and the tape, over pictures (N, 3, s, s) float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    name, worst = session.get_inputs()[0].name, 0.0
    tape.eval()
    with torch.no_grad():
        for x in pictures:
            mine = tape(torch.from_numpy(x[None]))
            for a, b in zip(mine, session.run(None, {name: x[None]})):
                worst = max(worst, float(np.abs(a.numpy() - b).max()))
    return worst


def from_run(run: Path, out: Path) -> Model:
    """The model of a run's last checkpoint, written to the folder `out`. Raises `BuildFailed` if it is not the tape."""
    from .scenes import scene

    record = json.loads((run / "run.json").read_text())
    held = torch.load(run / "last.pt", map_location="cpu", weights_only=True)
    sizes = tuple((w, h) for w, h in record["anchors"])
    tape = Tape(network(sizes))
    tape.load_state_dict(held["average"])
    origin = {"weights": "calib.train", "licence": "Apache-2.0", "steps": str(held["step"])}
    model = baked(tape, sizes, out / "codes.weights", origin)
    pictures = np.stack([scene(TEST_SEEDS + i, SIDE)[0][:, :, ::-1].transpose(2, 0, 1) for i in range(4)])
    worst = furthest(model, tape, np.ascontiguousarray(pictures, np.float32) / 255)
    if worst > CLOSE:
        raise BuildFailed(f"the ONNX differs from the trained net by {worst:.2g}; {CLOSE:g} is allowed")
    onnx_model.save(model, out / "codes.onnx")
    print(f"{out / 'codes.onnx'}: step {held['step']}, within {worst:.1g} of the trained net", file=sys.stderr)
    return model


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m calib.bake", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="a folder; the run's own when not given")
    a = parser.parse_args()
    try:
        from_run(a.run, a.out or a.run)
    except EdgecspError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
