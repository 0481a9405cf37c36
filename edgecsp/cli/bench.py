"""`edgecsp bench`: measure the speed of models by engine and precision, next to the paper's figures."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

import typer

from ..errors import UsageError
from ..options import Options
from . import _json, _logging, _old_spellings, _options, _progress, _signals, render
from ._logging import inform_written, warn

if TYPE_CHECKING:
    from ..bench import Gate
    from ..media.sinks.base import Text

PARTLY_DONE, GATE = 4, 8
COMPARED = "edgecsp-bench-compared/1"
FAIL_IF: Any = typer.Option(None, "--fail-if", help="exit with 8 if a row matches: 'p99>30ms', 'fps<25'")


@_options.takes("bench")
def command(
    model: Optional[List[str]] = typer.Argument(
        None, help="names (edgecsp models list) or ONNX files [default: the ten rows of the paper's Table 5]"
    ),
    engine: Optional[List[str]] = _options.several("engine", "one, several, or all [default: all]"),
    precision: Optional[List[str]] = _options.several(
        "precision", "auto, fp32, fp16, bf16, int8, or several [default: auto]"
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
    json: Optional[str] = _json.OPTION,
    html: Optional[Path] = typer.Option(None, "--html", help="the report as a self-contained page"),
    compare_with: Optional[Path] = typer.Option(None, "--compare", help="an earlier report to compare the rows with"),
    fail_if: Optional[List[str]] = FAIL_IF,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Measure the speed of models, next to the CSPNet paper's figures."""
    from .. import bench

    gates = [bench.parse(text) for text in fail_if or ()]
    before = bench.load(compare_with) if compare_with else None
    words = model or []
    if compare_with and len(words) == 1 and words[0].lower().endswith(".json"):
        _old_spellings.warn("edgecsp bench --compare BEFORE AFTER", "edgecsp bench compare BEFORE AFTER")
        _logging.warn_now()
        if html is not None:
            raise UsageError(f"--html {html}: a page shows one report; to compare two, use the table or --json")
        compare(compare_with, Path(words[0]), json, fail_if)
        return
    settings = bench.BenchSettings(
        device=options.device, engines=parse_engines(engine), precisions=parse_names(precision), scenario=scenario,
        mode="pipeline" if pipeline else "model", batch=batch, threads=options.threads, duration_s=duration,
        rounds=rounds, sources=tuple(source or ()), same_image=same_picture, weights=options.weights, hw=options.hw,
    )  # fmt: skip
    with _open_outputs(json, html) as (output, page):
        with _signals.until_signal() as stop, _progress.bar("", quiet=quiet, unit="steps") as progress:

            def tick() -> None:  # keeps what was measured so far
                if stop.is_set():
                    raise bench.BenchStopped

            report = bench.run(words, settings, data=data, progress=progress, tick=tick, command=sys.argv)
        if not output.is_stdout:
            output.write(report, indent=None)  # before the table: what reads that may be gone
        if page:
            page.write(bench.html(report))
            page.close()
        if not quiet:
            render.bench.report(report, to_stderr=output.is_stdout)
        if output.is_stdout:
            output.write(report, indent=None)
        if before:
            render.bench.differences(*bench.compare_reports(before, report), to_stderr=output.is_stdout)
    inform_written([*output.paths, *(page.paths if page else ())])
    if stop.signal:
        raise typer.Exit(128 + stop.signal)
    _exit_by_gates(report, gates)


def compare(
    before: Path = typer.Argument(..., help="a report: edgecsp bench --json before.json"),
    after: Path = typer.Argument(..., help="another one"),
    json: Optional[str] = _json.OPTION,
    fail_if: Optional[List[str]] = FAIL_IF,
) -> None:
    """Compare two reports: which differences are larger than the noise. --fail-if is for the second."""
    from .. import bench

    gates = [bench.parse(text) for text in fail_if or ()]
    report = bench.load(after)
    differences, doubts = bench.compare_reports(bench.load(before), report)
    with _json.JsonOutput(json) as output:
        render.bench.differences(differences, doubts, to_stderr=output.is_stdout)
        document = {"schema": COMPARED, "differences": [each.to_dict() for each in differences], "notes": doubts}
        output.write(document, indent=None)
    _exit_by_gates(report, gates)


def _exit_by_gates(report: Dict[str, Any], gates: Sequence[Gate]) -> None:
    """Exit with a code if a gate failed or rows are missing."""
    failed = False
    rows = [row for row in report["rows"] if row["ms"]]
    for gate in gates:
        for row in rows:
            why = gate.find_violation(row)
            if why:
                failed = True
                warn(f"--fail-if {gate.text!r}: {render.bench.row_name(row)}: {why}")
    if gates and not rows:
        failed = True
        warn("--fail-if: no row was measured")
    if failed:
        raise typer.Exit(GATE)
    if any(row["lost"] for row in report["rows"]):
        raise typer.Exit(PARTLY_DONE)


def parse_engines(values: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    """Parse --engine; None for all engines."""
    words = parse_names(_options.split_engines(values))
    if words and "all" in words and len(words) > 1:
        raise UsageError(f"--engine {','.join(words)}: give either all or names")
    return None if words in (None, ("all",)) else words


def parse_names(values: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    """Parse repeated and comma-separated values, each once, in order; None without values."""
    words = _options.split_words(values)
    return tuple(dict.fromkeys(words)) if words else None


@contextmanager
def _open_outputs(json: Optional[str], html: Optional[Path]) -> Iterator[Tuple[_json.JsonOutput, Optional[Text]]]:
    """Open the requested files before the work, so that an unwritable path is reported at once."""
    from ..media.sinks.base import Text

    if html is not None and str(html) in (json, "-"):
        raise UsageError(f"--html {html}: needs its own file; stdout is for --json -")
    with _json.JsonOutput(json) as output, ExitStack() as stack:
        page = None if html is None else Text(html)
        if page is not None:
            stack.callback(page.abort)  # does nothing after close
        yield output, page
