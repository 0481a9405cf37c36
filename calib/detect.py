"""A tape as a detector: pictures in, boxes out, through edgecsp's own decode and NMS."""

from __future__ import annotations

from typing import Iterable, List, Tuple

import numpy as np
import torch

from edgecsp import decode, nms
from edgecsp.train.network import Network

from . import TEST_SEEDS
from .score import Found

LOW = 0.01  # AP counts boxes down to here


def truth(count: int, side: int) -> Tuple[List[np.ndarray], List[Found]]:
    """The first `count` test scenes and their boxes."""
    from .scenes import scene

    made = [scene(TEST_SEEDS + i, side) for i in range(count)]
    return [m[0] for m in made], [Found(m[1], m[2], np.ones(len(m[2]), np.float32)) for m in made]


@torch.no_grad()
def detect(tape: Network, pictures: Iterable[np.ndarray], device: str = "cpu", conf: float = LOW) -> List[Found]:
    """Boxes of pictures (s, s, 3) uint8 BGR, all of one size."""
    tape.eval()
    heads = [head for _, head in tape.net.heads]
    stack = np.stack(list(pictures))
    found = []
    for begin in range(0, len(stack), 32):
        part = torch.from_numpy(stack[begin : begin + 32, :, :, ::-1].transpose(0, 3, 1, 2).copy())
        x = part.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        outputs = [out.float().cpu().contiguous().numpy() for out in tape(x)]
        found += [_boxes(heads, [out[i : i + 1] for out in outputs], stack.shape[1:3], conf) for i in range(len(x))]
    return found


def _boxes(heads: List, outputs: List[np.ndarray], hw: Tuple[int, int], conf: float) -> Found:
    candidates = decode.boxes(heads, outputs, hw, conf)
    kept = nms.keep(candidates, 0.45, max_det=100, input_hw=hw)
    xyxy = np.clip(candidates.xyxy[kept], 0, [hw[1], hw[0]] * 2)
    return Found(xyxy, candidates.class_ids[kept], candidates.scores[kept])
