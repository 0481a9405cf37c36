"""The result of a run: `best.onnx` and darknet's own files, compared with torch before they get their names."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import torch

from .. import backends, importers
from ..bench.accuracy import Data
from ..cache import files
from ..errors import BuildFailed
from ..importers import darknet
from ..importers.darknet import weights
from ..pipeline import Detector, load
from ..processing import preprocess
from ..types import Array, Model
from . import report
from .data import read_image
from .network import Network

LOG = logging.getLogger(__name__)
CLOSE = 1e-3  # of a head's scale; float32 on two implementations is off by some millionths
SAME = 1e-5  # the same floats on one engine, by way of darknet's files


@dataclass(frozen=True)
class Agreement:
    """The largest difference between an engine's heads and torch's, as a share of the heads' scale."""

    engine: str
    difference: float


@dataclass(frozen=True)
class TrainRun:
    """A run that has ended: its folder, the best AP and AP50 on the validation images, 0..1, and their epoch."""

    folder: Path
    ap: Optional[float]
    ap50: Optional[float]
    epoch: int
    images_per_s: float
    agreements: Tuple[Agreement, ...] = ()
    waited: float = 0.0  # share of the time of training in which no image was ready
    has_val: bool = True  # whether the data's own validation images decided; else some of those to learn from did

    @property
    def results(self) -> Path:
        """The page that shows the run."""
        return self.folder / report.NAME

    @property
    def onnx(self) -> Path:
        """The detector."""
        return self.folder / "best.onnx"

    def load(self, **options: Any) -> Detector:
        """The detector, opened: the options and the errors are those of `edgecsp.load`."""
        return load(self.onnx, **options)


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


def some_images(data: Data, count: int = 4) -> List[Array]:
    """Read the first images that can be read, to compare engines on."""
    images = (read_image(row.path) for row in data.images[: 4 * count])
    return [image for image in images if image is not None][:count]
