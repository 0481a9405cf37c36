"""`edgecsp tune`: measure which engine runs a model fastest here, and cache the choice for `--engine auto`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import typer

from ..errors import EdgecspError, UsageError
from ..options import Options
from ..options.choices import BUNDLED_MODEL
from . import _json, _options, _progress, _signals, bench, quantize, render
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..graph.precision import Ranges
    from ..types import Model

JSON_LIST = "edgecsp-tuned-list/1"


@_options.takes("tune")
def command(
    model: Optional[str] = typer.Argument(None, help="a name (edgecsp models list), or an ONNX file [default: codes]"),
    data: Optional[Path] = typer.Option(
        None, "--data", "-d", help="labelled images, as for val: allows int8 if the accuracy holds"
    ),
    max_ap_drop: Optional[float] = typer.Option(
        None, "--max-ap-drop", help="maximum loss of COCO AP of another precision, 0..1 [default: 0.01]"
    ),
    calib: Optional[List[str]] = typer.Option(
        None, "--calib", help="images for int8 calibration, or a saved ranges .json [default: the data]"
    ),
    seconds: float = typer.Option(
        60.0, "--seconds", help="time budget for measuring speed; calibration and AP come before"
    ),
    engine: Optional[List[str]] = _options.several("engine", "one, several, or all [default: all]"),
    precision: Optional[List[str]] = _options.several(
        "precision", "auto, fp32, fp16, bf16, int8, or several [default: the graph's and auto; with --data all]"
    ),
    threads: Optional[List[str]] = _options.several(
        "threads", "one number or several: 1,2,4 [default: one per core, and halves of that]"
    ),
    options: Options = _options.GROUP,
    json: Optional[str] = _json.OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Find the fastest engine, precision and threads for a model, for use by `--engine auto`."""
    from ..bench import tune
    from ..zoo import store

    if data is None and (max_ap_drop is not None or calib):
        raise UsageError("--max-ap-drop and --calib are for other precisions, which need labelled images: --data")
    spec = model or BUNDLED_MODEL
    tuning = tune.Tuning(
        seconds, options.device, bench.parse_engines(engine), bench.parse_names(precision), _parse_threads(threads),
        tune.Tuning.max_ap_drop if max_ap_drop is None else max_ap_drop,
    )  # fmt: skip
    resolved = store.resolve(spec, hw=options.hw)
    with _json.JsonOutput(json) as output:
        with _signals.until_signal() as stop:

            def tick() -> None:
                if stop.is_set():
                    raise tune.BenchStopped

            try:
                ranges = _ranges(resolved, calib, quiet)
                with _progress.bar("", quiet=quiet, unit="steps") as progress:
                    result = tune.run(
                        resolved, spec, tuning, data=data, ranges=ranges, progress=progress, tick=tick, command=sys.argv
                    )
            except tune.BenchStopped:
                warn("stopped early: nothing was cached")
                raise typer.Exit(128 + stop.signal) from None
        place = result.save()
        if not quiet:
            render.tune.report(result.report, to_stderr=output.is_stdout)
        output.write(result.report, indent=None)
    if not quiet:
        inform(f"cached in {place}, used by --engine auto; to remove it: edgecsp tune forget {spec}", prefix=False)


def forget(model: Optional[str] = typer.Argument(None, help="a model that was tuned, as it was named")) -> None:
    """Remove the cached choices of a model."""
    from ..backends import tuning as cached_tuning

    if model is None:
        known = sorted({str(cached.content.get("spec", cached.path)) for cached in cached_tuning.list_tunings()})
        raise UsageError(f"tune forget needs a model; cached: {', '.join(known) or 'none'}")
    removed = cached_tuning.forget(model, _resolve_or_none(model))
    if not removed:
        raise UsageError(f"nothing is cached for {model}; see: edgecsp tune list")
    for place in removed:
        inform(f"removed {place}", prefix=False)


def list_(
    model: Optional[str] = typer.Argument(None, help="only this model [default: all]"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """List the cached choices and whether they apply here."""
    from ..backends import tuning as cached_tuning

    rows = [cached for cached in cached_tuning.list_tunings() if model in (None, cached.content.get("spec"))]
    entries = [{"path": str(cached.path), "unfit": cached.stale_reason, **cached.content} for cached in rows]
    with _json.JsonOutput(json) as output:
        output.write({"schema": JSON_LIST, "kept": entries})
    if output.is_stdout:
        return
    for cached in rows:
        print(*render.tune.format_cached(cached), sep="\n")
    if not rows:
        inform(f"nothing is cached{f' for {model}' if model else ''}; type: edgecsp tune MODEL", prefix=False)


def _resolve_or_none(spec: str) -> Optional[Model]:
    """Resolve the model to forget, if it still exists: the same file may be cached under another name."""
    from ..zoo import store

    try:
        return store.resolve(spec)
    except EdgecspError:
        return None


def _ranges(model: Model, calib: Optional[List[str]], quiet: bool) -> Optional[Ranges]:
    return quantize.ranges_of(model, calib, None, None, quiet) if calib else None


def _parse_threads(values: Optional[List[str]]) -> Optional[Tuple[int, ...]]:
    """Parse --threads. Raises `UsageError`."""
    words = bench.parse_names(values)
    wrong: Any = [word for word in words or () if not word.isdecimal()]
    if wrong:
        raise UsageError(f"--threads {','.join(words or ())}: must be integers, as in --threads 1,2,4")
    return tuple(int(word) for word in words) if words else None
