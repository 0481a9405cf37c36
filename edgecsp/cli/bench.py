"""`edgecsp bench`: how fast models are here, each engine and precision, with the paper's figures beside."""

from __future__ import annotations

import json as json_module
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from . import _options, _progress, _signals
from ._logging import inform, warn
from .render import bench as _bench_shown

if TYPE_CHECKING:
    from ..bench import Gate
    from ..media.sinks.base import Text

PARTLY_DONE, GATE = 4, 8
COMPARED = "edgecsp-bench-compared/1"


def command(
    model: Optional[List[str]] = typer.Argument(
        None, help="names (edgecsp models list) or ONNX files [default: the ten rows of the paper's Table 5]"
    ),
    device: str = typer.Option("cpu", "--device", help="cpu, cuda, jetson, or what else an engine offers"),
    engine: Optional[List[str]] = typer.Option(None, "--engine", "-e", help="one, several, or all [default: all]"),
    precision: Optional[List[str]] = typer.Option(
        None, "--precision", help="fp32, fp16, int8, or several [default: the graph's]"
    ),
    scenario: str = typer.Option("single", "--scenario", help="single, offline or multi, as MLPerf calls them"),
    pipeline: bool = typer.Option(False, "--pipeline", help="a file in, boxes out, stage by stage"),
    source: Optional[List[str]] = typer.Option(None, "--source", help="what --pipeline reads [default: drawn images]"),
    batch: Optional[int] = typer.Option(None, "--batch", help="images at once [default: 1; 8 offline and multi]"),
    threads: Optional[int] = _options.THREADS,
    duration: float = typer.Option(5.0, "--duration", help="seconds that each row is measured, after its warm-up"),
    rounds: int = typer.Option(5, "--rounds", help="parts of that time; the rows take turns"),
    imgsz: Optional[str] = _options.IMGSZ,
    weights: Optional[str] = typer.Option(
        None, "--weights", help="random, also where others are here [default: what is here, else random]"
    ),
    same_picture: bool = typer.Option(False, "--same-picture", help="one image over and over (MLPerf's TEST04)"),
    data: Optional[Path] = typer.Option(None, "--data", "-d", help="labelled images: AP50 beside the speed"),
    json: Optional[str] = typer.Option(None, "--json", help="the report with every sample; - for stdout"),
    html: Optional[Path] = typer.Option(None, "--html", help="the report as one page that needs no network"),
    compare: Optional[Path] = typer.Option(
        None,
        "--compare",
        help="an earlier report: what differs beyond the noise; with a second one, nothing is measured",
    ),
    fail_if: Optional[List[str]] = typer.Option(
        None, "--fail-if", help="exit with 8 if a row is so: 'p99>30ms', 'fps<25'"
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Measure how fast models are, with the CSPNet paper's figures beside."""
    from .. import bench

    gates = [bench.parse(text) for text in fail_if or ()]
    before = bench.load(compare) if compare else None
    words = model or []
    if before and len(words) == 1 and words[0].lower().endswith(".json"):
        _two(before, bench.load(words[0]), json, html, gates)
        return
    settings = bench.BenchSettings(
        device=device, engines=engines(engine), precisions=_tuple(precision), scenario=scenario,
        mode="pipeline" if pipeline else "model", batch=batch, threads=threads, duration_s=duration, rounds=rounds,
        sources=tuple(source or ()), same_image=same_picture, weights=weights, hw=_options.size(imgsz),
    )  # fmt: skip
    with written(json, html) as texts:
        with _signals.until_signal() as stop, _progress.bar("", quiet=quiet, unit="steps") as progress:

            def tick() -> None:  # what was measured until then is kept
                if stop.is_set():
                    raise bench.BenchStopped

            report = bench.run(words, settings, data=data, progress=progress, tick=tick, command=sys.argv)
        if not quiet:
            _bench_shown.report(report, to_stderr=json == "-")
        _write(texts, "json", lambda: json_module.dumps(report, allow_nan=False) + "\n")
        _write(texts, "html", lambda: bench.html(report))
        if before:
            _bench_shown.differences(*bench.compare_reports(before, report), to_stderr=json == "-")
    for text in texts.values():
        for path in text.paths:
            inform(f"wrote {path}", prefix=False)
    if stop.signal:
        raise typer.Exit(128 + stop.signal)
    _judge(report, gates)


def _two(
    before: Dict[str, Any], after: Dict[str, Any], json: Optional[str], html: Optional[Path], gates: Sequence[Gate]
) -> None:
    """Hold two reports against each other."""
    from .. import bench

    if html is not None:
        raise UsageError(f"--html {html}: it shows one measurement; of two reports there is a table, and --json")
    found, doubts = bench.compare_reports(before, after)
    with written(json, None) as texts:
        _bench_shown.differences(found, doubts, to_stderr=json == "-")
        said = {"schema": COMPARED, "differences": [each.to_dict() for each in found], "notes": doubts}
        _write(texts, "json", lambda: json_module.dumps(said, allow_nan=False) + "\n")
    _judge(after, gates)


def _judge(report: Dict[str, Any], gates: Sequence[Gate]) -> None:
    """Exit with what a script should know: a gate that failed, rows that were lost."""
    failed = False
    rows = [row for row in report["rows"] if row["ms"]]
    for gate in gates:
        for row in rows:
            why = gate.find_violation(row)
            if why:
                failed = True
                warn(f"--fail-if {gate.text!r}: {_bench_shown.named(row)}: {why}")
    if gates and not rows:
        failed = True
        warn("--fail-if: no row was measured, so none has passed")
    if failed:
        raise typer.Exit(GATE)
    if any(row["lost"] for row in report["rows"]):
        raise typer.Exit(PARTLY_DONE)


def engines(given: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    """The engines that were named; None for all of them."""
    words = _tuple(given)
    if words and "all" in words and len(words) > 1:
        raise UsageError(f"--engine {','.join(words)}: all of them, or some by their names")
    return None if words in (None, ("all",)) else words


def _tuple(given: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    words = _options.words(given)
    return tuple(dict.fromkeys(words)) if words else None


@contextmanager
def written(json: Optional[str], html: Optional[Path]) -> Iterator[Dict[str, Text]]:
    """The files that were asked for, begun before the work: a place that cannot be written shows at once."""
    from ..media.sinks.base import Text

    if html is not None and str(html) in (json, "-"):
        raise UsageError(f"--html {html}: a file of its own; stdout is for --json -")
    texts: Dict[str, Text] = {}
    with ExitStack() as stack:
        for kind, target in (("json", json), ("html", html)):
            if target is not None:
                texts[kind] = Text(target)
                stack.callback(texts[kind].abort)  # of a file that is whole it takes nothing
        yield texts


def _write(texts: Dict[str, Text], kind: str, made: Callable[[], str]) -> None:
    if kind in texts:
        texts[kind].write(made())
        texts[kind].close()
