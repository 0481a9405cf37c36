"""One device, a stack of contexts, memory by address, and an account of all that was taken and given back."""

from __future__ import annotations

import os
from typing import Any, Dict, Tuple

import numpy as np
import rehearsal
from rehearsal import Played, did, fails, on_device

STREAM = 4711
_memory: Dict[int, np.ndarray] = {}
_ready = False


class Error(Exception):
    pass


def init() -> None:
    global _ready
    if fails("init"):
        raise Error("cuInit failed: no CUDA-capable device is detected")
    _ready = True


def get_version() -> Tuple[int, int, int]:
    return (12, 2, 0)


def get_driver_version() -> int:
    return 12020


class Device(Played):
    def __init__(self, number: int) -> None:
        assert _ready and number == 0

    @staticmethod
    def count() -> int:
        assert _ready
        return 0 if fails("count") else 1

    def name(self) -> str:
        return "Rehearsal GPU"

    def compute_capability(self) -> Tuple[int, int]:
        major, minor = os.environ.get("EDGECSP_DOUBLE_CHIP", "8.6").split(".")
        return int(major), int(minor)

    def make_context(self) -> Context:
        made = Context()
        did("make_context")
        rehearsal.alive.append(made)
        rehearsal.current.append(made)
        return made


class Context(Played):
    def push(self) -> None:
        assert self in rehearsal.alive, "a context that was given back"
        rehearsal.current.append(self)

    @staticmethod
    def pop() -> None:
        rehearsal.current.pop()

    def detach(self) -> None:
        assert self not in rehearsal.current, "still current"
        did("detach")
        rehearsal.alive.remove(self)


class Stream(Played):
    def __init__(self) -> None:
        on_device("Stream")

    handle = STREAM

    def synchronize(self) -> None:
        on_device("synchronize")


class DeviceAllocation(Played):
    def __init__(self, size: int) -> None:
        self._array = np.full(size // 4, np.nan, np.float32)
        self._address = 4096 + 256 * len(_memory)
        _memory[self._address] = self._array
        rehearsal.alive.append(self)

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        on_device("free")
        rehearsal.alive.remove(self)


class PagelockedHostAllocation(Played):
    def free(self) -> None:
        on_device("free pinned")
        rehearsal.alive.remove(self)


class _Pinned(np.ndarray):
    """numpy gives a view its array as `base`; pycuda's pinned arrays have the allocation there."""

    @property
    def base(self) -> Any:
        return self._allocation


def pagelocked_empty(shape: Tuple[int, ...], dtype: Any) -> np.ndarray:
    on_device("pagelocked_empty")
    made = np.full(shape, np.nan, dtype).view(_Pinned)
    made._allocation = PagelockedHostAllocation()
    rehearsal.alive.append(made._allocation)
    return made


def mem_alloc(size: int) -> DeviceAllocation:
    on_device("mem_alloc")
    if fails("memory") and len(_memory) % 2:
        raise MemoryError("cuMemAlloc failed: out of memory")
    return DeviceAllocation(size)


def memory(address: int) -> np.ndarray:
    return _memory[address]


def memcpy_htod_async(there: DeviceAllocation, here: np.ndarray, stream: Stream) -> None:
    on_device("memcpy_htod_async")
    there._array[:] = here.reshape(-1)


def memcpy_dtoh_async(here: np.ndarray, there: DeviceAllocation, stream: Stream) -> None:
    on_device("memcpy_dtoh_async")
    here.reshape(-1)[:] = there._array
