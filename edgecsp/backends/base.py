"""The contract of an engine: `EngineInfo` describes it, a `Session` is a model opened on it.

    class ToySession(Session):
        info = EngineInfo("toy", "computes with toys.", requires=("toys",), devices=("cpu",))

        def __init__(self, model, options): ...     # build; heavy imports are in here
        def run(self, batch): ...                   # one array a head
        def close(self): ...

An engine of edgecsp is a file of this folder that defines one such class; any package adds one through an entry point
of the group `edgecsp.engines` (see `registry`). `edgecsp.testing` has the tests that every engine must pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple

from ..options.choices import PRECISIONS
from ..types import Array, Model


@dataclass(frozen=True)
class EngineInfo:
    """Facts of an engine, known without importing what it needs.

    `name` is what users type; `summary` is shown behind it, a sentence with its full stop. `requires` are import
    names, `extra` the pip extra of the engine's own package that brings them, "" for none. `devices` begin with the
    default one; on `concurrent_devices` several threads may be in `run` at once. `other_precisions` are those of the
    devices that are not the default one, () where they are `precisions`, too. `accepts_uint8`: `run` can take the
    bytes of `preprocess.pixels` too. `is_dummy`: its heads are not the model's, so nothing chooses it unasked.
    "auto" takes the engine of the lowest `auto_rank` that runs, for `auto_reason`; None: never. `auto_x86_only`:
    on other CPUs only by name. `aliases` are other names that users type. Raises `ValueError` for what cannot be.
    """

    name: str
    summary: str
    requires: Tuple[str, ...]
    devices: Tuple[str, ...]
    precisions: Tuple[str, ...] = ("fp32",)
    extra: str = ""
    concurrent_devices: Tuple[str, ...] = ()
    accepts_uint8: bool = False
    is_dummy: bool = False
    auto_rank: Optional[int] = None
    auto_reason: str = ""
    auto_x86_only: bool = False
    other_precisions: Tuple[str, ...] = ()
    aliases: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("requires", "devices", "precisions", "other_precisions", "concurrent_devices", "aliases"):
            value = getattr(self, field)
            if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"{field} of engine {self.name!r} is {value!r}; it must be a tuple of strings")
        if not self.name or not self.summary or not self.devices or not self.precisions:
            raise ValueError(f"engine {self.name!r} needs a name, a summary, devices and precisions")
        unknown = [each for each in (*self.precisions, *self.other_precisions) if each not in PRECISIONS]
        if unknown:
            raise ValueError(f"engine {self.name!r} has precision {unknown[0]!r}; known are {', '.join(PRECISIONS)}")
        foreign = [each for each in self.concurrent_devices if each not in self.devices]
        if foreign:
            raise ValueError(f"engine {self.name!r} has no device {foreign[0]!r}, which concurrent_devices lists")

    def precisions_on(self, device: str) -> Tuple[str, ...]:
        """List what the engine computes in on one of its devices; "auto" is the default one."""
        is_default = device in ("auto", self.devices[0]) or not self.other_precisions
        return self.precisions if is_default else self.other_precisions


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session, resolved: nothing here is "auto", and all of it is what the engine's `info` allows.

    `threads` are for all images together; `concurrency` is how many threads will be in `run` at once, above 1 on
    `concurrent_devices` alone. `accepts_uint8`: bytes will be given, which only `accepts_uint8` engines see as True.
    """

    device: str = "cpu"
    threads: int = 1
    precision: str = "fp32"
    concurrency: int = 1
    accepts_uint8: bool = False


class Session(ABC):
    """A model opened on an engine, for `concurrency` threads in `run` at the same time.

    With `accepts_uint8` its `run` also takes (N, h, w, 3) uint8 as `preprocess.pixels` lays it out.
    """

    info: ClassVar[EngineInfo]
    concurrency: int = 1
    accepts_uint8: bool = False
    writes_files: ClassVar[bool] = False  # whether `to_files` is there

    @classmethod
    def to_files(cls, model: Model) -> Dict[str, bytes]:
        """Return the model in the format of the engine's own programs: the bytes of each file, by suffix.

        Raises `BuildFailed` where that cannot hold it.
        """
        raise NotImplementedError

    @classmethod
    def unavailable_reason(cls, device: str) -> Optional[str]:
        """Return what keeps the engine from running on one of its devices, or None.

        Asked once its packages import. The text stands behind the engine's name and says how to mend it: "finds no
        driver; install ...".
        """
        return None

    @classmethod
    def auto_precision(cls, device: str) -> Optional[str]:
        """Return the precision that the engine computes a float graph in by default; None for fp32.

        One of `info.precisions_on(device)` that the hardware computes natively and that finds the same objects. Asked
        where `unavailable_reason` is None.
        """
        return None

    @classmethod
    def measured_speed(cls) -> Optional[float]:
        """Return how many times as fast as onnxruntime the engine was on CPUs like this one, as "auto" opens both.

        From measurements (docs/engine-choice.md), None without one. Asked also where its packages are missing.
        """
        return None

    def __init__(self, model: Model, options: SessionOptions) -> None:
        """Build the model. Raises `BuildFailed`, naming the model, when the engine cannot."""
        self.concurrency = options.concurrency
        self.accepts_uint8 = options.accepts_uint8

    @abstractmethod
    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head, in the model's order; the arrays are the caller's to keep."""

    def warm_up(self, batch: Array) -> None:  # noqa: B027  # most engines have nothing left to do
        """Build now what `run` needs for a batch of this shape and type, which may take seconds."""

    @abstractmethod
    def close(self) -> None:
        """Free all resources; `run` after it is an error, a second `close` is not."""
