"""The number of threads that torch computes with, for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute with one thread within, if `device` is the CPU.

    Operations on some ten thousand values take longer on several threads than on one: each waits for all threads,
    and where another program has a core, for its time slice.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
