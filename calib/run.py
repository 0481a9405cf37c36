"""A training run: what is trained, and the folder that remembers it."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
import torch

from edgecsp import files, zoo
from edgecsp.errors import UsageError
from edgecsp.net import Net
from edgecsp.train import anchors
from edgecsp.train.network import Network

from . import CLASSES, data, plot
from .loss import Terms, YoloLoss

MODEL = "cspdensenetb-ref-prn"
SIDE = 320
MASKS = ((3, 4, 5), (0, 1, 2))  # which anchors each of the two heads has: the coarse one the three largest
ASKED = ("steps", "batch", "lr", "box", "also", "smooth", "seed", "warmup", "decay")  # what a resumed run must keep


def network(sizes: anchors.Anchors, side: int = SIDE) -> Net:
    """The zoo's net with the codes' classes and anchors."""
    return zoo.net(MODEL, (side, side), classes=len(CLASSES), anchors=sizes, masks=MASKS)


class Average:
    """The exponential moving average of a tape, buffers too; quick at first, so that it is of use early."""

    def __init__(self, tape: Network, decay: float = 0.9995) -> None:
        self.tape = Network(tape.net).to(next(tape.parameters()).device)
        self.tape.load_state_dict(tape.state_dict())
        self._decay = decay

    @torch.no_grad()
    def update(self, tape: Network, step: int) -> None:
        """Move towards `tape` after optimiser step `step`."""
        share = 1 - self._decay * (1 - math.exp(-(step + 1) / 400))
        mine, theirs = self.tape.state_dict(), tape.state_dict()
        moving = [key for key, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in moving], [theirs[k] for k in moving], share)


class Run:
    """One training run: the tape, its average, the optimiser, and the folder they are kept in."""

    def __init__(self, folder: Path, a: argparse.Namespace) -> None:
        self.folder, self.a = folder, a
        self.device = "cuda" if torch.cuda.is_available() and not a.cpu else "cpu"
        self.sizes = self._record()
        torch.backends.cudnn.benchmark = True  # a handful of sides: worth a search each
        net = network(self.sizes)
        torch.manual_seed(a.seed)
        self.tape = Network(net).start().to(self.device, memory_format=torch.channels_last)
        self.average = Average(self.tape)
        self.loss = YoloLoss([head for _, head in net.heads], a.box, a.also, a.smooth)
        self.optimiser = torch.optim.AdamW(_groups(self.tape, a.decay), a.lr, betas=(0.9, 0.999))
        self.step = 0
        self.log: List[Dict[str, Any]] = []
        if (folder / "last.pt").exists():
            self._resume()
        elif a.start:
            self._start(a.start)

    def _record(self) -> anchors.Anchors:
        """The run's anchors, from its record; a new run measures them and writes its record."""
        path, asked = self.folder / "run.json", {key: getattr(self.a, key) for key in ASKED}
        if path.exists():
            record = json.loads(path.read_text())
            changed = [key for key in ASKED if record["asked"][key] != asked[key]]
            if changed:
                shown = ", ".join(f"--{key} {record['asked'][key]}" for key in changed)
                raise UsageError(f"{self.folder} was begun with {shown}; give the same, or another folder")
            return tuple((w, h) for w, h in record["anchors"])
        record = {"model": MODEL, "labels": CLASSES, "side": SIDE, "scenes": source(self.a).told, "asked": asked}
        record.update(self._begun(self.a.start) if self.a.start else {"anchors": anchors.kmeans(_box_sizes(self.a))})
        with files.atomic(path) as file:
            file.write(json.dumps(record, indent=1).encode())
        return tuple((w, h) for w, h in record["anchors"])

    @staticmethod
    def _begun(other: Path) -> Dict[str, Any]:
        """What a run that starts from another's weights keeps of it: its anchors, and what it was."""
        try:
            held = json.loads((other / "run.json").read_text())
            steps = torch.load(other / "last.pt", map_location="cpu", weights_only=True)["step"]
        except OSError as error:
            raise UsageError(f"--start {other} is no run with a checkpoint: {error}") from None
        before = {"steps": steps, "scenes": held["scenes"], "asked": held["asked"]}
        return {
            "anchors": held["anchors"],
            "start": {**before, **({"start": held["start"]} if "start" in held else {})},
        }

    def _start(self, other: Path) -> None:
        """Take another run's average weights; the optimiser and the learning rate begin anew."""
        held = torch.load(other / "last.pt", map_location=self.device, weights_only=True)
        for tape in (self.tape, self.average.tape):
            tape.load_state_dict(held["average"])

    def _resume(self) -> None:
        held = torch.load(self.folder / "last.pt", map_location=self.device, weights_only=True)
        self.tape.load_state_dict(held["tape"])
        self.average.tape.load_state_dict(held["average"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.step, self.log = held["step"], json.loads(held["log"])

    def save(self) -> None:
        """Write the checkpoint, the log and the curves."""
        held = {
            "tape": self.tape.state_dict(),
            "average": self.average.tape.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "log": json.dumps(self.log),
        }
        with files.atomic(self.folder / "last.pt") as file:
            torch.save(held, file)
        with files.atomic(self.folder / "log.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in self.log).encode())
        curve = [[(row["step"], row[key]) for row in self.log if key in row] for key in ("loss", "ap50")]
        cv2.imwrite(str(self.folder / "curves.png"), plot.curves(*curve))

    def learn(self, pictures: torch.Tensor, targets: torch.Tensor) -> Terms:
        """One optimiser step on a batch."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.step, self.a)
        self.tape.train()
        x = pictures.to(self.device, non_blocking=True).to(memory_format=torch.channels_last).float().div_(255)
        targets = targets.to(self.device, non_blocking=True)
        # bfloat16 has float32's range: no loss scaling; the loss itself is computed in float32.
        with torch.autocast(self.device, torch.bfloat16):
            outputs = self.tape(x)
        terms = self.loss(outputs, targets, pictures.shape[2])
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.tape.parameters(), 10.0)
        self.optimiser.step()
        self.average.update(self.tape, self.step)
        self.step += 1
        return terms


def rate(step: int, a: argparse.Namespace) -> float:
    """Learning rate: linear warm-up, then half a cosine down to a hundredth."""
    if step < a.warmup:
        return a.lr * (step + 1) / a.warmup
    along = (step - a.warmup) / max(1, a.steps - a.warmup)
    return a.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, along))) / 2)


def _groups(tape: Network, decay: float) -> List[Dict[str, Any]]:
    """Weights decay; biases and batch-norm do not."""
    kernels = [p for p in tape.parameters() if p.ndim > 1]
    others = [p for p in tape.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def source(a: argparse.Namespace) -> data.Stored | data.Live:
    """Where the run's scenes come from."""
    return data.Live(a.live) if a.live is not None else data.Stored(a.shards)


def _box_sizes(a: argparse.Namespace, count: int = 3000) -> np.ndarray:
    scenes = source(a)
    boxes = np.concatenate([scenes.get(k, SIDE)[1] for k in range(count)])
    return boxes[:, 2:] - boxes[:, :2]
