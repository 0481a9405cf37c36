"""`edgecsp verify`: compare every engine and precision with fp32 on onnxruntime."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import typer

from ..errors import EngineUnavailable
from ..options import Options
from . import _images, _json, _options, _progress
from ._logging import inform, warn
from ._print import print

Row = Dict[str, Any]
DISAGREE = 8
TOLERANCE = 1e-3  # relative to a head's largest value, for fp32 engines


@_options.takes("verify")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file, in fp32"),
    others: Optional[List[str]] = typer.Argument(None, help="the same model in int8 or fp16: MODEL-int8.onnx"),
    images: Optional[List[str]] = typer.Option(
        None, "--images", help="images, folders or globs, at most 64 [default: synthetic]"
    ),
    engine: Optional[List[str]] = _options.several("engine", "only these engines [default: all]"),
    options: Options = _options.GROUP,
    json: Optional[str] = _json.OPTION,
) -> None:
    """Compare every engine and precision with fp32 on onnxruntime.

    Exits with 8 if an fp32 engine disagrees, and with 6 if an engine of --engine did not run.
    """
    from ..bench import verify as verification
    from ..zoo import store

    reference = store.resolve(model, options.weights, hw=options.hw)
    graphs = [store.resolve(other, hw=options.hw) for other in others or ()]
    inputs = _images.read_sample(images)
    rows: List[Row] = []
    requested = _options.split_engines(engine)
    threads = options.threads
    with _json.JsonOutput(json) as output, _progress.bar(f"comparing {reference.name}", unit="wait"):
        for result in verification.measure_rows(reference, inputs, others=graphs, engines=requested, threads=threads):
            rows.append(verification.result_to_dict(result))
            if not output.is_stdout:
                _show(rows[-1], first=sum(not each["why"] for each in rows) == 1)
        header = {"model": reference.name, "pictures": len(inputs), "drawn": not images, "tolerance": TOLERANCE}
        output.write({**header, "rows": rows})
    wrong = [row for row in rows if row["precision"] == "fp32" and not row["why"] and not row["largest"] <= TOLERANCE]
    if not output.is_stdout:
        real = f"on {len(inputs)} images" if images else f"on {len(inputs)} synthetic images (--images for real ones)"
        inform(f"{reference.name} {real}; differences are relative to a head's largest value", prefix=False)
    for row in wrong:
        warn(
            f"{row['engine']} on {row['device']} in fp32 is off by {row['largest']:.2g} of a head's largest value, "
            f"above the tolerance {TOLERANCE:g}"
        )
    lacking = _missing_engines(rows, requested or ())
    for why, names in _group_by_reason([row for row in rows if row["engine"] in lacking]).items():
        warn(f"not verified: {', '.join(names)}: {why}")
    if wrong:
        raise typer.Exit(DISAGREE)
    if lacking:
        raise typer.Exit(EngineUnavailable.exit_code)


def _missing_engines(rows: Sequence[Row], requested: Sequence[str]) -> List[str]:
    """Return the requested engines that did not run at all."""
    ran = {row["engine"] for row in rows if not row["why"]}
    return [name for name in requested if name not in ran]


def _show(row: Row, first: bool) -> None:
    if first and not row["why"]:
        heads = f"{'largest':>9} {'mean':>9} {'IoU .99':>9} {'IoU .5':>9} {'ms':>8}"
        print(f"{'engine':10} {'device':9} {'':5} {heads}", style="heading")
    if row["why"]:
        return
    place = f"{row['engine']:10} {row['device']:9} {row['precision']:5}"
    strict, loose = (f"{row[key]}/{row['boxes']}" for key in ("strict", "loose"))
    print(f"{place} {row['largest']:9.2g} {row['mean']:9.2g} {strict:>9} {loose:>9} {row['ms']:8.2f}")


def _group_by_reason(rows: List[Row]) -> Dict[str, List[str]]:
    """Group the rows that did not run by reason."""
    places_by_reason: Dict[str, List[str]] = {}
    for row in rows:
        place = f"{row['engine']} on {row['device']}"
        if row["why"] and place not in places_by_reason.setdefault(row["why"], []):
            places_by_reason[row["why"]].append(place)
    return places_by_reason
