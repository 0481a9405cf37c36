"""ultralytics' YOLO11n from its yaml as a process that is timed. Licensed AGPL-3.0: it stays in its own environment.

Its argument is `train.py`'s request, its answer one line of JSON. Nothing leaves the machine: its settings forbid
telemetry, it is told that it is offline, its font is put where it looks for it, and sockets refuse to connect.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any, Dict

from serve import answer, read_request

OFF = ("sync", "clearml", "comet", "dvc", "mlflow", "neptune", "raytune", "tensorboard", "wandb", "hub", "vscode_msg")


def isolate(folder: Path, threads: int) -> None:
    """Before it is imported: a configuration of this run alone, no network."""
    (folder / "config").mkdir(parents=True)
    os.environ.update(
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        YOLO_CONFIG_DIR=str(folder / "config"),
        MPLCONFIGDIR=str(folder / "config" / "matplotlib"),
        OMP_NUM_THREADS=str(threads),
    )

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("a benchmark has no network")

    socket.getaddrinfo = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]


def prepare(folder: Path) -> str:
    """Set what it reads from its settings folder, and its font; return a note on its NMS."""
    import matplotlib
    import ultralytics
    from ultralytics.utils import USER_CONFIG_DIR
    from ultralytics.utils.nms import TorchNMS

    places = {f"{name}_dir": str(folder / name) for name in ("datasets", "weights", "runs")}
    known = set(ultralytics.settings)
    ultralytics.settings.update({**dict.fromkeys(sorted(known.intersection(OFF)), False), **places})
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        shutil.copyfile(font, Path(USER_CONFIG_DIR) / name)
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # there is no CPU build of it here; of all that it has, NMS alone is needed
        stand_in: Any = types.ModuleType("torchvision")
        stand_in.ops = types.SimpleNamespace(nms=TorchNMS.nms)
        sys.modules["torchvision"] = stand_in
        return ", its own NMS"
    return ""


class Watch:
    """The seconds of steps, by its callbacks."""

    def __init__(self, threads: int) -> None:
        self.threads, self.steps_s, self.images = threads, 0.0, 0
        self._begun = 0.0

    def on_train_start(self, _: Any) -> None:
        """Use as many threads as the other side: by itself it takes one less than the machine has."""
        import torch

        torch.set_num_threads(self.threads)

    def on_train_epoch_start(self, _: Any) -> None:
        """Steps begin."""
        self._begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Steps end, a validation begins."""
        self.steps_s += time.perf_counter() - self._begun
        self.images += len(trainer.train_loader.dataset)


def learn(request: Dict[str, Any]) -> Dict[str, Any]:
    """Train, then export the best epoch; the answer."""
    folder = Path(request["folder"])
    isolate(folder, request["threads"])
    import ultralytics

    nms = prepare(folder)
    watch, begun = Watch(request["threads"]), time.perf_counter()
    model = ultralytics.YOLO("yolo11n.yaml")
    for name in ("on_train_start", "on_train_epoch_start", "on_train_epoch_end"):
        model.add_callback(name, getattr(watch, name))
    figures = model.train(
        data=request["data"],
        epochs=request["epochs"],
        imgsz=request["imgsz"],
        batch=request["batch"],
        seed=request["seed"],
        device="cpu",
        pretrained=False,
        cache="ram",
        plots=False,
        patience=0,
        project=str(folder),
        name="run",
        amp="bf16" if request["amp"] == "bf16" else True,
    )
    minutes = (time.perf_counter() - begun) / 60
    best = ultralytics.YOLO(str(model.trainer.best))
    exported = best.export(format="onnx", imgsz=request["imgsz"], opset=13, simplify=False)
    return {
        "name": f"ultralytics {ultralytics.__version__}, yolo11n{', bf16' if request['amp'] == 'bf16' else ''}{nms}",
        "images_per_s": watch.images / watch.steps_s,
        "minutes": minutes,
        "own_AP": float(figures.box.map),
        "own_AP50": float(figures.box.map50),
        "onnx": str(exported),
    }


if __name__ == "__main__":
    answer(learn(read_request()))
