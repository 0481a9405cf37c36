"""A run's average weights -> the zoo's `codes.npz`, the model in the box: `python -m calib.bake RUN`.

What was packed is read back through the zoo and run beside the torch module before it gets its name: their raw heads
must agree as far as half-precision kernels allow. RUN also gets `codes.weights`, the same in darknet's format.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple

import numpy as np
import torch

from edgecsp import files, zoo
from edgecsp.core import Model
from edgecsp.darknet import weights as darknet_weights
from edgecsp.errors import BuildFailed, EdgecspError
from edgecsp.train import anchors
from edgecsp.train.network import Network
from edgecsp.zoo._packed import PackedWeights, pack

from . import CLASSES, TEST_SEEDS, test
from .run import MASKS, MODEL, SIDE, network

CLOSE = 0.05  # of a logit: half-precision kernels through forty layers
SHIPPED = Path(zoo.__file__).with_name("codes.npz")
_TEXT: Dict[str, Any] = {"capture_output": True, "text": True, "check": False}


def parts(tape: Network) -> Iterator[Tuple[str, np.ndarray]]:
    """Every array of a tape with its part's name, in darknet's order."""
    arrays = iter(tape.floats())
    for module in tape.convolutions.values():
        norm = ("scale", "mean", "variance") if len(module) == 2 else ()
        yield from ((part, next(arrays)) for part in ("bias", *norm, "weights"))


def furthest(model: Model, tape: Network, pictures: np.ndarray) -> float:
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


def packed(tape: Network, sizes: anchors.Anchors, record: Mapping[str, Any], path: Path) -> Model:
    """Pack a tape to `path` and read it back through the zoo, as the model in the box will be."""
    with path.open("wb") as file:
        pack(file, parts(tape), record)
    return zoo.model(MODEL, PackedWeights(path), (SIDE, SIDE), CLASSES, anchors=sizes, masks=MASKS)


def from_run(run: Path, out: Path, count: int) -> None:
    """Pack a run's last checkpoint to `out`, with its figures on `count` test scenes.

    Raises `BuildFailed` if what comes back is not what was trained.
    """
    began = json.loads((run / "run.json").read_text())
    held = torch.load(run / "last.pt", map_location="cpu", weights_only=True)
    sizes = tuple((w, h) for w, h in began["anchors"])
    tape = Network(network(sizes))
    tape.load_state_dict(held["average"])
    with files.atomic(run / "codes.weights") as file:
        darknet_weights.write(file, tape.floats())
    record = {
        "model": MODEL,
        "labels": CLASSES,
        "anchors": sizes,
        "masks": MASKS,
        "licence": "Apache-2.0",
        "trained": f"{held['step']:,} steps of {began['asked']['batch']} synthetic scenes",
        "scenes": began["scenes"],
        "asked": began["asked"],
        **({"start": began["start"]} if "start" in began else {}),
        "commit": _commit(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / out.name
        model = packed(tape, sizes, record, path)
        worst = furthest(model, tape, _pictures(4))
        if worst > CLOSE:
            raise BuildFailed(f"the packed heads differ from the trained net's by {worst:.2g}; {CLOSE:g} is allowed")
        packed(tape, sizes, {**record, "test": {"scenes": count, **test.measure(model, count)}}, path)
        with files.atomic(out) as target:
            target.write(path.read_bytes())
    print(f"{out}: step {held['step']}, heads within {worst:.1g} of the trained net's", file=sys.stderr)


def _pictures(count: int) -> np.ndarray:
    from .scenes import scene

    made = [scene(TEST_SEEDS + i, SIDE)[0][:, :, ::-1].transpose(2, 0, 1) for i in range(count)]
    return np.ascontiguousarray(made, np.float32) / 255


def _commit() -> str:
    """The commit that the recipe was at, with a mark when files differed from it; "" outside a checkout."""
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, **_TEXT)
    return told.stdout.strip() if told.returncode == 0 else ""


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m calib.bake", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the file to write [default: the zoo's]")
    parser.add_argument("--count", type=int, default=1000, help="test scenes that the record's figures are from")
    a = parser.parse_args()
    try:
        from_run(a.run, a.out, a.count)
    except EdgecspError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
