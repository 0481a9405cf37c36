"""The CUDA device: what it is, and a context on it that is current only while it is used."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator

from ..errors import EngineUnavailable

if TYPE_CHECKING:
    import pycuda.driver as cuda

CUDA_DOCS = "cuda-not-seen"  # the heading of the troubleshooting page
# Chips whose arithmetic on four int8 at a time (DP4A) is missing. Source: CUDA C++ Programming Guide, arithmetic
# instructions by compute capability: it came with 6.1, and 6.2 (the Jetson TX2's) went without.
WITHOUT_INT8 = ("5.0", "5.2", "5.3", "6.0", "6.2")


@dataclass(frozen=True)
class Chip:
    """A device's name, its compute capability ("8.7"), and the CUDA that drives it ("driver 12020, pycuda 12.2.0")."""

    name: str
    compute_capability: str
    cuda: str


def chip() -> Chip:
    """Describe the first CUDA device (see CUDA_VISIBLE_DEVICES). Raises `EngineUnavailable`."""
    device = _device()
    import pycuda.driver as cuda

    major, minor = device.compute_capability()
    built = ".".join(str(part) for part in cuda.get_version())
    return Chip(device.name(), f"{major}.{minor}", f"driver {cuda.get_driver_version()}, pycuda {built}")


def context() -> cuda.Context:
    """Create a context on the first device, not current.

    Of its own and not the device's primary one, because pycuda leaves a primary context on CUDA's stack when it
    gives it back (cuda.hpp, `primary_context::detach_internal`).
    """
    device: cuda.Device = _device()
    created: cuda.Context = device.make_context()
    created.pop()
    return created


@contextmanager
def current(pushed: cuda.Context) -> Iterator[None]:
    """Push a context for the length of the block."""
    pushed.push()
    try:
        yield
    finally:
        pushed.pop()


def _device() -> cuda.Device:
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        reason = f"pycuda cannot load CUDA here ({error}); is an NVIDIA driver installed?"
        raise EngineUnavailable(reason, docs=CUDA_DOCS) from error
    try:
        cuda.init()
        if not cuda.Device.count():
            reason = "CUDA sees no device here; see: nvidia-smi, and CUDA_VISIBLE_DEVICES"
            raise EngineUnavailable(reason, docs=CUDA_DOCS)
        return cuda.Device(0)
    except cuda.Error as error:
        raise EngineUnavailable(f"CUDA has no device here: {error}", docs=CUDA_DOCS) from error
