"""Report on a zoo model, as data and text. Counted and published figures never share a column."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ... import zoo
from ...errors import UnknownName
from ...graph.layers import Tensor
from ...types import Head
from ...zoo import Entry, PublishedRow, store
from .. import _print

DEVICES = {
    "gpu": "GTX 1080 Ti",
    "cpu": "Core i9-9900K",
    "mgpu": "Jetson TX2",
    "xeon": "Xeon E5-2682",
    "a76": "4 Cortex-A76 (ncnn)",
}
# The keys of `models list --sort`; what is unknown comes last.
SORTS: Dict[str, Callable[[Dict[str, Any]], Any]] = {
    "name": lambda row: row["name"],
    "bflops": lambda row: row["bflops"],
    "size": lambda row: row["weights_bytes"],
    "ap50": lambda row: -(row["paper"]["ap50"] or 0) * (row["paper"]["data"] == "COCO"),
    "licence": lambda row: (not row["licence"], row["licence"]),
}
OWN = "installed (own)"
HEADER_BYTES = 20  # of a .weights file
PROVENANCE = {
    "published": "published: the layers are its authors' own",
    "reconstructed": "reconstructed: no cfg was ever published; the costs are the paper's, the layers may differ",
}


def select(
    task: Optional[str] = None,
    max_bflops: Optional[float] = None,
    has_weights: bool = False,
    sort: Optional[str] = None,
) -> List[Dict[str, Any]]:
    """Return the rows of the list that pass the filters, sorted. Raises `UnknownName`."""
    if sort is not None and sort not in SORTS:
        raise UnknownName("sort key", sort, SORTS)
    rows = [brief(zoo.get(name)) for name in zoo.names()]
    tasks = {row["task"] for row in rows}
    if task is not None and task not in tasks:
        raise UnknownName("task", task, tasks)
    rows = [
        row
        for row in rows
        if task in (None, row["task"])
        and (max_bflops is None or row["bflops"] <= max_bflops)
        and (row["weights"] != "none" or not has_weights)
    ]
    return sorted(rows, key=SORTS[sort]) if sort else rows


def brief(entry: Entry) -> Dict[str, Any]:
    """Return a model's row in the list."""
    cost, here = entry.cost(), store.record(entry.name)
    return {
        "name": entry.name,
        "title": entry.title,
        "task": entry.task,
        "input": entry.size,
        "parameters": cost.weights,
        "bflops": round(cost.bflops, 6),
        "weights_bytes": HEADER_BYTES + 4 * cost.floats,
        "paper": _paper_row(entry),
        "provenance": entry.provenance,
        "weights": _state(entry, here),
        "licence": _licence(entry, here),
        "trained": entry.trained and vars(entry.trained),
    }


def full(entry: Entry, hw: Optional[Tuple[int, int]]) -> Dict[str, Any]:
    """Return all data of `models show` except the layers."""
    net, cost, here = entry.net(hw), entry.cost(hw), store.record(entry.name)
    described = entry.input(net)
    heads = [_head(x, head) for x, head in net.heads]
    public = entry.weights and {
        "url": entry.weights.url,
        "size": entry.weights.size,
        "digest": ":".join(entry.weights.digest) if entry.weights.is_pinned else None,
        "licence": entry.weights.licence,
    }
    return {
        "name": entry.name,
        "title": entry.title,
        "task": entry.task,
        "input": {
            "hw": list(described.hw),
            "shown": f"{described.hw[1]}x{described.hw[0]}",
            "colour": described.colour,
            "resize": described.resize,
        },
        "parameters": cost.weights,
        "floats": cost.floats,
        "bflops": round(cost.bflops, 6),
        "paper": [_row(row) for row in entry.rows],
        "provenance": entry.provenance,
        "source": entry.source,
        "forced": list(entry.forced),
        "fitted": list(entry.fitted),
        "heads": heads,
        "proposals": entry.rois,
        "weights": {"state": _state(entry, here), "public": public, "here": here and vars(here)},
        "trained": entry.trained and vars(entry.trained),
        "in_the_box": zoo.record(entry.name) if entry.bundled else None,
    }


def format_training(record: Dict[str, Any]) -> str:
    """Format how edgecsp's own weights were trained."""
    return f"{record['data']}; AP50 {record['ap50']:.3f} on {record['on']}; {record['command']}"


def subtitle(details: Dict[str, Any]) -> str:
    """Format a model's cost."""
    return f"{details['bflops']:.3f} BFLOPs, {details['parameters'] / 1e6:.2f}M parameters, {details['provenance']}"


def lines(details: Dict[str, Any]) -> Iterator[str]:
    """Yield `full` as text."""
    yield f"{details['title']} ({details['name']})"
    yield ""
    yield from _numbers(details)
    yield ""
    for key, value in _origin(details):
        yield f"{key:12} {value}"


def _numbers(details: Dict[str, Any]) -> List[str]:
    """Format a line per quantity: counted, then published values."""
    rows = details["paper"]
    of = {key: [row[key] for row in rows] for key in ("size", "bflops", "ap", "ap50", "ap75", "top1")}
    weights, floats = (
        [row["params_m"] if row["params_count"] == kind else None for row in rows] for kind in ("weights", "floats")
    )
    table: List[Tuple[str, str, Sequence[Any]]] = [
        ("input", details["input"]["shown"], of["size"]),
        ("parameters, M", f"{details['parameters'] / 1e6:.3f}", weights),
        ("all stored floats, M", f"{details['floats'] / 1e6:.3f}", floats),
        ("BFLOPs", f"{details['bflops']:.3f}", of["bflops"]),
        ("AP", "", of["ap"]),
        ("AP50", "", of["ap50"]),
        ("AP75", "", of["ap75"]),
        ("top-1", "", of["top1"]),
    ]
    table += [(f"fps, {name}", "", [row["fps"].get(key) for row in rows]) for key, name in DEVICES.items()]
    cells = [("", "counted", *(row["table"] for row in rows))]
    cells += [
        (what, counted, *(number(value) for value in printed))
        for what, counted, printed in table
        if counted or any(value is not None for value in printed)
    ]
    return _print.align(cells, right=range(1, 2 + len(rows)))


def _origin(details: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    yield "provenance", PROVENANCE.get(details["provenance"], details["provenance"])
    if details["source"]:
        yield "source", details["source"]
    yield from (("forced", each) for each in details["forced"])
    yield from (("chosen", each) for each in details["fitted"])
    yield from (("misses", each) for each in dict.fromkeys(row["miss"] for row in details["paper"] if row["miss"]))
    for head in details["heads"]:
        anchors = head["anchors_wh"]
        anchor_text = "  ".join(f"{w:g}x{h:g}" for w, h in anchors) if len(anchors) < 10 else f"{len(anchors)} anchors"
        stride = f", stride {head['stride']}" if head["stride"] else ""
        yield (
            "head",
            f"{'x'.join(map(str, head['shape']))} {head['kind']}{stride}" + (f": {anchor_text}" if anchor_text else ""),
        )
    if details["proposals"]:
        yield "two stages", f"the second classifies {details['proposals']} proposals per image"
    yield from _weights(details)


def _weights(details: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    if details["trained"]:
        yield "trained", f"by edgecsp: {format_training(details['trained'])}"
    public, here, boxed = details["weights"]["public"], details["weights"]["here"], details["in_the_box"]
    if boxed is not None:
        test = boxed["test"]
        yield "weights", f"bundled: {boxed['trained']}; commit {boxed['commit']}"
        yield "licence", boxed["licence"]
        yield "classes", ", ".join(boxed["labels"])
        yield "measured", f"AP50 {test['ap50']:.3f}, AP {test['ap']:.3f} on {details['trained']['on']}"
    elif public is None:
        yield "weights", f"no public weights; for timing: edgecsp run SOURCE --model {details['name']} --weights random"
        if not details["proposals"]:
            yield "", f"with your own weights: edgecsp models pull {details['name']} --from MINE.weights"
    else:
        size = f"{public['size'] / 1e6:.1f} MB, " if public["size"] else ""
        digest = (public["digest"] or "no digest: fixed at the first download")[:40].rstrip()
        yield "weights", f"{public['url']} ({size}{digest}{'...' if len(public['digest'] or '') > 40 else ''})"
        yield "licence", public["licence"]
        if here is None:
            yield "", f"to install: edgecsp models pull {details['name']}"
    if here is not None:
        yield "installed", f"{store.path(details['name'])}, pulled {here['pulled']}; checked: {here['check']}"


def _state(entry: Entry, here: Optional[store.Record]) -> str:
    if here:
        return "installed" if here.weights == "public" else OWN
    if entry.bundled:
        return "bundled"
    return "public" if entry.weights else "none"


def _licence(entry: Entry, here: Optional[store.Record]) -> str:
    """What is stated of the licence of the weights that are or would be installed, "" where there are none."""
    if here:
        return here.licence
    if entry.bundled:
        return str(zoo.record(entry.name)["licence"])
    return entry.weights.licence if entry.weights else ""


def shorten_licence(text: str) -> str:
    """Shorten a licence to its first statement."""
    return text.partition(";")[0]


def _paper_row(entry: Entry) -> Dict[str, Any]:
    """Return the published row of the default size, else the first with its size appended."""
    rows = [row for row in entry.rows if row.size == entry.size] or list(entry.rows)
    details = _row(rows[0]) if rows else {"size": entry.size, "ap50": None, "top1": None, "data": "COCO"}
    elsewhere = "" if details["size"] == entry.size else f" @{details['size']}"
    elsewhere += f" {details['data']}" if details["data"] != "COCO" else ""
    formatted = {key: number(details[key]) + elsewhere if details[key] else "" for key in ("ap50", "top1")}
    return {**details, "shown": formatted}


def _row(row: PublishedRow) -> Dict[str, Any]:
    ap, ap50, ap75 = row.ap
    return {
        "table": row.table,
        "size": row.size,
        "bflops": row.bflops,
        "params_m": row.params_m,
        "params_count": row.count,
        "ap": ap,
        "ap50": ap50,
        "ap75": ap75,
        "data": row.data,
        "top1": row.top1,
        "fps": dict(row.fps),
        "miss": row.miss,
    }


def _head(x: Tensor, head: Head) -> Dict[str, Any]:
    return {
        "output": head.name,
        "kind": head.kind,
        "shape": [1, x.c, x.h, x.w],
        "stride": getattr(head, "stride", None),
        "anchors_wh": [list(wh) for wh in getattr(head, "anchors_wh", ())],
    }


def number(value: Any) -> str:
    """Format a published number, "" for None."""
    return "" if value is None else str(value)


def format_accuracy(figures: Dict[str, str]) -> str:
    """Format the published accuracy of a model: the AP50 of a detector, the top-1 of a classifier."""
    return figures["ap50"] or (figures["top1"] and f"{figures['top1']} top-1")
