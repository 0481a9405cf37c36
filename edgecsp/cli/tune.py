"""`edgecsp tune`: what runs a model fastest on this machine, measured, kept, and used by `--engine auto`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import typer

from ..errors import EdgecspError, UsageError
from . import _options, _progress, _signals, bench, quantize
from ._logging import inform, warn
from ._print import print
from .render import tune as _tune_shown

if TYPE_CHECKING:
    from ..graph.precision import Ranges
    from ..types import Model

JSON_LIST = "edgecsp-tuned-list/1"


def command(
    model: Optional[str] = typer.Argument(
        None, help="a name (edgecsp models list), or an ONNX file [default: codes, which comes along]"
    ),
    data: Optional[Path] = typer.Option(
        None, "--data", "-d", help="labelled images, as val reads them: lets int8 in where boxes stay as good"
    ),
    max_ap_drop: Optional[float] = typer.Option(
        None, "--max-ap-drop", help="what another precision may cost of COCO's AP, 0..1 [default: 0.01]"
    ),
    calib: Optional[List[str]] = typer.Option(
        None, "--calib", help="what int8's ranges are measured on, or a saved ranges .json [default: the data]"
    ),
    seconds: float = typer.Option(60.0, "--seconds", help="for speed; ranges and AP are measured before"),
    engine: Optional[List[str]] = typer.Option(None, "--engine", "-e", help="one, several, or all [default: all]"),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, or what else an engine offers [default: all]"),
    precision: Optional[List[str]] = typer.Option(
        None, "--precision", help="fp32, fp16, int8, or several [default: the graph's; with --data int8, too]"
    ),
    threads: Optional[List[str]] = typer.Option(
        None, "--threads", help="one number or several: 1,2,4 [default: a core each, and halves of that]"
    ),
    imgsz: Optional[str] = _options.IMGSZ,
    json: Optional[str] = typer.Option(None, "--json", help="the report as JSON; - for stdout"),
    list_: bool = typer.Option(False, "--list", help="list cached choices and whether they apply here"),
    forget: bool = typer.Option(False, "--forget", help="remove the cached choices of the model"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Find the fastest engine, precision and threads for a model here, and have `--engine auto` use it."""
    from .. import pipeline
    from ..bench import tune
    from ..zoo import store

    if list_ or forget:
        _kept(model, forget, json)
        return
    if data is None and (max_ap_drop is not None or calib):
        raise UsageError("--max-ap-drop and --calib are for other precisions, which take labelled pictures: --data")
    spec = model or pipeline.BUNDLED_MODEL
    tuning = tune.Tuning(
        seconds, device, bench.engines(engine), _tuple(precision), _counts(threads),
        tune.Tuning.max_ap_drop if max_ap_drop is None else max_ap_drop,
    )  # fmt: skip
    made = store.resolve(spec, hw=_options.size(imgsz))
    with bench.written(json, None) as texts:
        with _signals.until_signal() as stop:

            def tick() -> None:
                if stop.is_set():
                    raise tune.BenchStopped

            try:
                ranges = _ranges(made, calib, quiet)
                with _progress.bar("", quiet=quiet, unit="steps") as progress:
                    found = tune.run(
                        made, spec, tuning, data=data, ranges=ranges, progress=progress, tick=tick, command=sys.argv
                    )
            except tune.BenchStopped:
                warn("stopped before its end: nothing is kept")
                raise typer.Exit(128 + stop.signal) from None
        place = found.save()
        if not quiet:
            _tune_shown.report(found.report, to_stderr=json == "-")
        if "json" in texts:
            texts["json"].write(json_module.dumps(found.report, allow_nan=False) + "\n")
            texts["json"].close()
    if not quiet:
        inform(f"kept in {place}: --engine auto uses it; to drop it: edgecsp tune --forget {spec}", prefix=False)


def _kept(model: Optional[str], forget: bool, json: Optional[str]) -> None:
    """Show or remove what is kept."""
    from ..backends import tuning as tuned

    if forget:
        if model is None:
            known = sorted({str(kept.content.get("spec", kept.path)) for kept in tuned.list_tunings()})
            raise UsageError(f"--forget: which model? Kept: {', '.join(known) or 'nothing'}")
        gone = tuned.forget(model, _resolved(model))
        if not gone:
            raise UsageError(f"nothing is kept for {model}; see: edgecsp tune --list")
        for place in gone:
            inform(f"removed {place}", prefix=False)
        return
    rows = [kept for kept in tuned.list_tunings() if model in (None, kept.content.get("spec"))]
    if json is not None:
        said = [{"path": str(kept.path), "unfit": kept.stale_reason, **kept.content} for kept in rows]
        text = json_module.dumps({"schema": JSON_LIST, "kept": said}, indent=2) + "\n"
        with bench.written(json, None) as texts:
            texts["json"].write(text)
            texts["json"].close()
        return
    for kept in rows:
        print(*_tune_shown.kept(kept), sep="\n")
    if not rows:
        inform(f"nothing is kept{f' for {model}' if model else ''}; type: edgecsp tune MODEL", prefix=False)


def _resolved(spec: str) -> Optional[Model]:
    """The model that is to be forgotten, if it is still here: another name may have been tuned for the same file."""
    from ..zoo import store

    try:
        return store.resolve(spec)
    except EdgecspError:
        return None


def _ranges(model: Model, calib: Optional[List[str]], quiet: bool) -> Optional[Ranges]:
    return quantize.ranges_of(model, calib, None, None, quiet) if calib else None


def _tuple(given: Optional[List[str]]) -> Optional[Tuple[str, ...]]:
    words = _options.words(given)
    return tuple(dict.fromkeys(words)) if words else None


def _counts(given: Optional[List[str]]) -> Optional[Tuple[int, ...]]:
    """Numbers of threads. Raises `UsageError`."""
    words = _tuple(given)
    wrong: Any = [word for word in words or () if not word.isdecimal()]
    if wrong:
        raise UsageError(f"--threads {','.join(words or ())}: whole numbers, as in --threads 1,2,4")
    return tuple(int(word) for word in words) if words else None
