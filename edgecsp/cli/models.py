"""`edgecsp models`: the zoo, what its models cost, and the weights that are here."""

from __future__ import annotations

import json as json_module
import shutil
import sys
from pathlib import Path
from typing import Optional

import typer

from . import _options, _print, _progress
from ._logging import inform
from ._print import print

app = typer.Typer(help="The zoo: list and show its models, pull their weights.", no_args_is_help=True)
NAME = typer.Argument(..., help="see: edgecsp models list")


@app.command("list")
def list_(json: bool = typer.Option(False, "--json", help="Print JSON instead of a table.")) -> None:
    """List the models: what they cost, how good they are said to be, which are here."""
    from .. import zoo
    from .render import model

    rows = [model.brief(zoo.get(name)) for name in zoo.names()]
    if json:
        _print.data(json_module.dumps(rows, indent=2))
        return
    head = ("name", "input", "params", "BFLOPs", "AP50", "top-1", "provenance", "weights")
    cells = [
        (
            row["name"],
            str(row["input"]),
            f"{row['parameters'] / 1e6:.2f}M",
            f"{row['bflops']:.3f}",
            row["paper"]["shown"]["ap50"],
            row["paper"]["shown"]["top1"],
            row["provenance"],
            row["weights"],
        )
        for row in rows
    ]
    for line in model.aligned([head, *cells], right=(1, 2, 3, 4, 5)):
        print(line)
    own = [f"{row['name']}: trained by edgecsp: {model.trained(row['trained'])}" for row in rows if row["trained"]]
    print(
        "",
        *own,
        "params (convolution weights) and BFLOPs are counted from the layers; AP50 on COCO and top-1 on ImageNet are",
        "what the authors printed, @ the input size if it is another. none: no public weights; see models show NAME.",
        sep="\n",
    )


@app.command("show")
def show(
    name: str = NAME,
    imgsz: Optional[str] = _options.IMGSZ,
    plot: Optional[Path] = typer.Option(None, "--plot", help="draw what the layers cost: a .png, .jpg or .webp file"),
    json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Show a model: the paper's numbers beside the counted ones, its origin, and what each layer costs."""
    from .. import zoo
    from .render import layers as _costs
    from .render import model

    entry, hw = zoo.get(name), _options.size(imgsz)
    said, costs = model.full(entry, hw), _costs.of(entry, hw)
    if plot:
        _costs.plot(costs, f"{entry.title}, {said['input']['shown']}", model.subtitle(said), plot)
        inform(f"wrote {plot}", prefix=False)
    if json:
        _print.data(json_module.dumps({**said, "layers": [cost.said() for cost in costs]}, indent=2))
        return
    for line in model.lines(said):
        print(line)
    print("", f"BFLOPs per layer, {said['bflops']:.3f} in all", sep="\n")
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    for line in _costs.bars(costs, min(132, shutil.get_terminal_size((100, 0)).columns), plain=plain):
        print(line)


@app.command("pull")
def pull(
    name: str = NAME,
    source: Optional[Path] = typer.Option(
        None, "--from", help="a .weights file that you have: the public one, or your own"
    ),
    names: Optional[Path] = typer.Option(
        None, "--names", "-n", help="the labels that your own weights know, one a line"
    ),
) -> None:
    """Download a model's public weights, check them, and make the model that its name stands for."""
    from ..importers import darknet
    from ..zoo import store

    labels = darknet.read_names(names) if names else None
    with _progress.bar(name, unit="bytes") as progress:
        made = store.pull(name, source=source, labels=labels, progress=progress)
    for key, value in (
        ("model", made.name),
        ("weights", f"{made.source} ({made.size / 1e6:.1f} MB, sha256 {made.sha256[:16]}...)"),
        ("checked", made.check),
        ("licence", made.licence),
        ("written", store.path(name)),
    ):
        print(f"{key:11} {value}")
    inform(f"run it: edgecsp run SOURCE --model {name}", prefix=False)


@app.command("rm")
def rm(name: str = typer.Argument(..., help="what to remove; it can be pulled again")) -> None:
    """Remove a pulled model."""
    from ..zoo import store

    store.remove(name)
    inform(f"removed {name}", prefix=False)
