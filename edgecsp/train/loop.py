"""The steps of a run: when it saves, when it validates, and what ends it early; each end says how to go on."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Callable, Iterator, List, NamedTuple, Protocol, Sequence, Tuple

import torch
from torch import Tensor

from ..errors import EngineFailed, SourceError, Stopped, UsageError
from . import distributed
from .trainer import Diverged, Trainer

LOG = logging.getLogger(__name__)
SAVE_EVERY_S = 60.0
LOG_EVERY, LOG_EVERY_S = 20, 10.0  # steps, seconds: whichever comes first
Work = Callable[[int, int], float]


class Pace(NamedTuple):
    """Images per second, the share of the time that waited for images, and the seconds that are left."""

    images_per_s: float
    waited: float
    left_s: float


class Keeper(Protocol):
    """The work of a run between its steps. The first process does it alone."""

    folder: Path

    def log_step(self, terms: Sequence[float], pace: Pace) -> None:
        """Log the mean terms of some steps and how fast they were."""

    def save(self) -> None:
        """Write `last.pt`."""

    def is_due(self) -> bool:
        """Whether to validate after the step that was just done; the same for all processes."""

    def has_validated(self) -> bool:
        """Whether that has been done after this step."""

    def validate(self) -> None:
        """Measure the average on the validation images, and keep it if it is the best."""

    def is_enough(self) -> bool:
        """Whether the run ends before its last step."""


def learn(
    trainer: Trainer, batches: Iterator[Tuple[Tensor, Tensor]], keeper: Keeper, batch: int, stop: Event, work: Work
) -> Pace:
    """Do all steps of `batches`, of `batch` images each; return how fast they were.

    `work(first, last)` is what the steps from `first` to before `last` take, in any unit, for the time that is left.

    A validation that was due when the run was killed is made first. Raises `Stopped` when `stop` is set, `SourceError`
    for an image that vanished or a reader that died, `UsageError` for a loss that is never finite, `EngineFailed` for
    lack of memory or a lost process, `OutputError`; all say how to continue, from a `last.pt` that is whole.
    """
    clock = _Clock(trainer, batch, work)
    pending: List[Tensor] = []
    skipped, first = trainer.skipped, not distributed.rank()
    saved = logged = time.monotonic()
    with _sentences(trainer, keeper, stop):
        if distributed.from_first(lambda: keeper.is_due() and not keeper.has_validated()):
            _validate(trainer, keeper, clock)  # it was killed meanwhile
        if distributed.from_first(keeper.is_enough):
            return Pace(0.0, 0.0, 0.0)
        for images, targets in _saved_on_failure(batches, trainer, keeper):
            clock.has_waited()
            terms = torch.stack(trainer.learn(images, targets))
            if trainer.skipped == skipped:
                pending.append(terms)
            else:
                skipped = trainer.skipped
                text = "step %d is skipped: its loss or gradient is not finite (%d so far)"
                LOG.warning(text, trainer.step, skipped)
            due = keeper.is_due()
            is_time = len(pending) >= LOG_EVERY or time.monotonic() - logged > LOG_EVERY_S
            if pending and (is_time or due):
                if first:
                    keeper.log_step(torch.stack(pending).mean(0).tolist(), clock.pace())
                pending.clear()
                logged = time.monotonic()
            if due or time.monotonic() - saved > SAVE_EVERY_S:
                _save(trainer, keeper)
                saved = time.monotonic()
            _check(stop, trainer, keeper)
            if due:
                _validate(trainer, keeper, clock)
                _save(trainer, keeper)
                if distributed.from_first(keeper.is_enough):
                    break
            clock.asks()
    return clock.pace()


def _check(stop: Event, trainer: Trainer, keeper: Keeper) -> None:
    """Save and raise `Stopped` when one of the processes was asked to end."""
    if distributed.any_of(stop.is_set()):
        _save(trainer, keeper)
        if distributed.rank():
            raise distributed.silently(Stopped.exit_code)
        raise Stopped(
            f"stopped after step {trainer.step} of {trainer.steps}; to continue, add --resume {keeper.folder}"
        )


def _validate(trainer: Trainer, keeper: Keeper, clock: _Clock) -> None:
    """On the first process, while the others wait."""

    def validate() -> None:
        if not trainer.is_finite():
            raise Diverged(f"step {trainer.step}: the weights are not finite; use a lower --lr")
        keeper.validate()

    begun = time.monotonic()
    distributed.from_first(validate)
    clock.pause += time.monotonic() - begun


def _save(trainer: Trainer, keeper: Keeper) -> None:
    """Unless something is not finite any more: the last good state stays then."""
    if not distributed.rank() and trainer.is_finite():
        keeper.save()


def _saved_on_failure(
    batches: Iterator[Tuple[Tensor, Tensor]], trainer: Trainer, keeper: Keeper
) -> Iterator[Tuple[Tensor, Tensor]]:
    """The batches; the state between two steps is saved when one cannot be made."""
    try:
        yield from batches
    except SourceError as error:
        _save(trainer, keeper)
        raise SourceError(f"{error}; restore it, and continue with --resume {keeper.folder}") from error


@contextmanager
def _sentences(trainer: Trainer, keeper: Keeper, stop: Event) -> Iterator[None]:
    """Turn what torch raises for a lost process or too little memory into an `EdgecspError`."""
    try:
        yield
    except Diverged as error:
        if distributed.rank():
            raise distributed.silently(error.exit_code) from error
        good = [str(path) for path in (keeper.folder / "last.pt", keeper.folder / "best.pt") if path.is_file()]
        raise UsageError(f"{error}. The last good weights are in {' and '.join(good)}") from error
    except (RuntimeError, MemoryError, EOFError, ConnectionError) as error:
        message = " ".join(str(error).split())[:300]
        go_on = f"add --resume {keeper.folder} to continue from the last checkpoint"
        # EOFError, ConnectionError: it had announced a batch that nobody holds any more.
        if "DataLoader worker" in message or isinstance(error, (EOFError, ConnectionError)):
            _leave_readers_alone()
            if stop.is_set():  # SIGTERM for all processes of the run, as `timeout` and systemd send it
                raise Stopped(f"stopped in step {trainer.step + 1} of {trainer.steps}; {go_on}") from error
            raise SourceError(
                f"a process that reads images died at step {trainer.step + 1} ({message.split('. ')[0]}), most often "
                f"for lack of memory; use fewer --workers, and {go_on}"
            ) from error
        if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "allocate memory" in message:
            raise EngineFailed(
                f"step {trainer.step + 1} needs more memory than {trainer.device} has; start a run with a smaller "
                "--batch or --imgsz"
            ) from error
        if distributed.is_lost(error):
            raise EngineFailed(f"another process of this run ended at step {trainer.step + 1}; {go_on}") from error
        raise


def _leave_readers_alone() -> None:
    """Take away torch's signal handler, which raises wherever Python is once more for every reader that ends."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


class _Clock:
    """Images per second and how much of the time waits for images; validations do not count."""

    def __init__(self, trainer: Trainer, batch: int, work: Work) -> None:
        self._trainer, self._batch, self._work = trainer, batch, work
        self._begun, self._first = time.monotonic(), trainer.step
        self._requested_at, self._waited = self._begun, 0.0
        self.pause = 0.0

    def asks(self) -> None:
        self._requested_at = time.monotonic()

    def has_waited(self) -> None:
        self._waited += time.monotonic() - self._requested_at

    def _took(self) -> float:
        return max(1e-9, time.monotonic() - self._begun - self.pause)

    def pace(self) -> Pace:
        step, took, whole = self._trainer.step, self._took(), time.monotonic() - self._begun
        left = self._work(step, self._trainer.steps) / max(1, self._work(self._first, step))
        return Pace((step - self._first) * self._batch / took, self._waited / took, whole * left)
