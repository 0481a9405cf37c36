"""`edgecsp train` as a process that is timed; its argument is `train.py`'s request, its answer one line of JSON."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict

from serve import answer, read_request

SETTINGS = ("epochs", "batch", "imgsz", "seed", "assigner", "progressive")


def learn(request: Dict[str, Any]) -> Dict[str, Any]:
    """Train; the answer."""
    import torch

    import edgecsp
    from edgecsp.train import TrainSettings, train

    torch.set_num_threads(request["threads"])
    begun = time.perf_counter()
    run = train(
        request["model"],
        request["data"],
        settings=TrainSettings(**{key: request[key] for key in SETTINGS if key in request}),
        weights="none",
        out=Path(request["folder"]),
        device="cpu",
        workers=request["workers"],
    )
    how = ", progressive" if request.get("progressive") else ""
    return {
        "name": f"edgecsp {edgecsp.__version__}, {request['model']}{how}",
        "images_per_s": run.images_per_s,
        "minutes": (time.perf_counter() - begun) / 60,
        "own_AP": run.ap or 0.0,
        "own_AP50": run.ap50 or 0.0,
        "onnx": str(run.onnx),
    }


if __name__ == "__main__":
    answer(learn(read_request()))
