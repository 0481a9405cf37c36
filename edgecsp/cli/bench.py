"""`edgecsp bench`: measure the speed of models by engine and precision, next to the paper's figures."""

from __future__ import annotations

import json as json_module
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from ..options import Options
from . import _options, _progress, _signals
from ._logging import inform, warn
from .render import bench as render_bench

if TYPE_CHECKING:
    from ..bench import Gate
    from ..media.sinks.base import Text

PARTLY_DONE, GATE = 4, 8
COMPARED = "edgecsp-bench-compared/1"


@_options.takes("bench")
def command(
    model: Optional[List[str]] = typer.Argument(
        None, help="names (edgecsp models list) or ONNX files [default: the ten rows of the paper's Table 5]"
    ),
    engine: Optional[List[str]] = _options.several("engine", "one, several, or all [default: all]"),
    precision: Optional[List[str]] = _options.several(
        "precision", "fp32, fp16, int8, or several [default: the graph's]"
    ),
    options: Options = _options.GROUP,
    scenario: str = typer.Option("single", "--scenario", help="single, offline or multi, as MLPerf calls them"),
    pipeline: bool = typer.Option(False, "--pipeline", help="measure the whole pipeline from file to boxes, by stage"),
    source: Optional[List[str]] = typer.Option(
        None, "--source", help="input of --pipeline [default: synthetic images]"
    ),
    batch: Optional[int] = typer.Option(None, "--batch", help="batch size [default: 1; 8 for offline and multi]"),
    duration: float = typer.Option(5.0, "--duration", help="seconds per row, after the warm-up"),
    rounds: int = typer.Option(5, "--rounds", help="number of rounds; the rows take turns"),
    same_picture: bool = typer.Option(False, "--same-picture", help="repeat one image (MLPerf's TEST04)"),
    data: Optional[Path] = typer.Option(None, "--data", "-d", help="labelled images, to add AP and AP50"),
    json: Optional[str] = typer.Option(None, "--json", help="the report with every sample; - for stdout"),
    html: Optional[Path] = typer.Option(None, "--html", help="the report as a self-contained page"),
    compare: Optional[Path] = typer.Option(
        None, "--compare", help="an earlier report to compare with; given two reports, nothing is measured"
    ),
    fail_if: Optional[List[str]] = typer.Option(
        None, "--fail-if", help="exit with 8 if a row matches: 'p99>30ms', 'fps<25'"
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Measure the speed of models, next to the CSPNet paper's figures."""
    from .. import bench

    gates = [bench.parse(text) for text in fail_if or ()]
    before = bench.load(compare) if compare else None
    words = model or []
    if before and len(words) == 1 and words[0].lower().endswith(".json"):
        _compare_reports(before, bench.load(words[0]), json, html, gates)
        return
    settings = bench.BenchSettings(
        device=options.device, engines=parse_engines(engine), precisions=parse_names(precision), scenario=scenario,
        mode="pipeline" if pipeline else "model", batch=batch, threads=options.threads, duration_s=duration,
        rounds=rounds, sources=tuple(source or ()), same_image=same_picture, weights=options.weights, hw=options.hw,
    )  # fmt: skip
    with open_outputs(json, html) as texts:
        with _signals.until_signal() as stop, _progress.bar("", quiet=quiet, unit="steps") as progress:

            def tick() -> None:  # keeps what was measured so far
                if stop.is_set():
                    raise bench.BenchStopped

            report = bench.run(words, settings, data=data, progress=progress, tick=tick, command=sys.argv)
        if not quiet:
            render_bench.report(report, to_stderr=json == "-")
        _write(texts, "json", lambda: json_module.dumps(report, allow_nan=False) + "\n")
        _write(texts, "html", lambda: bench.html(report))
        if before:
            render_bench.differences(*bench.compare_reports(before, report), to_stderr=json == "-")
    for text in texts.values():
        for path in text.paths:
            inform(f"wrote {path}", prefix=False)
    if stop.signal:
        raise typer.Exit(128 + stop.signal)
    _exit_by_gates(report, gates)


def _compare_reports(
    before: Dict[str, Any], after: Dict[str, Any], json: Optional[str], html: Optional[Path], gates: Sequence[Gate]
) -> None:
    """Compare two reports."""
    from .. import bench

    if html is not None:
        raise UsageError(f"--html {html}: a page shows one report; to compare two, use the table or --json")
    differences, doubts = bench.compare_reports(before, after)
    with open_outputs(json, None) as texts:
        render_bench.differences(differences, doubts, to_stderr=json == "-")
        document = {"schema": COMPARED, "differences": [each.to_dict() for each in differences], "notes": doubts}
        _write(texts, "json", lambda: json_module.dumps(document, allow_nan=False) + "\n")
    _exit_by_gates(after, gates)


def _exit_by_gates(report: Dict[str, Any], gates: Sequence[Gate]) -> None:
    """Exit with a code if a gate failed or rows are missing."""
    failed = False
    rows = [row for row in report["rows"] if row["ms"]]
    for gate in gates:
        for row in rows:
            why = gate.find_violation(row)
            if why:
                failed = True
                warn(f"--fail-if {gate.text!r}: {render_bench.row_name(row)}: {why}")
    if gates and not rows:
        failed = True
        warn("--fail-if: no row was measured")
    if failed:
        raise typer.Exit(GATE)
    if any(row["lost"] for row in report["rows"]):
        raise typer.Exit(PARTLY_DONE)


def parse_engines(values: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    """Parse --engine; None for all engines."""
    words = parse_names(values)
    if words and "all" in words and len(words) > 1:
        raise UsageError(f"--engine {','.join(words)}: give either all or names")
    return None if words in (None, ("all",)) else words


def parse_names(values: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    """Parse repeated and comma-separated values, each once, in order; None without values."""
    words = _options.split_words(values)
    return tuple(dict.fromkeys(words)) if words else None


@contextmanager
def open_outputs(json: Optional[str], html: Optional[Path]) -> Iterator[Dict[str, Text]]:
    """Open the requested files before the work, so that an unwritable path is reported at once."""
    from ..media.sinks.base import Text

    if html is not None and str(html) in (json, "-"):
        raise UsageError(f"--html {html}: needs its own file; stdout is for --json -")
    texts: Dict[str, Text] = {}
    with ExitStack() as stack:
        for kind, target in (("json", json), ("html", html)):
            if target is not None:
                texts[kind] = Text(target)
                stack.callback(texts[kind].abort)  # does nothing after close
        yield texts


def _write(texts: Dict[str, Text], kind: str, render: Callable[[], str]) -> None:
    if kind in texts:
        texts[kind].write(render())
        texts[kind].close()
