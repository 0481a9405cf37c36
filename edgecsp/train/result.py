"""The result of a run: `best.onnx` and darknet's own files, compared with torch before they get their names."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np
import torch

from .. import backends, importers
from ..cache import files
from ..errors import BuildFailed
from ..importers import darknet
from ..importers.darknet import weights
from ..processing import preprocess
from ..types import Array, Model
from .network import Network

LOG = logging.getLogger(__name__)
CLOSE = 1e-3  # of a head's scale; float32 on two implementations is off by some millionths
SAME = 1e-5  # the same floats on one engine, by way of darknet's files


@dataclass(frozen=True)
class Agreement:
    """The largest difference between an engine's heads and torch's, as a share of the heads' scale."""

    engine: str
    difference: float


def save(model: Model, network: Network, cfg: str, images: List[Array], folder: Path) -> Tuple[Agreement, ...]:
    """Write `best.onnx` to `folder`, and with a `cfg` text `best.cfg` and `best.weights` beside it.

    The ONNX gets its name after every engine that is installed gave torch's heads on `images`; raises `BuildFailed`
    when one gives others. darknet's files must give the heads of the ONNX when they are read back, or are left out,
    which is logged. Raises `OutputError` when the place cannot be written; files that were there before stay then.
    """
    onnx, pair = folder / "best.onnx", (folder / "best.cfg", folder / "best.weights")
    contents = {onnx: model.onnx}
    if cfg:
        floats = io.BytesIO()
        weights.write(floats, network.floats())
        contents.update(zip(pair, (cfg.encode(), floats.getvalue())))
    with files.atomic_group(contents) as parts:
        written = importers.parse(parts[onnx].path.read_bytes())
        agreements = tuple(Agreement(name, compare(written, network, images, name)) for name in engines())
        wrong = [each for each in agreements if not each.difference <= CLOSE]
        if wrong:
            differences = ", ".join(f"{each.engine} by {each.difference:.2g}" for each in wrong)
            raise BuildFailed(
                f"the exported heads differ from torch's ({differences} of their scale; {CLOSE:g} is allowed)"
            )
        if cfg:
            off = difference(written, darknet.load(*(parts[each].path for each in pair)).model, images)
            if not off <= SAME:
                LOG.warning("no best.cfg: read back, its heads differ from best.onnx's by %.2g of their scale", off)
                for each in pair:
                    parts[each].drop()
    return agreements


def engines() -> List[str]:
    """The engines that compute heads here on the CPU."""
    return [name for name in backends.names(with_dummies=False) if backends.unavailable_reason(name, "cpu") is None]


def difference(model: Model, other: Model, images: List[Array]) -> float:
    """The largest difference between two models' heads on onnxruntime, as a share of the heads' scale."""
    sessions = [backends.open(each, backends.REFERENCE, device="cpu") for each in (model, other)]
    worst = 0.0
    try:
        for image in images:
            batch, _ = preprocess.prepare(image, model.input)
            for a, b in zip(*(session.run(batch) for session in sessions)):
                worst = max(worst, float(np.abs(a - b).max() / max(1e-6, np.abs(a).max())))
    finally:
        for session in sessions:
            session.close()
    return worst


@torch.no_grad()
def compare(model: Model, network: Network, images: List[Array], engine: str) -> float:
    """The largest difference between an engine's heads and torch's in float32, as a share of the heads' scale."""
    network.eval()
    device = next(network.parameters()).device
    session = backends.open(model, engine, device="cpu")
    worst = 0.0
    try:
        for image in images:
            batch, _ = preprocess.prepare(image, model.input)
            outputs = network(torch.from_numpy(batch).to(device))
            for mine, other in zip(outputs, session.run(batch)):
                mine = mine.float().cpu().numpy()
                worst = max(worst, float(np.abs(mine - other).max() / max(1e-6, np.abs(mine).max())))
    finally:
        session.close()
    return worst
