"""The device; default number of processes that make batches, and of images in a batch."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Union

from ..errors import UsageError
from ..graph.layers import Net
from ..system import cpu, memory

AUTO = "auto"
BATCHES = (64, 48, 32, 24, 16, 12, 8, 6, 4, 2, 1)  # more than 64 images a step gain nothing at these learning rates
STEPS = 8  # an epoch, at least
_SHARE = 0.6  # of what is free
# Measured: how much a step's peak rises above the start's, as a multiple of all maps of the batch in float32. With
# float32 1.8 (cspdensenetb-ref-prn at 320 px) and 2.2 (yolov4-tiny), with bfloat16 1.0 and 1.5.
_COPIES = 2.3
_MOST_WORKERS = 16


def pick_workers(requested: Union[int, str], device: str, cores: Optional[int] = None) -> int:
    """Processes that make batches.

    "auto": on the CPU, which the network needs, one for four cores; for a GPU one for each core but one. Of several
    training processes on this machine (`torchrun`) each has its part of the cores. Raises `UsageError`.
    """
    if requested != AUTO:
        return whole("workers", requested, 0)
    cores = cores or len(cpu.affinity())
    cores = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if device == "cpu":
        return 0 if cores == 1 else max(1, cores // 4)
    return min(_MOST_WORKERS, max(1, cores - 1))


def pick_batch(net: Net, images: int, device: str, free: Optional[int] = None) -> int:
    """The largest batch for which the memory is enough; an epoch still has some steps.

    `net` is the network at the input's size; `free` are bytes [default: what the device has now].
    """
    free = free if free is not None else _free(device)
    each = sum(layer.shape[0] * layer.shape[1] * layer.shape[2] for layer in net.layers) * 4 * _COPIES
    fits = [size for size in BATCHES if free is None or size * each <= free * _SHARE]
    if not fits:
        raise UsageError(
            f"a batch of 1 image needs about {each / 1e9:.1f} GB and {(free or 0) / 1e9:.1f} GB are free; "
            "take a smaller --imgsz or another model"
        )
    some = [size for size in fits if size * STEPS <= images]
    return some[0] if some else min(fits[0], max(1, images // STEPS))


def batch_of(requested: int, record: Dict[str, Any]) -> int:
    """The batch of a run that goes on: the record's where it was picked, or cut to the number of images."""
    had: int = record["settings"]["batch"]
    return had if requested == 0 or had < requested >= record["data"]["train_images"] else requested


def whole(name: str, value: Union[int, str], least: int) -> int:
    """A whole number or a numeral as an int. Raises `UsageError`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"--{name} {value}: auto, or a whole number from {least} on")
    return number


def _free(device: str) -> Optional[int]:
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    free = memory.free()
    return None if free is None else free.available


def pick_device(requested: str) -> str:
    """ "auto", "cpu", "cuda" or "cuda:1" as torch has it. Raises `UsageError`."""
    import torch

    if requested == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = f"cuda:{requested}" if requested.isdecimal() else requested
    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"device {requested!r}: auto, cpu, cuda, or a GPU's number")
    if name != "cpu" and not torch.cuda.is_available():
        raise UsageError(f"--device {requested}: torch {torch.__version__} sees no CUDA device here; use --device cpu")
    return name
