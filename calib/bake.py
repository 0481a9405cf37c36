"""A run of `edgecsp train` -> a bundled model of the zoo: `python -m calib.bake RUN [--name everyday]`.

What was packed is read back through the zoo and run beside the torch module before it gets its name: their raw heads
must agree as far as half-precision kernels allow. RUN also gets NAME.weights, the same in darknet's format. `codes` is
measured on test scenes; another model on photographs (`calib.everyday`), where its threshold is chosen, too.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple

import numpy as np
import torch

from edgecsp import zoo
from edgecsp.cache import files
from edgecsp.errors import BuildFailed, EdgecspError, SourceError, UsageError
from edgecsp.graph import onnx_model
from edgecsp.importers.darknet import weights as darknet_weights
from edgecsp.train.model import Layout
from edgecsp.train.network import Network, yolo_heads
from edgecsp.types import Model
from edgecsp.zoo._packed import PackedWeights, pack

from . import CLASSES, TEST_SEEDS, everyday, test

CLOSE = 0.05  # of a logit: half-precision kernels through forty layers
CODES = "codes"
SHIPPED = Path(zoo.__file__).parent
Measure = Callable[[Mapping[str, Any], Model], Dict[str, Any]]
"""Measures a packed model of a run with such a record: facts for the model's own, with its figures as `test`."""
_TEXT: Dict[str, Any] = {"capture_output": True, "text": True, "check": False}


def parts(network: Network) -> Iterator[Tuple[str, np.ndarray]]:
    """Iterate over the arrays of a network with their parts' names, in darknet's order."""
    arrays = iter(network.floats())
    for module in network.convolutions.values():
        norm = ("scale", "mean", "variance") if len(module) == 2 else ()
        yield from ((part, next(arrays)) for part in ("bias", *norm, "weights"))


def furthest(model: Model, network: Network, images: np.ndarray) -> float:
    """The largest difference of any raw value between ONNX and torch, over images (N, 3, s, s) float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    name, worst = session.get_inputs()[0].name, 0.0
    network.eval()
    with torch.no_grad():
        for x in images:
            mine = network(torch.from_numpy(x[None]))
            for a, b in zip(mine, session.run(None, {name: x[None]})):
                worst = max(worst, float(np.abs(a.numpy() - b).max()))
    return worst


def packed(network: Network, layout: Layout, record: Mapping[str, Any], path: Path) -> Model:
    """Pack a network to `path` and read it back through the zoo, as the bundled model will be."""
    with path.open("wb") as file:
        pack(file, parts(network), record)
    entry, net = zoo.get(layout.name), layout.net()
    return onnx_model.build(
        net, PackedWeights(path), name=path.stem, labels=layout.labels, input=entry.input(net),
        conf=entry.conf, iou=entry.iou,
    )  # fmt: skip


def read_run(run: Path, name: str = CODES) -> Tuple[Dict[str, Any], Layout, Network]:
    """A run's record, its layout, and the average network of its best epoch.

    Raises `SourceError` for what is not a run, `UsageError` for a run of `codes` on other data.
    """
    try:
        began = json.loads((run / "run.json").read_text())
        layout = Layout.from_dict(began["layout"])
        state = torch.load(run / "best.pt", map_location="cpu", weights_only=True)
        average, best = state["average"], json.loads(state["best"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{run} is not a run of edgecsp train with a best epoch ({type(error).__name__}: {error}); "
            "calib/README.md has the command"
        ) from None
    if name == CODES and layout.labels != CLASSES:
        raise UsageError(f"{run} learned {', '.join(layout.labels[:6])}; codes are {', '.join(CLASSES)}")
    network = Network(layout.net())
    network.load_state_dict(average)
    return {**began, "best": best}, layout, network


def on_scenes(began: Mapping[str, Any], model: Model, *, count: int) -> Dict[str, Any]:
    """Measure on `count` test scenes."""
    return {"scenes": _learned(began), "test": {"scenes": count, **test.measure(model, count, precision="fp32")}}


def on_photographs(began: Mapping[str, Any], model: Model, *, data: Path, empty: Path) -> Dict[str, Any]:
    """Measure on photographs (`calib.everyday`), at a threshold that is chosen on them."""
    figures = everyday.measure(model, data, empty, choose=True, precision="fp32")
    learned = f"photographs of VOC2012, COCO and Open Images: {_learned(began)}"
    facts = {"finds": everyday.FINDS, "licence": everyday.LICENCE, "command": began.get("command", "")}
    return {**facts, "data": learned, "conf": figures["conf"], "test": figures}


def _learned(began: Mapping[str, Any]) -> str:
    return f"{began['data']['train_images']:,}, digest {began['data']['digest']}"


def without_folders(record: Mapping[str, Any]) -> Dict[str, Any]:
    """Shorten absolute paths in a record's texts to their last two parts: it goes where those folders are not."""
    shortened: Dict[str, Any] = json.loads(
        re.sub(r'(?<![^\s"])/(?:[^\s/"]+/)*([^\s/"]+/[^\s/"]+)', r"\1", json.dumps(record))
    )
    return shortened


def from_run(run: Path, out: Path, measure: Measure) -> None:
    """Pack the best epoch of a run to `out`, which is named as the model, with what `measure` finds.

    Raises `BuildFailed` if what comes back is not what was trained.
    """
    began, layout, network = read_run(run, out.stem)
    with files.atomic(run / f"{out.stem}.weights") as file:
        darknet_weights.write(file, network.floats())
    heads = list(yolo_heads(network.net).values())
    record = {
        "model": layout.name,
        "imgsz": layout.side,
        "labels": layout.labels,
        "anchors": layout.anchors,
        "masks": layout.masks,
        "scale_xy": [head.scale_xy for head in heads],
        "licence": "Apache-2.0",
        "trained": f"epoch {began['best']['epoch']} of {began['settings']['epochs']}, begun with {began['start']}",
        "settings": began["settings"],
        **({"balance": began["balance"]} if "balance" in began else {}),
        "versions": began["versions"],
        "commit": _commit(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / out.name
        model = packed(network, layout, record, path)
        worst = furthest(model, network, _images(4, layout.side))
        if not worst <= CLOSE:
            raise BuildFailed(f"the packed heads differ from the trained net's by {worst:.2g}; {CLOSE:g} is allowed")
        packed(network, layout, without_folders({**record, **measure(began, model)}), path)
        with files.atomic(out) as target:
            target.write(path.read_bytes())
    print(f"{out}: epoch {began['best']['epoch']}, heads within {worst:.1g} of the trained net's", file=sys.stderr)


def _images(count: int, side: int) -> np.ndarray:
    from .scenes import scene

    images = [scene(TEST_SEEDS + i, side)[0][:, :, ::-1].transpose(2, 0, 1) for i in range(count)]
    return np.ascontiguousarray(images, np.float32) / 255


def _commit() -> str:
    """The commit that the recipe was at, with a mark when files differed from it; "" outside a checkout."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, **_TEXT)
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m calib.bake", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default=CODES, help=f"what the model is called [default: {CODES}]")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", default=SHIPPED, help="where NAME.npz goes [default: the zoo]"
    )
    parser.add_argument("--count", type=int, default=1000, help="test scenes that the figures of codes are from")
    everyday.add_options(parser, required=False)
    a = parser.parse_args()
    measure: Measure = partial(on_scenes, count=a.count)
    if a.name != CODES:
        if a.data is None or a.empty is None:
            parser.error(f"--name {a.name}: also --data and --empty, photographs to measure it on")
        measure = partial(on_photographs, data=a.data, empty=a.empty)
    try:
        from_run(a.run, a.out / f"{a.name}.npz", measure)
    except EdgecspError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
