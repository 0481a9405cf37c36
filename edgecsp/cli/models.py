"""`edgecsp models`: list and show the models of the zoo, pull and remove their weights."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Optional

import typer

from ..options import Options
from . import _json, _options, _print, _progress
from ._logging import inform
from ._print import print

app = typer.Typer(help="List, show, pull and remove models.", no_args_is_help=True)
NAME = typer.Argument(..., help="see: edgecsp models list")


@app.command("list")
def list_(json: Optional[str] = _json.OPTION) -> None:
    """List the models with their cost, published accuracy and installed weights."""
    from .. import zoo
    from .render import model

    with _json.JsonOutput(json) as output:
        rows = [model.brief(zoo.get(name)) for name in zoo.names()]
        output.write(rows)
    if output.is_stdout:
        return
    head = ("name", "input", "params", "BFLOPs", "AP50", "provenance", "weights")
    cells = [
        (
            row["name"],
            str(row["input"]),
            f"{row['parameters'] / 1e6:.2f}M",
            f"{row['bflops']:.3f}",
            model.format_accuracy(row["paper"]["shown"]),
            row["provenance"],
            "own" if row["weights"] == model.OWN else row["weights"],
        )
        for row in rows
    ]
    titles, *lines = _print.align([head, *cells], right=(1, 2, 3, 4), gap=1)
    print(titles, style="heading")
    for row, line in zip(rows, lines):
        print(line, style="" if row["weights"] in ("none", "public") else "good")
    own = [
        f"{row['name']}: trained by edgecsp: {model.format_training(row['trained'])}" for row in rows if row["trained"]
    ]
    print(
        "",
        *own,
        "params (convolution weights) and BFLOPs are counted from the layers;",
        "AP50 on COCO and top-1 on ImageNet are the authors' figures, @ the input size",
        "if it differs. weights: none: no public ones, see models show NAME;",
        "own: installed from a file of yours.",
        sep="\n",
    )


@app.command("show")
@_options.takes("models show")
def show(
    name: str = NAME,
    options: Options = _options.GROUP,
    plot: Optional[Path] = typer.Option(None, "--plot", help="draw the cost per layer: a .png, .jpg or .webp file"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """Show a model: counted and published figures, origin, and the cost per layer."""
    from .. import zoo
    from .render import layers as render_layers
    from .render import model

    entry, hw = zoo.get(name), options.hw
    details, costs = model.full(entry, hw), render_layers.layer_costs(entry, hw)
    if plot:
        render_layers.plot(costs, f"{entry.title}, {details['input']['shown']}", model.subtitle(details), plot)
        inform(f"wrote {plot}", prefix=False)
    with _json.JsonOutput(json) as output:
        output.write({**details, "layers": [cost.to_dict() for cost in costs]})
    if output.is_stdout:
        return
    for line in model.lines(details):
        print(line)
    print("", f"BFLOPs per layer, {details['bflops']:.3f} in all", sep="\n")
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    for line in render_layers.bars(costs, min(132, shutil.get_terminal_size((100, 0)).columns), plain=plain):
        print(line)


@app.command("pull")
def pull(
    name: str = NAME,
    source: Optional[Path] = typer.Option(None, "--from", help="a local .weights file: the public one, or your own"),
    names: Optional[Path] = typer.Option(None, "--names", "-n", help="labels of your own weights, one per line"),
) -> None:
    """Download a model's public weights, verify them, and build the model."""
    from ..importers import darknet
    from ..zoo import store

    labels = darknet.read_names(names) if names else None
    with _progress.bar(name, unit="bytes") as progress:
        record = store.pull(name, source=source, labels=labels, progress=progress)
    for key, value in (
        ("model", record.name),
        ("weights", f"{record.source} ({record.size / 1e6:.1f} MB, sha256 {record.sha256[:16]}...)"),
        ("checked", record.check),
        ("licence", record.licence),
        ("written", store.path(name)),
    ):
        print(f"{key:11} {value}")
    inform(f"run it: edgecsp run SOURCE --model {name}", prefix=False)


@app.command("rm")
def rm(name: str = typer.Argument(..., help="the model to remove; it can be pulled again")) -> None:
    """Remove a pulled model."""
    from ..zoo import store

    store.remove(name)
    inform(f"removed {name}", prefix=False)
