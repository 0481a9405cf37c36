"""`edgecsp models`: list, recommend and show the models of the zoo, pull and remove their weights."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Optional

import typer

from ..options import Options
from . import _json, _options, _print, _progress, import_
from ._logging import inform
from ._print import print

app = typer.Typer(help="List, recommend, show, pull and remove models.", no_args_is_help=True)
NAME = typer.Argument(..., help="see: edgecsp models list")
MOST_ROWS = 12  # recommendations in the terminal


@app.command("list")
def list_(
    task: Optional[str] = typer.Option(None, "--task", help="models of this task alone: detect or classify"),
    max_bflops: Optional[float] = typer.Option(None, "--max-bflops", min=0, help="models of at most this cost"),
    has_weights: bool = typer.Option(False, "--has-weights", help="models that have weights to run with"),
    sort: Optional[str] = typer.Option(None, "--sort", help="name, bflops, size, ap50 or licence [default: by family]"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """List the models with their cost, published accuracy, size, licence and installed weights."""
    from .render import model

    with _json.JsonOutput(json) as output:
        rows = model.select(task, max_bflops, has_weights, sort)
        output.write(rows)
    if output.is_stdout:
        return
    if not rows:
        inform("no model is so: fewer filters show more", prefix=False)
        return
    head = ("name", "input", "params", "BFLOPs", "MB", "AP50", "provenance", "weights", "licence")
    cells = [
        (
            row["name"],
            str(row["input"]),
            f"{row['parameters'] / 1e6:.2f}M",
            f"{row['bflops']:.3f}",
            f"{row['weights_bytes'] / 1e6:.{1 if row['weights_bytes'] >= 1e6 else 2}f}",
            model.format_accuracy(row["paper"]["shown"]),
            row["provenance"],
            "own" if row["weights"] == model.OWN else row["weights"],
            model.shorten_licence(row["licence"]),
        )
        for row in rows
    ]
    titles, *lines = _print.align([head, *cells], right=(1, 2, 3, 4, 5), gap=1)
    print(titles, style="heading")
    for row, line in zip(rows, lines):
        print(line, style="" if row["weights"] in ("none", "public") else "good")
    own = [
        f"{row['name']}: trained by edgecsp: {model.format_training(row['trained'])}" for row in rows if row["trained"]
    ]
    print(
        "",
        *own,
        "params (convolution weights), BFLOPs and MB (a .weights file) are counted from the layers;",
        "AP50 on COCO, or the images named, and top-1 on ImageNet are the authors' figures,",
        "@ the input size if it differs. weights: none: no public ones, see models show NAME;",
        "own: installed from a file of yours. The best for a board: edgecsp models recommend.",
        sep="\n",
    )


@app.command("recommend")
def recommend(
    device: str = typer.Option(..., "--device", help="the device to choose for: jetson-tx2, rpi5 or cpu"),
    fps: float = typer.Option(30, "--fps", min=0, help="frames per second that it must reach"),
    has_weights: bool = typer.Option(False, "--has-weights", help="models that have weights to run with"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """Recommend detectors for a device, by published or measured speed, and say why and how certain that is."""
    from ..bench import recommend as recommendations

    with _json.JsonOutput(json) as output:
        rows = recommendations.rank(device, fps=fps, has_weights=has_weights)
        output.write([row._asdict() for row in rows])
    if output.is_stdout:
        return
    head = ("", "model", "AP50", "BFLOPs", "weights", "why", "certainty")
    cells = [
        (f"{row.rank}", row.model, f"{row.ap50}", f"{row.bflops:.3f}", row.weights, row.why, row.certainty)
        for row in rows[:MOST_ROWS]
    ]
    titles, *lines = _print.align([head, *cells], right=(0, 2, 3))
    print(titles, style="heading")
    print(*lines, sep="\n")
    at = recommendations.DEVICES[device]
    print(
        "",
        f"{len(rows) - MOST_ROWS} more: --json -" if len(rows) > MOST_ROWS else "",
        f"speeds: {at.source}; {at.certainty}.",
        "A speed that nobody published or measured is unknown, never estimated. To measure yours: edgecsp tune MODEL.",
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


app.command("import")(import_.command)  # alias
