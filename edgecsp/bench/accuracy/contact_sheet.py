"""`html`: a data check as one self-contained page, with a contact sheet of labelled images."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np

from ...errors import SourceError
from ...media import draw
from ...media.sources.images import read
from ...system import text
from ...types import Array
from .check import Report
from .problem import Problem
from .truth import LabelledImage

SIDE_PX = 320
QUALITY = 72
PLACES = 50  # listed per problem

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.15rem .8rem .15rem 0;text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{text-align:left}
.sheet{display:flex;flex-wrap:wrap;gap:.6rem}figure{margin:0;max-width:320px}
figcaption{font-size:.75rem;overflow-wrap:anywhere}
img{display:block;max-width:100%}.dot{display:inline-block;width:.8em;height:.8em;margin-right:.5em}
.fatal{font-weight:bold}summary{cursor:pointer}li{overflow-wrap:anywhere}
"""


def html(report: Report, count: int = 60) -> str:
    """Render the page: figures, classes, problems, and `count` labelled images from all splits."""
    parts = "".join(
        f"<h2>{_safe(name)}: {len(chosen)} of {len(report.images[name])} images</h2>"
        f"<div class=sheet>{''.join(filter(None, (_figure(each, report.names) for each in chosen)))}</div>"
        for name, chosen in (
            (name, _spread(images, _share(report, name, count))) for name, images in report.images.items()
        )
    )
    title = _safe(f"edgecsp data check: {report.name}")
    facts = "".join(f"<p>{_safe(line)}</p>" for line in report.lines()[: len(report.parts) + 1])
    crowded = "".join(f"<li>{_safe(path)}: {number} boxes" for path, number in report.crowded)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><p>{_safe(report.layout)}</p>{facts}"
        f"<h2>Problems</h2>{_problems(report.problems)}<h2>Classes</h2>{_classes(report)}"
        f"<h2>Most crowded images</h2><ul>{crowded}</ul>{parts}</html>\n"
    )


def _safe(words: object) -> str:
    return escape(text.printable(words))


def _share(report: Report, name: str, count: int) -> int:
    every = sum(map(len, report.images.values()))
    return min(len(report.images[name]), max(1, round(count * len(report.images[name]) / max(1, every))))


def _spread(images: Sequence[LabelledImage], count: int) -> List[LabelledImage]:
    """Choose `count` images, evenly from the first to the last."""
    if not images:
        return []
    chosen = np.linspace(0, len(images) - 1, count).round().astype(int).tolist()
    return [images[i] for i in dict.fromkeys(chosen)]


def _figure(labelled: LabelledImage, names: Sequence[str]) -> Optional[str]:
    try:
        image = read(labelled.path).image
    except SourceError:  # removed meanwhile, or damaged beyond what the inspection noticed
        return None
    data = base64.b64encode(thumbnail(image, labelled, names)).decode("ascii")
    caption = _safe(f"{Path(labelled.path).name}: {len(labelled.boxes)}")
    image_tag = f"<img loading=lazy alt='' src='data:image/jpeg;base64,{data}'>"
    return f"<figure>{image_tag}<figcaption>{caption}</figcaption></figure>"


def thumbnail(image: Array, labelled: LabelledImage, names: Sequence[str]) -> bytes:
    """Draw a labelled image as a JPEG of at most `SIDE_PX`; a colour per class, ignored regions in grey."""
    import cv2
    import simplejpeg

    h, w = image.shape[:2]
    factor = min(1.0, SIDE_PX / max(h, w))
    sides = (max(1, round(w * factor)), max(1, round(h * factor)))
    small = cv2.resize(image, sides, interpolation=cv2.INTER_AREA) if factor < 1 else image.copy()
    boxes = labelled.boxes
    ids = boxes.class_ids.tolist()
    colours = [(128, 128, 128) if crowd else draw.colour(i) for i, crowd in zip(ids, boxes.crowd.tolist())]
    scale = np.array((small.shape[1] / w, small.shape[0] / h) * 2)
    draw.boxes(small, boxes.xyxy * scale, [[names[i]] for i in ids], colours)
    # Lines of one pixel keep their colour only where colours are stored as finely as brightness.
    return bytes(simplejpeg.encode_jpeg(small, QUALITY, "BGR", "444"))


def _classes(report: Report) -> str:
    head = "".join(f"<th>{_safe(part.name)}" for part in report.parts)
    rows = "".join(
        f"<tr><td><span class=dot style='background:#{_rgb(i)}'></span>{_safe(name)}"
        + "".join(f"<td>{part.classes[i] if i < len(part.classes) else ''}" for part in report.parts)
        for i, name in enumerate(report.names)
    )
    return f"<table><tr><th>boxes{head}{rows}</table>"


def _rgb(class_id: int) -> str:
    blue, green, red = draw.colour(class_id)
    return f"{red:02x}{green:02x}{blue:02x}"


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return "<p>None."
    items_html = []
    for each in problems:
        more = len(each.places) - PLACES
        items = "".join(f"<li>{_safe(place)}" for place in each.places[:PLACES])
        items += f"<li>and {more} more" if more > 0 else ""
        kind = " class=fatal" if each.fatal else ""
        items_html.append(f"<details><summary{kind}>{_safe(each.text)}</summary><ul>{items}</ul></details>")
    return "".join(items_html)
