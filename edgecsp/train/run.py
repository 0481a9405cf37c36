"""A training run: labelled images in, a folder with a detector out.

    run = train("cspdensenetb-ref-prn", "cards/data.yaml")
    print(run.ap50, run.onnx)

The folder: `run.json` (what was asked, the data, the versions), `log.jsonl`, `last.pt` (to go on), `best.pt`,
`best.onnx`, `best.cfg`, `best.weights`, `results.html`. A run that was killed goes on from `last.pt` as if it had not
been.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from .. import files, zoo
from ..core import Array, Input
from ..errors import BadModel, SourceError, UsageError
from ..evaluate import Data, Found, require
from ..pipeline import Detector, load
from . import cache as caches
from . import report, resources, result, start
from .anchors import kmeans, shape_iou
from .augment import Augment
from .curves import best_threshold, judge
from .data import Images, Samples, Steps, batches, read_image, read_images
from .model import Layout, cfg_text, masks_of, trainable
from .progress import Progress, duration, ticker
from .settings import TrainSettings
from .splits import digest, split
from .trainer import Trainer, use_kept_memory
from .validation import BATCH, validate

SAVE_EVERY_S = 60.0
LOG_EVERY = 20  # steps
Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrainRun:
    """A run that has ended: its folder, the best AP and AP50 on the validation images, 0..1, and their epoch."""

    folder: Path
    ap: Optional[float]
    ap50: Optional[float]
    epoch: int
    images_per_s: float
    agreements: Tuple[result.Agreement, ...] = ()
    waited: float = 0.0  # share of the time of training in which no image was ready

    @property
    def results(self) -> Path:
        """The page that shows the run."""
        return self.folder / report.NAME

    @property
    def onnx(self) -> Path:
        """The detector."""
        return self.folder / "best.onnx"

    def load(self, **options: Any) -> Detector:
        """The detector, opened: the options and the errors are those of `edgecsp.load`."""
        return load(self.onnx, **options)


def train(
    model: str,
    data: Union[str, Path, Data],
    *,
    val: Union[Data, None] = None,
    settings: TrainSettings = TrainSettings(),  # noqa: B008 - frozen
    weights: Optional[str] = None,
    out: Union[str, Path, None] = None,
    classes: Sequence[str] = (),
    single_class: bool = False,
    val_split: float = 0.1,
    device: str = "auto",
    workers: Union[int, str] = resources.AUTO,
    cache: Optional[str] = None,
    resume: Union[str, Path, None] = None,
    tell: Tell = lambda text: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> TrainRun:
    """Train a zoo model or a darknet cfg on labelled images and export the best of what it was.

    `data` is what `edgecsp val` reads; its split "train" is learned from and "val" decides which epoch is best. Data
    without a split "val" gives `val_split` of its images, chosen by the seed. Raises `UsageError`, `SourceError`,
    `BadWeights`, `BuildFailed`; what was saved before stays.
    """
    require()
    use_kept_memory()
    place = pick_device(device)
    caches.check(cache)
    processes = resources.pick_workers(workers, place)
    if resume is None:
        trainable(model, settings.imgsz)  # before data is read and a folder made
    learn, judge = split(data, val, classes, single_class, val_split, settings.seed)
    read = partial(read_images, learn, judge, tell=tell)
    folder = Path(resume) if resume is not None else _new_folder(out)
    record = _record(folder) if resume is not None else None
    if record is not None:
        settings = replace(settings, batch=resources.batch_of(settings.batch, record))
        _check_same(folder, record, settings, model)
        layout = Layout.from_dict(record["layout"])
        images = read(layout.side, cache, folder)
    else:
        entry = trainable(model, settings.imgsz)
        side = settings.imgsz or entry.size
        images = read(side, cache, folder)
        layout = replace(_layout(entry, side, images, learn.names, tell), cfg=cfg_text(model))
    if settings.batch == 0:
        settings = replace(settings, batch=resources.pick_batch(layout.net(), len(images), place))
        tell(f"--batch auto: {settings.batch}")
    if len(images) < settings.batch:
        settings = replace(settings, batch=len(images))
    each = max(1, len(images) // settings.batch)
    trainer = Trainer(layout, settings, settings.epochs * each, place)
    trainer.freeze_steps = settings.freeze * each
    run = _Run(folder, layout, trainer, each, learn, judge, tell, watch)
    if record is not None:
        run.resume()
    else:
        what, state = start.find(weights, layout)
        taken = trainer.begin_with(state) if state else 0
        advice = " (same backbone; --weights none begins anew)" if state and weights is None else ""
        fit = f": {taken} of {len(trainer.network.state_dict())} tensors" if state else ""
        tell(f"begins with {what}{advice}{fit}")
        run.begin(what)
    try:
        return run.go(images, processes)
    finally:
        images.close()


def pick_device(wanted: str) -> str:
    """ "auto", "cpu", "cuda" or "cuda:1" as torch has it. Raises `UsageError`."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = f"cuda:{wanted}" if wanted.isdecimal() else wanted
    if name != "cpu" and not name.startswith("cuda"):
        raise UsageError(f"device {wanted!r}: auto, cpu, cuda, or a GPU's number")
    if name != "cpu" and not torch.cuda.is_available():
        raise UsageError(f"--device {wanted}: torch {torch.__version__} sees no CUDA device here; take --device cpu")
    return name


def _layout(entry: zoo.Entry, side: int, images: Images, names: Tuple[str, ...], tell: Tell) -> Layout:
    """Anchors from the data: k-means on the IoU of shapes."""
    wh = np.concatenate(images.sizes) * side
    wh = wh[(wh >= 1).all(1)]
    masks = masks_of(entry)
    count = sum(map(len, masks))
    anchors = kmeans(wh, count) if len(wh) >= count else tuple(entry.anchors[:count])
    before, after = (float(shape_iou(wh, np.array(a)).max(1).mean()) for a in (entry.anchors, anchors))
    tell(f"anchors from the data: mean best IoU of shapes {before:.3f} -> {after:.3f}")
    return Layout(entry.name, side, tuple(names), anchors, masks)


def _new_folder(out: Union[str, Path, None]) -> Path:
    """The folder that was asked for, which must be new or empty, else the next runs/train/N."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} is there and is not empty; take another --name, or go on with --resume {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    root = Path("runs") / "train"
    root.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1_000_000):
        try:
            (root / str(number)).mkdir()
        except FileExistsError:
            continue
        return root / str(number)
    raise UsageError(f"{root} is full")


def _record(folder: Path) -> Dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file() or not (folder / "last.pt").is_file():
        raise SourceError(f"{folder} is no run of edgecsp train that can go on: it lacks run.json or last.pt")
    try:
        record: Dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise SourceError(f"{path} is damaged: {error}") from error
    return record


def _check_same(folder: Path, record: Dict[str, Any], settings: TrainSettings, model: str) -> None:
    changed = settings.differing(record["settings"])
    if other := Layout.from_dict(record["layout"]).differs_from(model):
        changed["model"] = (record["layout"]["model"], other)
    if changed:
        shown = ", ".join(f"{name} {was} (now {now})" for name, (was, now) in changed.items())
        raise UsageError(f"{folder} was begun with {shown}; give the same, or begin a new run with --weights {folder}")


class _Run:
    """A run in its folder."""

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        trainer: Trainer,
        each: int,
        learn: Data,
        judge: Data,
        tell: Tell,
        watch: Callable[[Progress], None],
    ) -> None:
        self.folder, self.layout, self.trainer, self.each = folder, layout, trainer, each
        self._learn, self._judge, self._tell, self._watch = learn, judge, tell, watch
        self._log: List[Dict[str, Any]] = []
        self._best: Dict[str, Any] = {}
        self._details: Dict[str, Any] = {}
        self._last: Optional[Progress] = None
        spec = layout.entry.input(layout.net())
        self._spec: Input = spec

    def begin(self, what: str) -> None:
        """Write the record."""
        record = {
            "schema": "edgecsp-train/1",
            "settings": asdict(self.trainer.settings),
            "layout": self.layout.to_dict(),
            "start": what,
            "data": {
                "name": self._learn.name,
                "train_images": len(self._learn.pictures),
                "val_images": len(self._judge.pictures),
                "digest": digest(self._learn, self._judge),
                "train_boxes": self._learn.counts,
            },
            "versions": report.versions(),
            "command": report.command(),
        }
        with files.atomic(self.folder / "run.json") as file:
            file.write(json.dumps(record, indent=1).encode())

    def resume(self) -> None:
        """Go on from `last.pt`."""
        record = _record(self.folder)
        if record["data"]["digest"] != digest(self._learn, self._judge):
            raise UsageError(f"the data is not what {self.folder} was begun with; begin a new run from its weights")
        held = torch.load(self.folder / "last.pt", map_location=self.trainer.device, weights_only=True)
        self.trainer.load_state(held)
        self._log, self._best = json.loads(held["log"]), json.loads(held["best"])
        self._details = self._details_of_best()
        self._tell(f"goes on after step {self.trainer.step} of {self.trainer.steps}")

    def go(self, images: Images, workers: int) -> TrainRun:
        """All steps that are left, then the export."""
        trainer, settings = self.trainer, self.trainer.settings
        how = Augment(mosaic=settings.mosaic, scale=settings.scale, flip=0.5 if settings.flip else 0.0)
        sides = _sides(self.layout, settings.multi_scale)
        keys = Steps(trainer.step, trainer.steps, settings.batch, sides, settings.seed, int(trainer.steps * 0.9))
        queue = batches(Samples(images, settings.seed, how), keys, workers)
        begun, first, judged, waited = time.monotonic(), trainer.step, 0.0, 0.0
        saved, speed = begun, 0.0
        seen: List[torch.Tensor] = []
        asked = time.monotonic()
        for batch in queue:
            waited += time.monotonic() - asked
            seen.append(torch.stack(trainer.learn(*batch)).detach())
            now = time.monotonic()
            took = max(1e-9, now - begun - judged)
            speed = (trainer.step - first) * settings.batch / took
            due = self._is_due()
            if len(seen) == LOG_EVERY or due:
                left = (now - begun) / (trainer.step - first) * (trainer.steps - trainer.step)
                self._note(torch.stack(seen).mean(0).tolist(), speed, waited / took, left)
                seen.clear()
            if due:
                self._judge_now()
                judged += time.monotonic() - now
            if due or now - saved > SAVE_EVERY_S:
                self._save()
                saved = time.monotonic()
            if due:
                self._report(finished=False)
            if self._is_patient_no_more():
                self._tell(f"no better AP for {settings.patience} epochs: the run ends")
                break
            asked = time.monotonic()
        return self._finish(speed, waited / max(1e-9, time.monotonic() - begun - judged))

    def _is_due(self) -> bool:
        """Whether to validate: some twenty-five times a run, at the ends of epochs."""
        epoch, rest = divmod(self.trainer.step, self.each)
        every = max(1, self.trainer.settings.epochs // 25)
        return self.trainer.step == self.trainer.steps or (not rest and not epoch % every)

    def _is_patient_no_more(self) -> bool:
        patience = self.trainer.settings.patience
        return bool(patience and self._best and self.trainer.step // self.each - self._best["epoch"] >= patience)

    def _note(self, terms: List[float], speed: float, waited: float, left_s: float) -> None:
        trainer = self.trainer
        row = {"step": trainer.step, "epoch": trainer.step / self.each, "lr": trainer.rate(), "loss": sum(terms)}
        row.update(zip(("box", "objectness", "classes"), terms))
        rates = {"images_per_s": round(speed, 1), "waited": round(waited, 4)}
        self._log.append({**{key: round(value, 6) for key, value in row.items()}, **rates})
        epochs = trainer.settings.epochs
        epoch, ap50 = min(epochs, trainer.step // self.each + 1), self._best.get("AP50")
        self._last = Progress(epoch, epochs, trainer.step, trainer.steps, row["loss"], speed, waited, ap50, left_s)
        self._watch(self._last)

    def _judge_now(self) -> None:
        """The average's AP on the validation images; the best so far is kept beside the last."""
        found = Found(self._judge)
        tick = ticker(self._tell, "validated", len(self._judge.pictures), BATCH)
        score = validate(self.trainer.average, found, self._spec, self.trainer.device, tick)
        ap, ap50 = (score.averages[key] for key in ("AP", "AP50"))
        epoch = self.trainer.step // self.each
        self._log.append({"step": self.trainer.step, "epoch": epoch, "AP": ap, "AP50": ap50})
        at = self._last
        told = f", {at.images_per_s:.1f} images/s, {duration(at.left_s)} left" if at else ""
        loss = f"loss {at.loss:.3f}, " if at else ""
        self._tell(f"epoch {epoch} of {self.trainer.settings.epochs}: {loss}AP {_shown(ap)}, AP50 {_shown(ap50)}{told}")
        if not self._best or (ap or 0.0) > (self._best["AP"] or 0.0):
            judged = judge(found)
            conf, f1 = best_threshold(judged)
            self._best = {"epoch": epoch, "AP": ap, "AP50": ap50, "conf": conf, "F1": round(f1, 4)}
            self._details = report.details(found, judged, score, conf)
            texts = {"best": json.dumps(self._best), "details": json.dumps(self._details)}
            result.checkpoint({"average": self.trainer.average.state_dict(), **texts}, self.folder / "best.pt")

    def _details_of_best(self) -> Dict[str, Any]:
        """What the report shows of the best epoch, from `best.pt`; {} before the first validation."""
        path = self.folder / "best.pt"
        held = torch.load(path, map_location="cpu", weights_only=True) if self._best else {}
        details: Dict[str, Any] = json.loads(held.get("details", "{}"))
        return details

    def _report(self, *, finished: bool) -> None:
        report.write(self.folder, _record(self.folder), self._log, self._details, finished=finished)

    def _save(self) -> None:
        held = {**self.trainer.state(), "log": json.dumps(self._log), "best": json.dumps(self._best)}
        result.checkpoint(held, self.folder / "last.pt")
        with files.atomic(self.folder / "log.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in self._log).encode())

    def _finish(self, speed: float, waited: float) -> TrainRun:
        held = torch.load(self.folder / "best.pt", map_location="cpu", weights_only=True)
        network = type(self.trainer.average)(self.layout.net())
        network.load_state_dict(held["average"])
        best = self._best
        record = _record(self.folder)
        origin = {
            "weights": "trained by edgecsp",
            "trained": f"epoch {best['epoch']} of {self.trainer.settings.epochs} on {self._learn.name}",
            "data": record["data"]["digest"],
            "AP": _shown(best["AP"]),
            "AP50": _shown(best["AP50"]),
            "settings": json.dumps(record["settings"]),
            "versions": json.dumps(record["versions"]),
        }
        model = self.layout.model(network, best["conf"], origin)
        images = _some_images(self._judge)
        agreed = result.save(model, network, self._cfg(), images, self.folder, self._tell)
        self._report(finished=True)
        return TrainRun(self.folder, best["AP"], best["AP50"], best["epoch"], speed, agreed, waited)

    def _cfg(self) -> str:
        try:
            return self.layout.darknet()
        except BadModel as error:
            self._tell(f"no best.cfg: {error}")
            return ""


def _some_images(data: Data, count: int = 4) -> List[Array]:
    images = (read_image(row.path) for row in data.pictures[: 4 * count])
    return [image for image in images if image is not None][:count]


def _sides(layout: Layout, multi_scale: bool) -> Tuple[int, ...]:
    if not multi_scale:
        return (layout.side,)
    stride = layout.entry.stride
    return tuple(max(stride, round(layout.side * share / stride) * stride) for share in (0.8, 0.9, 1.0, 1.0, 1.1))


def _shown(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.3f}"
