"""Several processes that train one network, as torchrun starts them; with one process everything here is a no-op.

    torchrun --nproc-per-node 2 -m edgecsp train MODEL --data DATA

torch's own DistributedDataParallel averages the gradients (gloo on CPUs, NCCL on CUDA). The first process alone reads
what is asked for, writes, validates and prints. Batch-norm is each process's own; the first one's running statistics
are everybody's (not SyncBatchNorm), so a process should have a batch of eight images or more.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from datetime import timedelta
from typing import Callable, Iterator, List, Optional, Tuple, TypeVar

import torch
from torch import Tensor, distributed, nn

from ..errors import EdgecspError, UsageError

_PATIENCE = timedelta(hours=24)  # a validation and a teacher's work on the first process may take hours
_T = TypeVar("_T")


class _Elsewhere(EdgecspError):
    """The first process has met an error and says so itself."""

    silent = True


def size() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if _is_on() else 1


def rank() -> int:
    """Index of this process among them, from 0."""
    return distributed.get_rank() if _is_on() else 0


def local_size() -> int:
    """Number of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _is_on() else 1


def _is_on() -> bool:
    return bool(distributed.is_available() and distributed.is_initialized())


@contextmanager
def processes(device: str) -> Iterator[str]:
    """Join the others, if torchrun started this process; give the device of this process, a torch name.

    `device` is "cpu", "cuda" or "cuda:N". Raises `UsageError` for one GPU that several processes should share.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield device
        return
    if device.startswith("cuda"):
        place = int(os.environ.get("LOCAL_RANK", "0"))
        if ":" in device or place >= torch.cuda.device_count():
            raise UsageError(
                f"torchrun started {os.environ.get('LOCAL_WORLD_SIZE', '?')} processes, and each needs a GPU of its "
                f"own; torch sees {torch.cuda.device_count()}. Leave out --device, or set CUDA_VISIBLE_DEVICES"
            )
        device = f"cuda:{place}"
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"cannot join the other processes ({_line(error)}); start them with torchrun, not by hand"
        ) from error
    try:
        yield device
    finally:
        distributed.destroy_process_group()


@contextmanager
def first_logs() -> Iterator[None]:
    """Have the first process alone log; the others log errors."""
    logger = logging.getLogger(__package__)
    before = logger.level
    if rank():
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def from_first(make: Callable[[], _T]) -> _T:
    """Give all processes what `make` returns on the first one; it is not called on the others.

    An `EdgecspError` is raised as it is on the first process, and silently on the others.
    """
    if size() == 1:
        return make()
    message: List[Tuple[Optional[_T], Optional[int]]] = [(None, None)]
    failed: Optional[EdgecspError] = None
    if not rank():
        try:
            message = [(make(), None)]
        except EdgecspError as error:
            failed, message = error, [(None, error.exit_code)]
    distributed.broadcast_object_list(message)
    if failed is not None:
        raise failed
    result, code = message[0]
    if code is not None:
        raise silently(code)
    return result  # type: ignore[return-value]


def silently(code: int) -> EdgecspError:
    """An error for a process that leaves the words to the first one."""
    error = _Elsewhere("the first process says what is wrong")
    error.exit_code = code
    return error


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over the processes; no gradient."""
    if size() == 1:
        return value
    value = value.detach().clone()
    distributed.all_reduce(value)
    return value


def any_of(flag: bool) -> bool:
    """Whether any process says so."""
    return bool(total(torch.tensor([float(flag)]))) if size() > 1 else flag


def share_of(count: Tensor) -> Tensor:
    """The divisor of a process's part of a loss, so that the mean of the processes' is the loss of the whole batch.

    `count` is this process's; see `loss.Loss`.
    """
    return total(count).clamp(min=1) / size()


def wrap(network: nn.Module, device: str) -> nn.Module:
    """The network such that its gradients are the mean over the processes; all begin with the first one's weights."""
    if size() == 1:
        return network
    own = [torch.device(device)] if device.startswith("cuda") else None
    return nn.parallel.DistributedDataParallel(network, device_ids=own)


def is_lost(error: RuntimeError) -> bool:
    """Whether an error means that another process has gone."""
    words = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")
    return size() > 1 and any(word in str(error) for word in words)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
