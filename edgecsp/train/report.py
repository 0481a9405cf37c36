"""`results.html`: what a run has learned so far, on one page that needs neither a network nor a script.

    write(folder, record, log, details, finished=True)

Everything on it follows from the run's record (`run.json`), its log (`log.jsonl`) and the details of its best epoch.
"""

from __future__ import annotations

import base64
import math
import platform
import shlex
import string
import sys
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from ..bench.accuracy import Predictions, Score, count_confusions, find_worst
from ..bench.accuracy.worst import ImageMistakes, draw_comparison
from ..cache import files
from ..errors import SourceError
from ..media import html
from ..media.html.svg import short, tag
from ..system import versions as installed
from . import charts
from .charts import Axis, Curve
from .curves import GRID, Judged, at, curves

NAME = "results.html"
WORST = 8  # images with the most mistakes
COLOURED = 6  # classes with a colour of their own; of more, the weakest
LARGEST = 100  # classes in a confusion matrix; of more, the mistakes are listed alone
_WIDE = 960  # pixels of an image with its truth beside it
_NO_TERMS = {"step", "epoch", "lr", "loss", "images_per_s", "waited", "AP", "AP50"}

Row = Dict[str, Any]


def details(predictions: Predictions, judged: Judged, score: Score, conf: float) -> Row:
    """Details of an epoch's validation for the page, in JSON's types; `conf` is the confidence threshold of best F1."""
    matrix = count_confusions(predictions, conf)
    return {
        "conf": conf,
        "classes": [
            {"name": each.name, "boxes": each.objects, "images": each.images, "AP": each.ap, "AP50": each.ap50}
            for each in score.classes
        ],
        "curves": curves(judged),
        "confusion": matrix.matrix.tolist(),
        "mistakes": matrix.mistakes()[:10],
        "worst": [row for each in find_worst(predictions, conf, WORST) for row in _image(each, predictions.data.names)],
    }


def write(folder: Path, record: Row, log: Sequence[Row], details: Row, *, finished: bool) -> Path:
    """Write the page into a run's folder, whole or not at all, and return its path. Raises `OutputError`."""
    path = folder / NAME
    with files.atomic(path) as file:
        file.write(page(record, log, details, finished=finished).encode("utf-8", "replace"))
    return path


def page(record: Row, log: Sequence[Row], details: Row, *, finished: bool) -> str:
    """The page as text; `details` may be empty where nothing was validated yet."""
    style = html.style((Path(__file__).resolve().parent / "results.css").read_text("utf-8"))
    template = (Path(__file__).resolve().parent / "results.html").read_text("utf-8")
    what = f"{record['layout']['model']} on {'/'.join(Path(record['data']['name']).parts[-2:])}"
    scored = [row for row in log if "AP" in row]  # those of mixtures with the initial weights, too
    judged = [row for row in scored if "blend" not in row]
    learned = [row for row in log if "loss" in row]
    return string.Template(template).substitute(
        style=style,
        style_hash=html.digest(style),
        title=escape(f"edgecsp train: {what}"),
        name=escape(what),
        lead=escape(_lead(record, log, finished)),
        cards=_cards(record, scored, learned, details),
        loss=_loss(learned),
        precision=_average_precision(judged),
        curves=_curves(details),
        confusion=_confusion(details),
        worst=_worst(details),
        classes=_classes(record, details),
        settings=html.facts([("begun with", record.get("start")), *record["settings"].items()]),
        data=html.facts(_data(record).items()),
        versions=html.facts([*record["versions"].items(), ("command", record.get("command"))]),
    )


def versions() -> Dict[str, str]:
    """The versions of what a run depends on."""
    import torch

    here = installed.versions()
    names = {"edgecsp": installed.own(), "torch": str(torch.__version__), "python": platform.python_version()}
    return {**names, **{name: version for name in ("numpy", "opencv") for version in (here[name],) if version}}


def command() -> str:
    """The command line of this process; "" within a program of somebody else."""
    program, *words = sys.argv or [""]
    if Path(program).name not in ("edgecsp", "__main__.py"):
        return ""
    return shlex.join(["edgecsp", *words])


def is_better(ap: Optional[float], best: Row) -> bool:
    """Tell whether a later AP is the new best. Without one above 0 the newest is: it has learned longest."""
    return not best.get("AP") or (ap or 0.0) > best["AP"]


def best_of(judged: Sequence[Row]) -> Row:
    """The validation with the highest AP, the first of several, the last where none is above 0; {} without one."""
    best: Row = {}
    for row in judged:
        if is_better(row["AP"], best):
            best = row
    return best


def _lead(record: Row, log: Sequence[Row], finished: bool) -> str:
    data, epochs, side = record["data"], record["settings"]["epochs"], record["layout"]["imgsz"]
    done = int(max((row["epoch"] for row in log), default=0))
    state = f"Ended after epoch {done} of {epochs}." if finished else f"Running: epoch {done} of {epochs} is done."
    return (
        f"{state} {data['train_images']} images to learn from, {data['val_images']} for validation, "
        f"{len(record['layout']['labels'])} classes; input {side} x {side} px."
    )


def _cards(record: Row, judged: Sequence[Row], learned: Sequence[Row], details: Row) -> str:
    cards = []
    best = best_of(judged)
    if best:
        mixed = f", mixed with {best['blend']:.0%} of the initial weights" if "blend" in best else ""
        where = f"epoch {best['epoch']}, the best AP{mixed}"
        cards += [(figure(best["AP50"]), "AP50", where), (figure(best["AP"]), "AP at IoU 0.50 to 0.95", where)]
    whole = (details.get("curves") or {}).get("all")
    if whole:
        precision, recall = at(whole, details["conf"])
        note = f"precision {figure(precision)}, recall {figure(recall)}"
        cards.append((short(details["conf"]), "confidence threshold of the best F1", note))
    if learned:
        last = learned[-1]
        note = f"waited {last['waited']:.0%} of the time for images" if "waited" in last else ""
        cards.append((f"{last['images_per_s']:.0f}", "images per second while training", note))
    return html.cards(cards)


def _loss(learned: Sequence[Row]) -> str:
    if not learned:
        return _none("No step has been logged yet.")
    terms = [key for key in learned[-1] if key not in _NO_TERMS]
    series = [Curve("sum", [(row["epoch"], row["loss"]) for row in learned], "mean")]
    series += [
        Curve(term, [(row["epoch"], row[term]) for row in learned if term in row], f"c{i % COLOURED}")
        for i, term in enumerate(terms)
    ]
    epochs = Axis("epoch", (0, max(1.0, math.ceil(learned[-1]["epoch"]))))
    loss = charts.lines("Loss by epoch", series, epochs, Axis("loss", log=True))
    rates = [Curve("learning rate", [(row["epoch"], row["lr"]) for row in learned], "c0")]
    top = max(row["lr"] for row in learned) * 1.05 or 1.0
    rate = charts.lines("Learning rate by epoch", rates, epochs, Axis("", (0, top)), wide=False)
    speeds = [Curve("images per second", [(row["epoch"], row["images_per_s"]) for row in learned], "c2")]
    most = max(row["images_per_s"] for row in learned) * 1.1 or 1.0
    speed = charts.lines("Images per second by epoch", speeds, epochs, Axis("", (0, most)), wide=False)
    return (
        _legend(series)
        + tag("div", loss, class_="scroll")
        + _pair([("Learning rate", rate), ("Images per second, since the start", speed)])
    )


def _average_precision(judged: Sequence[Row]) -> str:
    series = [
        Curve(name, [(row["epoch"], row[name]) for row in judged if row[name] is not None], look)
        for name, look in (("AP50", "c0"), ("AP", "c1"))
    ]
    if not any(each.points for each in series):
        return _none("No validation has found a box yet, or the validation images have none.")
    best = best_of(judged)
    epochs = Axis("epoch", (0, max(row["epoch"] for row in judged) * 1.02))
    chart = charts.lines("AP50 and AP by epoch", series, epochs, Axis("", (0, 1)), guide=best["epoch"])
    return _legend(series) + tag("div", chart, class_="scroll")


def _curves(details: Row) -> str:
    whole = (details.get("curves") or {}).get("all")
    if not whole:
        return _none("The validation images have no box.")
    styled = _style_classes(details)
    grid = GRID.tolist()
    plots = []
    for title, key, x, y in (
        ("Precision against recall", "pr", "recall", "precision"),
        ("F1 against confidence", "f1", "confidence", "F1"),
        ("Precision against confidence", "precision", "confidence", "precision"),
        ("Recall against confidence", "recall", "confidence", "recall"),
    ):
        series = [Curve(name, _points(grid, curve[key]), look) for name, curve, look in styled]
        series.append(Curve("all boxes", _points(grid, whole[key]), "mean"))
        guide = None if key == "pr" else details["conf"]
        axes = Axis(x, (0.0, 1.0)), Axis(y, (0.0, 1.0))
        plots.append((title, charts.lines(f"{title} by class", series, *axes, guide=guide, wide=False)))
    coloured = [Curve(name, [(0, 0)], look) for name, _, look in styled if look != "rest"]
    rest = [Curve("other classes", [(0, 0)], "rest")] if any(look == "rest" for *_, look in styled) else []
    return _legend([*coloured, *rest, Curve("all boxes", [(0, 0)], "mean")]) + _pair(plots)


def _style_classes(details: Row) -> List[Any]:
    """(name, curve, look) of each class with boxes; of more than `COLOURED` the weakest have colours, drawn last."""
    able = [
        (row["name"], curve, row["AP50"] or 0.0)
        for row, curve in zip(details["classes"], details["curves"]["classes"])
        if curve
    ]
    weakest = sorted(range(len(able)), key=lambda i: able[i][2])[:COLOURED]
    styled = [
        (i in weakest, *able[i][:2], f"c{weakest.index(i)}" if i in weakest else "rest") for i in range(len(able))
    ]
    return [each[1:] for each in sorted(styled, key=lambda each: each[0])]


def _points(grid: Sequence[float], values: Sequence[Any]) -> List[Any]:
    return [(x, y) for x, y in zip(grid, values) if y is not None]


def _confusion(details: Row) -> str:
    if not details:
        return _none("Nothing was validated yet.")
    names = [row["name"] for row in details["classes"]]
    mistakes = "".join(tag("li", escape(f"{_mistake(a, b)}: {count}")) for a, b, count in details["mistakes"])
    listed = tag("ol", mistakes, class_="mistakes") if mistakes else _none("No mistake at this threshold.")
    if len(names) > LARGEST:
        return listed
    chart = charts.matrix([*names, "background"], details["confusion"])
    return tag("div", tag("div", chart, class_="scroll"), listed, class_="matrix-of")


def _mistake(is_class: str, as_class: str) -> str:
    if as_class == "background":
        return f"{is_class} not found"
    return f"{as_class} where nothing is" if is_class == "background" else f"{is_class} taken for {as_class}"


def _worst(details: Row) -> str:
    if not details.get("worst"):
        return _none("No image with a mistake at this threshold." if details else "Nothing was validated yet.")
    return "".join(
        tag(
            "figure",
            f'<img alt="{escape(each["caption"])}" width="{each["width"]}" height="{each["height"]}" '
            f'src="data:image/jpeg;base64,{escape(each["jpeg"])}">',
            tag("figcaption", tag("b", escape(each["file"])), " ", escape(each["caption"])),
        )
        for each in details["worst"]
    )


def _image(bad: ImageMistakes, names: Sequence[str]) -> List[Row]:
    """An image with its truth and its detections side by side; [] for one that has vanished meanwhile."""
    import cv2

    try:
        image = draw_comparison(bad, names)
    except SourceError:
        return []
    height, width = image.shape[:2]
    if width > _WIDE:
        image = cv2.resize(image, (_WIDE, max(1, round(height * _WIDE / width))), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    caption = f"{bad.missed} missed, {bad.confused} of another class, {bad.false} where nothing is"
    row = {
        "file": Path(bad.image.path).name,
        "caption": caption,
        "width": image.shape[1],
        "height": image.shape[0],
        "jpeg": base64.b64encode(data.tobytes()).decode(),
    }
    return [row] if done else []


def _classes(record: Row, details: Row) -> str:
    heads = ("class", "train boxes", "val images", "val boxes", "AP50", "AP", "precision", "recall")
    labels = record["layout"]["labels"]
    learned = record["data"].get("train_boxes") or [None] * len(labels)
    judged = details.get("classes") or [{"name": name} for name in labels]
    every = (details.get("curves") or {}).get("classes") or [None] * len(labels)
    rows = []
    for row, count, curve in zip(judged, learned, every):
        precision, recall = at(curve, details["conf"]) if curve else (None, None)
        figures = [figure(value) for value in (row.get("AP50"), row.get("AP"), precision, recall)]
        counts = [_count(value) for value in (count, row.get("images"), row.get("boxes"))]
        cells = "".join(tag("td", escape(value)) for value in [*counts, *figures])
        rows.append(tag("tr", tag("th", escape(row["name"]), scope="row"), cells))
    head = "".join(tag("th", name, scope="col", **({"class_": "text"} if name == "class" else {})) for name in heads)
    return tag("thead", tag("tr", head)) + tag("tbody", *rows)


def _data(record: Row) -> Row:
    data, layout = record["data"], record["layout"]
    return {
        "data": data["name"],
        "digest": data["digest"],
        "images": f"{data['train_images']} to learn from, {data['val_images']} for validation",
        "anchors, px": ", ".join(f"{w:.0f} x {h:.0f}" for w, h in layout["anchors"]),
    }


def _pair(plots: Sequence[Any]) -> str:
    return tag("div", *(tag("figure", tag("figcaption", title), chart) for title, chart in plots), class_="pair")


def _legend(series: Sequence[Curve]) -> str:
    return tag("ul", charts.swatches(series), class_="legend")


def _none(text: str) -> str:
    return tag("p", escape(text), class_="none")


def figure(value: Any) -> str:
    """A score with three decimals, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _count(value: Any) -> str:
    return "-" if value is None else f"{value:,}"
