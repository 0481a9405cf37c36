"""A network's boxes on labelled images while it learns: edgecsp's own preprocess, decode and NMS, COCO's AP."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
import torch

from ..bench.accuracy import Predictions, Score, score
from ..bench.accuracy.predictions import CONF
from ..bench.accuracy.truth import LabelledImage
from ..processing import decode, nms, preprocess
from ..system.progress import NO_PROGRESS, Progress
from ..types import Array, Detections, Input
from .data import read_image
from .network import Network
from .trainer import has_bfloat16

BATCH = 16
_MOST = 300  # boxes an image: COCO counts 100 of each class


def validate(
    network: Network, predictions: Predictions, spec: Input, device: str, progress: Progress = NO_PROGRESS
) -> Score:
    """Score `network` on the images of `predictions.data`, and fill `predictions`.

    Images that cannot be read are left out; `progress` counts them, `BATCH` at a time.

    `spec` says how an image becomes the network's input. The score is what `edgecsp val` gives for the exported
    model, as far as bfloat16 allows.
    """
    network.eval()
    for begin in range(0, len(predictions.data.images), BATCH):
        rows = [(row, read_image(row.path)) for row in predictions.data.images[begin : begin + BATCH]]
        detect(network, [(row, image) for row, image in rows if image is not None], spec, device, predictions)
        progress.advance(BATCH)
    return score(predictions)


@torch.no_grad()
def detect(
    network: Network, rows: Sequence[Tuple[LabelledImage, Array]], spec: Input, device: str, predictions: Predictions
) -> None:
    """Add the boxes of some images, (labelled image, pixels) each, to `predictions`."""
    if not rows:
        return
    heads = [head for _, head in network.net.heads]
    prepared = [preprocess.prepare(image, spec) for _, image in rows]
    x = torch.from_numpy(np.concatenate([batch for batch, _ in prepared])).to(device, memory_format=torch.channels_last)
    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=has_bfloat16(device)):
        outputs = network(x)
    arrays = [out.float().cpu().contiguous().numpy() for out in outputs]
    for i, ((row, image), (_, geometry)) in enumerate(zip(rows, prepared)):
        candidates = decode.boxes(heads, [out[i : i + 1] for out in arrays], spec.hw, CONF)
        remaining = nms.keep(candidates, 0.45, max_det=_MOST, input_hw=spec.hw)
        boxes = geometry.to_image(candidates.xyxy[remaining])
        sized = row.with_size((image.shape[0], image.shape[1]))
        predictions.add(
            sized,
            Detections(boxes, candidates.scores[remaining], candidates.class_ids[remaining], predictions.data.names),
        )
