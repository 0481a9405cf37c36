"""The wheel, installed elsewhere with its extra, trains through its console script."""

from __future__ import annotations

import email
import json
import re
import zipfile
from pathlib import Path

import pytest

from support import wheels
from support.shapes import draw_shapes


@pytest.mark.slow
def test_an_installed_wheel_trains(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

    installed = wheels.install(wheel, tmp_path)
    # With no index, pip must find every package of the extra installed, in a version that the wheel allows.
    wheels.run(*wheels.PIP, "--python", installed.python, "install", "--no-index", f"{wheel}[train]", folder=tmp_path)

    data = draw_shapes(tmp_path / "shapes", 4)
    options = ("--epochs", 2, "--batch", 4, "--imgsz", 64, "--workers", 1, "--json", "-")
    done = wheels.run(installed.script, "train", "cspdensenetb-ref-prn", "--data", data, *options, folder=tmp_path)
    figures = json.loads(done.stdout)
    assert "begins with the weights of everyday" in done.stderr and 0 <= figures["AP50"] <= 1
    made = {path.name for path in (tmp_path / figures["folder"]).iterdir()}
    assert made >= {"best.onnx", "best.cfg", "best.weights", "last.pt", "run.json", "log.jsonl"}
    shown = tmp_path / "shapes" / "images" / "val"
    wheels.run(installed.script, "run", shown, "--model", figures["onnx"], "--engine", "ort", folder=tmp_path)
    assert len(list((tmp_path / "runs" / "1").glob("*.*"))) >= 4


def test_the_extra_holds_what_training_imports(wheel: Path) -> None:
    """Training reads and scores data as `val` does, so it needs that extra's packages as well."""
    with zipfile.ZipFile(wheel) as held:
        name = next(each for each in held.namelist() if each.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(held.read(name))
    needs = message.get_all("Requires-Dist") or []
    extras = {
        extra: {re.split(r"[<>=!; ]", each)[0] for each in needs if re.search(rf"extra == ['\"]{extra}['\"]", each)}
        for extra in ("val", "train")
    }
    assert "torch" in extras["train"] and extras["val"] <= extras["train"]
