"""What to measure and how, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from .. import backends
from ..errors import UnknownName, UsageError
from ..system import cpu

# MLPerf's words. A query is what is timed as one: SingleStream sends one picture and is judged by p90, MultiStream
# sends eight and is judged by p99, Offline has all its pictures at once and is judged by how many it does a second.
SCENARIOS = {"single": "p90_ms", "offline": "fps", "multi": "p99_ms"}
QUERY = 8
MODES = ("model", "pipeline")
JETSON = "jetson"


@dataclass(frozen=True)
class BenchSettings:
    """How to measure; None means the default that is found out here or in the model.

    `device` is one of an engine's, or "jetson": a CUDA device on a Jetson, beside the paper's mGPU column. `batch` is
    how many pictures go through the graph at once (1; 8 offline and in a query of eight), `duration_s` how long each
    row is measured, warm-up not counted, in `rounds` parts. `sources` are what `mode` "pipeline" reads. `same_picture`
    feeds one over and over, as MLPerf's TEST04 does. `weights` "random" is for names of the zoo alone, `hw`
    (height, width) another input than the model's.
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
    same_picture: bool = False
    weights: Optional[str] = None
    hw: Optional[Tuple[int, int]] = None

    def __post_init__(self) -> None:
        known = sorted({device for name in backends.names() for device in backends.module(name).DEVICES} | {JETSON})
        for kind, name, names in (
            ("device", self.device, known),
            ("scenario", self.scenario, tuple(SCENARIOS)),
            ("mode", self.mode, MODES),
            *(("precision", each, backends.PRECISIONS) for each in self.precisions or ()),
        ):
            if name not in names:
                raise UnknownName(kind, name, names)
        for name in self.engines or ():
            backends.module(name)
        for flag, value, least in (
            ("--batch", self.batch, 1),
            ("--threads", self.threads, 1),
            ("--rounds", self.rounds, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{flag} {value}: at least {least}")
        if not 0.01 <= self.duration_s <= 3600:
            raise UsageError(f"--duration {self.duration_s:g}: seconds a row, from 0.01 to 3600")
        if self.mode == "pipeline" and (self.scenario != "single" or self.pictures != 1):
            raise UsageError("--pipeline is one picture after the other: --scenario single, and no --batch")
        if self.scenario == "multi" and QUERY % self.pictures:
            raise UsageError(
                f"--scenario multi sends {QUERY} pictures a query: --batch 1, 2, 4 or 8, not {self.pictures}"
            )
        if self.sources and self.mode != "pipeline":
            raise UsageError(
                "--source is what --pipeline reads; without it the network is timed alone, on drawn pictures"
            )

    @property
    def pictures(self) -> int:
        """How many pictures go through the graph at once."""
        return self.batch or (1 if self.scenario == "single" else QUERY)

    @property
    def calls(self) -> int:
        """How many calls of the graph one sample is."""
        return QUERY // self.pictures if self.scenario == "multi" else 1

    @property
    def using(self) -> int:
        """How many threads the engines compute with."""
        return self.threads or cpu.threads()

    @property
    def on(self) -> str:
        """The engines' own name of the device."""
        return "cuda" if self.device == JETSON else self.device
