"""The settings of a benchmark run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from .. import backends
from ..errors import UnknownName, UsageError
from ..options.choices import REQUESTED_PRECISIONS
from ..system import cpu

# MLPerf's terms. A query is timed as a whole: SingleStream sends one image and is judged by p90, MultiStream sends
# eight and is judged by p99, Offline has all images from the start and is judged by throughput.
SCENARIOS = {"single": "p90_ms", "offline": "fps", "multi": "p99_ms"}
QUERY = 8
MODES = ("model", "pipeline")
JETSON = "jetson"


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a measurement; None means the default of this machine or of the model.

    `device` is one of an engine's, or "jetson": a CUDA device on a Jetson, compared with the paper's mGPU column.
    `batch` is the graph's batch size (1; 8 offline and in a query of eight), `duration_s` how long each row is
    measured, without warm-up, in `rounds` parts. `sources` are read in `mode` "pipeline". `same_image` feeds a single
    image, as MLPerf's TEST04 does. `weights` "random" is for names of the zoo only, `hw` (height, width) is another
    input size.
    """

    device: str = "cpu"
    engines: Optional[Tuple[str, ...]] = None
    precisions: Optional[Tuple[str, ...]] = None
    scenario: str = "single"
    mode: str = "model"
    batch: Optional[int] = None
    threads: Optional[int] = None
    duration_s: float = 5.0
    rounds: int = 5
    sources: Tuple[str, ...] = ()
    same_image: bool = False
    weights: Optional[str] = None
    hw: Optional[Tuple[int, int]] = None

    def __post_init__(self) -> None:
        known = sorted({device for name in backends.names() for device in backends.info(name).devices} | {JETSON})
        for kind, name, names in (
            ("device", self.device, known),
            ("scenario", self.scenario, tuple(SCENARIOS)),
            ("mode", self.mode, MODES),
            *(("precision", each, REQUESTED_PRECISIONS) for each in self.precisions or ()),
        ):
            if name not in names:
                raise UnknownName(kind, name, names)
        for name in self.engines or ():
            backends.info(name)
        for flag, value, least in (
            ("--batch", self.batch, 1),
            ("--threads", self.threads, 1),
            ("--rounds", self.rounds, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{flag} {value}: at least {least}")
        if not 0.01 <= self.duration_s <= 3600:
            raise UsageError(f"--duration {self.duration_s:g}: seconds a row, from 0.01 to 3600")
        if self.mode == "pipeline" and (self.scenario != "single" or self.batch_size != 1):
            raise UsageError("--pipeline processes images one by one: use --scenario single and no --batch")
        if self.scenario == "multi" and QUERY % self.batch_size:
            raise UsageError(
                f"--scenario multi sends {QUERY} images a query: --batch 1, 2, 4 or 8, not {self.batch_size}"
            )
        if self.sources and self.mode != "pipeline":
            raise UsageError("--source needs --pipeline; without it the network is timed alone, on synthetic images")

    @property
    def batch_size(self) -> int:
        """The graph's batch size."""
        return self.batch or (1 if self.scenario == "single" else QUERY)

    @property
    def calls_per_sample(self) -> int:
        """Number of calls of the graph that make one sample."""
        return QUERY // self.batch_size if self.scenario == "multi" else 1

    @property
    def thread_count(self) -> int:
        """Number of threads that the engines use."""
        return self.threads or cpu.threads()

    @property
    def engine_device(self) -> str:
        """The engines' name for the device."""
        return engine_device(self.device)


def engine_device(device: str) -> str:
    """The engines' name for a device of ours."""
    return "cuda" if device == JETSON else device
