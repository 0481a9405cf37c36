"""Tables of measured figures in the README and the site's pages, written from the files they were measured into.

    python -m benchmarks.readme [--check]       write them; or only say whether they are as they should be (exit code 1)

A table stands between two lines of a document, of which the first names its file in `benchmarks/results`:

    <!-- bench NAME.json -->      a report of: edgecsp bench --json
    <!-- peers NAME.json -->      of: make bench-peers (python -m benchmarks.peers --json)
    <!-- means NAME.json -->      the same report: the means over its models alone
    <!-- accuracy NAME.json -->  of: python -m benchmarks.table5_accuracy --json
    <!-- training NAME.json -->  of: python -m benchmarks.peers.train --json
    <!-- end -->
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from edgecsp import zoo
from edgecsp.bench import paper

from . import command_line

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "benchmarks" / "results"
PAGES = ("README.md", "docs/comparison.md", "docs/reference/train.md", "docs/tutorials/table5.md")
DOCUMENTS = tuple(REPO / path for path in PAGES)


def filled(text: str, results: Path = RESULTS) -> str:
    """A document with its tables as the files in `results` say."""

    def table(match: re.Match[str]) -> str:
        kind, name = match.group(1), match.group(2)
        report = json.loads((results / name).read_text("utf-8"))
        return f"<!-- {kind} {name} -->\n{TABLES[kind](report)}<!-- end -->"

    return MARKED.sub(table, text)


def accuracy(report: Dict[str, Any]) -> str:
    """A row a model that was trained by `benchmarks.table5_accuracy`."""
    data, settings = report["data"], report["settings"]
    about = (
        f"{data['name']}: {data['train_images']} images for training and {data['val_images']} for validation, "
        f"{data['classes']} classes; {settings['epochs']} epochs in batches of {settings['batch']}, from nothing, on "
        f"{report['machine']['cpu']}, {settings['threads']} threads."
    )
    printed = {row["model"]: paper.table5()[row["model"]].ap50 or 0.0 for row in report["rows"]}
    rows = []
    for row in sorted(report["rows"], key=lambda row: -printed[row["model"]]):
        cells = [zoo.get(row["model"]).title, str(row["imgsz"]), f"{row['bflops']:.2f}", f"{row['AP50']:.3f}"]
        rows.append([*cells, f"{row['AP']:.3f}", f"{row['minutes']:.0f}", f"{printed[row['model']]:.1f}"])
    return _table(about, ["model", "size", "BFLOPs", "AP50", "AP", "minutes", "AP50 in the paper (COCO)"], rows)


def training(report: Dict[str, Any]) -> str:
    """A row a side of `benchmarks.peers.train`, its means over its seeds, and how many times the other's speed."""
    settings, sides = report["settings"], report["means"]
    about = (
        f"{settings['data']}, {settings['minutes']:g} minutes each from nothing: {settings['imgsz']} px, batches of "
        f"{settings['batch']}, {_count(settings['seeds'], 'seed')}, {settings['threads']} threads, on "
        f"{report['machine']['name']} ({', '.join(report['machine']['isa'])})."
    )
    heads = ["", "epochs", "minutes", "images per second", "times", "images per CPU second", "times", "AP50", "AP"]
    rows, first = [], next(iter(sides.values()))
    for who, side in sides.items():
        cells = [next(row["name"] for row in report["rows"] if row["who"] == who), f"{side['epochs']:.0f}"]
        cells.append(f"{side['minutes']:.1f}")
        for key in ("images_per_s", "images_per_cpu_s"):
            cells += [f"{side[key]:.1f}", f"{side[key] / first[key]:.2f}"]
        rows.append([*cells, f"{side['AP50']:.3f}", f"{side['AP']:.3f}"])
    return _table(about, heads, rows)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def bench(report: Dict[str, Any]) -> str:
    """A row a model, a column an engine and precision: frames per second, and how many times YOLOv3-tiny's that is."""
    rows, machine, settings = report["rows"], report["machine"], report["settings"]
    ways = list(dict.fromkeys((row["engine"], row["precision"]) for row in rows))
    papers = next((row["paper"]["on"] for row in rows if row["paper"] and "Xeon" not in str(row["paper"]["on"])), None)
    heads = ["model", "BFLOPs", f"paper fps ({papers})", *(f"{engine} {kind} fps" for engine, kind in ways)]
    heads += ["times YOLOv3-tiny: paper", *(f"{engine} {kind}" for engine, kind in ways)]
    lines = [_about(report), "", *_begun(heads)]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = {(row["engine"], row["precision"]): row for row in rows if row["model"] == model}
        first = next(iter(mine.values()))
        cells = [first["title"], f"{first['bflops']:.2f}" if first["bflops"] else "", _papers(first)]
        cells += [_fps(mine.get(way)) for way in ways]
        cells.append(f"{first['paper_relative']:.2f}" if first["paper_relative"] else "")
        cells += [f"{mine[way]['relative']:.2f}" if way in mine and mine[way]["relative"] else "" for way in ways]
        lines.append(_line(cells))
    notes = [f"\\* unstable: {_causes(rows)}."] if any(row["unstable"] for row in rows) else []
    notes += ["† on a Xeon E5-2682 v4."] if any("Xeon" in str((row["paper"] or {}).get("on")) for row in rows) else []
    notes += _reasons(rows) + _ranks(report)
    peak = ", ".join(f"{kind} {value:.0f}" for kind, value in machine["peak_gflops"].items() if value)
    best = max((row["of_peak"] or 0 for row in rows), default=0)
    notes.append(f"Measured matrix-product peak, GFLOP/s: {peak}; a network reaches {best:.0%} of it at most.")
    assert settings["mode"] == "model", "the README's table is of the network alone"
    return "\n".join([*lines, "", " ".join(notes), ""])


def peers(report: Dict[str, Any]) -> str:
    """A row a peer, best first, a table a model."""
    lines = [_conditions(report), ""]
    if report.get("means"):
        lines += [*_means(report, "geometric mean of times over the models below"), ""]
    for model in dict.fromkeys(row["model"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["model"] == model]
        name = f"{model} ({rows[0]['about']}), 1280x720 in, boxes out"
        lines += _begun([name, "version", "ms", "CPU ms", "times", "same boxes"])
        for row in sorted((row for row in rows if row["ms"]), key=lambda row: row["times"]):
            same = "" if row["same"] is None else f"{row['same']:.0%}"
            figures = (f"{row['median_ms']:.1f}", f"{row['cpu_median_ms']:.1f}", f"{row['times']:.2f}", same)
            lines.append(_line([row["peer"], row["version"], *figures]))
        lines += ["", *(f"{row['peer']}: {row['reason']}" for row in rows if not row["ms"])]
    return "\n".join(lines).rstrip("\n") + "\n"


def means(report: Dict[str, Any]) -> str:
    """A row a peer, best first: the mean of its times over all models."""
    models = ", ".join(dict.fromkeys(row["model"] for row in report["rows"]))
    table = _means(report, f"geometric mean of the times over {models}")
    return "\n".join([_conditions(report), "", *table]) + "\n"


def _conditions(report: Dict[str, Any]) -> str:
    machine = report["machine"]
    how = f"{report['threads']} threads" if report["threads"] else "everyone at its own defaults"
    isa = f" ({', '.join(machine['isa'])})" if machine.get("isa") else ""
    return f"{machine['name']}{isa}, {how}, score {report['conf']}, NMS {report['iou']}."


def _means(report: Dict[str, Any], title: str) -> List[str]:
    lines = _begun([title, "times", "models"])
    for name, mean in sorted(report["means"].items(), key=lambda each: each[1]["times"]):
        lines.append(_line([name, f"{mean['times']:.2f}", str(len(mean["models"]))]))
    return lines


def _about(report: Dict[str, Any]) -> str:
    machine, settings = report["machine"], report["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    weights = (
        "random weights" if all(row["weights"] == "random" for row in report["rows"]) else "the weights that are here"
    )
    return (
        f"{machine['name']} ({', '.join(machine['isa'])}), {settings['threads']} threads, {versions}; {weights}, "
        f"{settings['scenario']} stream, {report['started'][:10]}."
    )


def _papers(row: Dict[str, Any]) -> str:
    paper = row["paper"] or {}
    return f"{paper['fps']:g}{'†' if 'Xeon' in str(paper['on']) else ''}" if paper.get("fps") else ""


def _fps(row: Any) -> str:
    if row is None or not row["fps"]:
        return "-"
    return f"{row['fps']:.{0 if row['fps'] >= 99.5 else 1}f}{'*' if row['unstable'] else ''}"


def _causes(rows: Sequence[Dict[str, Any]]) -> str:
    """Each kind of cause once, as its worst row says it."""
    worst: Dict[str, str] = {}
    for cause in sorted({cause for row in rows for cause in row["causes"]}, key=_figures):
        worst[re.sub(r"[\d.]+", "", cause)] = cause
    return "; ".join(worst.values()) or "cause unknown"


def _figures(cause: str) -> List[float]:
    return [float(figure) for figure in re.findall(r"\d+\.?\d*", cause)]


def _reasons(rows: Sequence[Dict[str, Any]]) -> List[str]:
    reasons = dict.fromkeys(f"-: {row['title']} on {row['engine']}: {row['reason']}." for row in rows if row["reason"])
    return list(reasons)


def _ranks(report: Dict[str, Any]) -> List[str]:
    ranks = [
        f"{each['engine']} {each['precision']} {each['spearman']:.2f}"
        for each in report["rank"]
        if each["spearman"] is not None
    ]
    return [f"Rank correlation with the paper's speeds: {', '.join(ranks)}."] if ranks else []


def _table(about: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([about, "", *_begun(heads), *map(_line, rows)]) + "\n"


def _begun(heads: Sequence[str]) -> List[str]:
    return [_line(heads), "|---" * len(heads) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


TABLES: Dict[str, Callable[[Dict[str, Any]], str]] = {
    "bench": bench,
    "peers": peers,
    "means": means,
    "accuracy": accuracy,
    "training": training,
}
MARKED = re.compile(rf"^<!-- ({'|'.join(TABLES)}) (\S+\.json) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Parse, write or compare."""
    args = command_line.parser(__doc__, check=False).parse_args()
    is_old = False
    for place in DOCUMENTS:
        before = place.read_text("utf-8")
        after = filled(before)
        if args.check and after != before:
            is_old = True
            print(f"{place.name}'s tables are not what benchmarks/results say; type: python -m benchmarks.readme")
        elif after != before:
            place.write_text(after, "utf-8")
    return int(is_old)


if __name__ == "__main__":
    sys.exit(main())
