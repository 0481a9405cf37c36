"""Work of a run between its steps and at its end: record, log, checkpoints, validations, the export."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..bench.accuracy import Data, Predictions
from ..bench.accuracy.score import Score
from ..cache import files
from ..errors import BadModel, UsageError
from ..types import Input
from . import blend, checkpoint, distributed, folders, loop, report, result, start
from .augment import Augment
from .curves import best_threshold, judge
from .data import Images, Samples, Steps, batches
from .image_sizes import ImageSizes
from .model import Layout
from .network import Network
from .progress import LoggedProgress, TrainingProgress, duration
from .result import TrainRun
from .splits import digest
from .teacher import Teaching
from .trainer import Trainer
from .validation import validate

LOG = logging.getLogger(__name__)


@dataclass
class RunKeeper:
    """Keeps a run in its folder: its record, log, checkpoints, validations, and at the end what it exports.

    `_has_val` says whether the data's own validation images decide which epoch is best.
    """

    folder: Path
    layout: Layout
    trainer: Trainer
    each: int
    _learn: Data
    _judge: Data
    _watch: Callable[[TrainingProgress], None]
    _has_val: bool = True
    _log: List[Dict[str, Any]] = field(default_factory=list)
    _best: Dict[str, Any] = field(default_factory=dict)
    _details: Dict[str, Any] = field(default_factory=dict)
    _last: Optional[TrainingProgress] = None

    def __post_init__(self) -> None:
        self._spec: Input = self.layout.entry.input(self.layout.net())

    def begin(self, begin: start.Start, teaching: Teaching) -> None:
        """Write the record, a state to go on from, and the initial weights if the result may be mixed with them."""
        record = {
            "schema": "edgecsp-train/1",
            "settings": asdict(self.trainer.settings),
            "layout": self.layout.to_dict(),
            "start": begin.name,
            "processes": distributed.size(),
            "teacher": teaching.to_dict(),
            "data": {
                "name": self._learn.name,
                "train_images": len(self._learn.images),
                "val_images": len(self._judge.images),
                "digest": digest(self._learn, self._judge),
                "train_boxes": self._learn.counts,
            },
            "versions": report.versions(),
            "command": report.command(),
        }
        self._write_record(record)
        if self.trainer.settings.blend and begin.state and begin.shared(self.layout.labels):
            checkpoint.write(self.folder / "first.pt", self.trainer.average.state_dict())
        self.save()

    def _write_record(self, record: Dict[str, Any]) -> None:
        with files.atomic(self.folder / "run.json") as file:
            file.write(json.dumps(record, indent=1).encode())

    def resume(self) -> None:
        """Go on from `last.pt`."""
        record = folders.record(self.folder)
        if record["data"]["digest"] != digest(self._learn, self._judge):
            raise UsageError(f"the data is not what {self.folder} was started with; start a new run from its weights")
        state = distributed.from_first(lambda: checkpoint.read(self.folder / "last.pt"))
        self.trainer.load_state(state)
        self._log, self._best = json.loads(state["log"]), json.loads(state["best"])
        if self._best and not distributed.rank():
            self._details = json.loads(checkpoint.read(self.folder / "best.pt").get("details", "{}"))
        LOG.info("continues after step %d of %d", self.trainer.step, self.trainer.steps)
        epochs = self.trainer.settings.epochs
        if epochs != record["settings"]["epochs"] and not distributed.rank():
            LOG.info("it was started with %d epochs and has %d now", record["settings"]["epochs"], epochs)
            self._write_record({**record, "settings": {**record["settings"], "epochs": epochs}})

    def go(self, images: Images, workers: int, stop: Event) -> TrainRun:
        """All steps that are left, then the export."""
        trainer, settings = self.trainer, self.trainer.settings
        how = Augment(settings.mosaic, settings.mixup, settings.scale, flip=0.5 if settings.flip else 0.0)
        sides = ImageSizes(
            self.layout.side, self.layout.entry.stride, trainer.steps, settings.seed, settings.multi_scale,
            settings.progressive,
        )  # fmt: skip
        among = (distributed.rank(), distributed.size())
        mosaic_until = int(trainer.steps * 0.9)
        keys = Steps(trainer.step, trainer.steps, settings.batch, sides.at, mosaic_until, among)
        queue = batches(Samples(images, settings.seed, how), keys, workers)
        pace = loop.learn(trainer, queue, self, settings.batch * distributed.size(), stop, sides.pixels)
        return distributed.from_first(lambda: self._finish(pace))

    def is_due(self) -> bool:
        """Whether to validate: some twenty-five times a run, at the ends of epochs."""
        epoch, rest = divmod(self.trainer.step, self.each)
        every = max(1, self.trainer.settings.epochs // 25)
        is_last = self.trainer.step >= self.trainer.steps  # beyond: a run to resume has fewer epochs now
        return self.trainer.step > 0 and (is_last or (not rest and not epoch % every))

    def has_validated(self) -> bool:
        """Whether the average's AP after this step is known."""
        return any("AP50" in row and row["step"] == self.trainer.step for row in self._log[-2:])

    def is_enough(self) -> bool:
        """Whether the AP has not risen for the epochs of `patience`."""
        patience = self.trainer.settings.patience
        enough = bool(patience and self._best and self.trainer.step // self.each - self._best["epoch"] >= patience)
        if enough:
            LOG.info("no better AP for %d epochs: stopping", patience)
        return enough

    def log_step(self, terms: Sequence[float], pace: loop.Pace) -> None:
        """Log the means of some steps."""
        trainer, epochs = self.trainer, self.trainer.settings.epochs
        row = {"step": trainer.step, "epoch": trainer.step / self.each, "lr": trainer.rate(), "loss": sum(terms)}
        row.update(zip(("box", "objectness", "classes"), terms))
        rates = {"images_per_s": round(pace.images_per_s, 1), "waited": round(pace.waited, 4)}
        self._log.append({**{key: round(value, 6) for key, value in row.items()}, **rates})
        epoch, ap50 = min(epochs, trainer.step // self.each + 1), self._best.get("AP50")
        rate, waited, left_s = pace
        self._last = TrainingProgress(
            epoch, epochs, trainer.step, trainer.steps, row["loss"], rate, waited, ap50, left_s
        )
        self._watch(self._last)

    def validate(self) -> None:
        """The average's AP on the validation images; the best so far is kept beside the last."""
        predictions, score = self._measure(self.trainer.average)
        ap, ap50 = (score.averages[key] for key in ("AP", "AP50"))
        epoch = self.trainer.step // self.each
        self._log.append({"step": self.trainer.step, "epoch": epoch, "AP": ap, "AP50": ap50})
        at = self._last
        speed = f", {at.images_per_s:.1f} images/s, {duration(at.left_s)} left" if at else ""
        loss = f"loss {at.loss:.3f}, " if at else ""
        figures = f"{loss}AP {report.figure(ap)}, AP50 {report.figure(ap50)}{speed}"
        LOG.info("epoch %d of %d: %s", epoch, self.trainer.settings.epochs, figures)
        if report.is_better(ap, self._best):
            self._write_best(self.trainer.average, predictions, score, {"epoch": epoch})
        self._report(finished=False)

    def _measure(self, network: Network) -> Tuple[Predictions, Score]:
        predictions = Predictions(self._judge)
        progress = LoggedProgress("validated", len(self._judge.images))
        return predictions, validate(network, predictions, self._spec, self.trainer.device, progress)

    def _write_best(self, network: Network, predictions: Predictions, score: Score, row: Dict[str, Any]) -> None:
        judged = judge(predictions)
        conf, f1 = best_threshold(judged)
        ap, ap50 = (score.averages[key] for key in ("AP", "AP50"))
        self._best = {**row, "AP": ap, "AP50": ap50, "conf": conf, "F1": round(f1, 4)}
        self._details = report.details(predictions, judged, score, conf)
        texts = {"best": json.dumps(self._best), "details": json.dumps(self._details)}
        checkpoint.write(self.folder / "best.pt", {"average": network.state_dict(), **texts})

    def _blend(self) -> None:
        """Mix the best weights with the initial ones; the mixture with the highest AP becomes the best, if any does."""
        first, step = self.folder / "first.pt", self.trainer.step
        if not first.is_file() or not self._best or any(row["step"] == step and "blend" in row for row in self._log):
            return
        state = checkpoint.read(self.folder / "best.pt")
        before, best = json.loads(state["best"]), None
        if "blend" in before:  # killed before it wrote `last.pt`
            self._best = before
            return
        initial = checkpoint.read(first)
        for share in blend.SHARES:
            network = blend.mix(self.trainer.average, initial, state["average"], share)
            predictions, score = self._measure(network)
            ap, ap50 = (score.averages[key] for key in ("AP", "AP50"))
            self._log.append({"step": step, "epoch": before["epoch"], "blend": share, "AP": ap, "AP50": ap50})
            figures = f"AP {report.figure(ap)}, AP50 {report.figure(ap50)}"
            LOG.info("mixed with %.0f %% of the initial weights: %s", 100 * share, figures)
            if (ap or 0.0) > ((best[2].averages["AP"] if best else before["AP"]) or 0.0):
                best = network, predictions, score, share
        if best:
            self._write_best(*best[:3], {"epoch": before["epoch"], "blend": best[3]})
        self.save()

    def _report(self, *, finished: bool) -> None:
        report.write(self.folder, folders.record(self.folder), self._log, self._details, finished=finished)

    def save(self) -> None:
        """Write `last.pt` and the log."""
        state = {**self.trainer.state(), "log": json.dumps(self._log), "best": json.dumps(self._best)}
        checkpoint.write(self.folder / "last.pt", state)
        with files.atomic(self.folder / "log.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in self._log).encode())

    def _finish(self, pace: loop.Pace) -> TrainRun:
        self._blend()
        state = checkpoint.read(self.folder / "best.pt")
        network = type(self.trainer.average)(self.layout.net())
        network.load_state_dict(state["average"])
        best = self._best
        mixed = f", mixed with {best['blend']:.0%} of the initial weights" if "blend" in best else ""
        record = folders.record(self.folder)
        origin = {
            "weights": "trained by edgecsp",
            "trained": f"epoch {best['epoch']} of {self.trainer.settings.epochs} on {self._learn.name}{mixed}",
            "data": record["data"]["digest"],
            "AP": report.figure(best["AP"]),
            "AP50": report.figure(best["AP50"]),
            "settings": json.dumps(record["settings"]),
            "versions": json.dumps(record["versions"]),
        }
        model = self.layout.model(network, best["conf"], origin)
        images = result.some_images(self._judge) or result.some_images(self._learn)
        agreed = result.save(model, network, self._cfg(), images, self.folder)
        self._report(finished=True)
        rate, waited, _ = pace
        return TrainRun(self.folder, best["AP"], best["AP50"], best["epoch"], rate, agreed, waited, self._has_val)

    def _cfg(self) -> str:
        try:
            return self.layout.darknet()
        except BadModel as error:
            LOG.warning("no best.cfg: %s", error)
            return ""
