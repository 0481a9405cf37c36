"""What a run leaves: `best.onnx`, compared with torch on every engine before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np
import torch

from .. import backends, files, preprocess
from ..core import Array, Model
from ..errors import BuildFailed
from .network import Network

CLOSE = 1e-3  # of a head's scale; float32 on two implementations is off by some millionths


@dataclass(frozen=True)
class Agreement:
    """How far an engine's heads are from torch's, as a share of the heads' scale."""

    engine: str
    difference: float


def save(model: Model, network: Network, images: List[Array], path: Path) -> Tuple[Agreement, ...]:
    """Write the model's ONNX to `path` after every engine that is installed gave torch's heads on `images`.

    Raises `BuildFailed` when one gives others; nothing is written then.
    """
    found = tuple(Agreement(name, compare(model, network, images, name)) for name in engines())
    wrong = [each for each in found if not each.difference <= CLOSE]
    if wrong:
        shown = ", ".join(f"{each.engine} by {each.difference:.2g}" for each in wrong)
        raise BuildFailed(f"the exported heads differ from torch's ({shown} of their scale; {CLOSE:g} is allowed)")
    with files.atomic(path) as file:
        file.write(model.onnx)
    return found


def engines() -> List[str]:
    """The engines that compute heads here on the CPU."""
    return [name for name in backends.names() if backends.is_real(name) and backends.why_not(name, "cpu") is None]


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
