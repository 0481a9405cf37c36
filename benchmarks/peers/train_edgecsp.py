"""`edgecsp train` as a process that is timed; its argument is `train.py`'s request, its answer one line of JSON."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List

from serve import asked, tell

SETTINGS = ("epochs", "batch", "imgsz", "seed", "assigner")


def learn(said: Dict[str, Any]) -> Dict[str, Any]:
    """Train; the answer."""
    import torch

    import edgecsp
    from edgecsp.train import TrainSettings, train

    torch.set_num_threads(said["threads"])
    steps_ended = begun = time.perf_counter()
    validations: List[float] = []

    def watch(_: Any) -> None:
        nonlocal steps_ended
        steps_ended = time.perf_counter()

    def hear(line: str) -> None:
        if line.startswith("epoch "):  # a validation has ended
            validations.append(time.perf_counter() - steps_ended)

    run = train(
        said["model"],
        said["data"],
        settings=TrainSettings(**{key: said[key] for key in SETTINGS if key in said}),
        weights="none",
        out=Path(said["folder"]),
        device="cpu",
        workers=said["workers"],
        tell=hear,
        watch=watch,
    )
    return {
        "name": f"edgecsp {edgecsp.__version__}, {said['model']}",
        "images_per_s": run.images_per_s,
        "val_s": sum(validations) / max(1, len(validations)),
        "minutes": (time.perf_counter() - begun) / 60,
        "own_AP": run.ap or 0.0,
        "own_AP50": run.ap50 or 0.0,
        "onnx": str(run.onnx),
    }


if __name__ == "__main__":
    tell(learn(asked()))
