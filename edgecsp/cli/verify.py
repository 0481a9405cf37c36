"""`edgecsp verify`: every engine and precision here against fp32 on onnxruntime."""

from __future__ import annotations

import itertools
import json as json_module
from dataclasses import asdict
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

import typer

from ..errors import EngineUnavailable, SourceError
from . import _options, _pictures, _print
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..bench.verify import VerifyRow
    from ..types import Array

DISAGREE = 8
TOLERANCE = 1e-3  # of a head's largest value: beyond it an fp32 engine computes another network
MOST = 64  # pictures: more say nothing new


def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file, in fp32"),
    others: Optional[List[str]] = typer.Argument(None, help="the same model in int8 or fp16: MODEL-int8.onnx"),
    images: Optional[List[str]] = typer.Option(
        None, "--images", help="images, folders or globs, 64 at most [default: drawn ones]"
    ),
    engine: Optional[List[str]] = typer.Option(None, "--engine", "-e", help="only these [default: all of them]"),
    threads: Optional[int] = _options.THREADS,
    weights: Optional[str] = typer.Option(None, "--weights", help="random: for names alone; its boxes mean nothing"),
    imgsz: Optional[str] = _options.IMGSZ,
    json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Compare every engine and precision with fp32 on onnxruntime.

    Exits with 8 when an fp32 engine disagrees, and with 6 when an engine of --engine did not run.
    """
    from ..bench import verify as verifying
    from ..zoo import store

    hw = _options.size(imgsz)
    made = store.resolve(model, weights, hw=hw)
    graphs = [store.resolve(other, hw=hw) for other in others or ()]
    pictures = _read(images) if images else verifying.synthetic_images()
    rows = []
    asked = _options.words(engine)
    for row in verifying.measure_rows(made, pictures, others=graphs, engines=asked, threads=threads):
        rows.append(row)
        if not json:
            _show(row, first=sum(not each.why for each in rows) == 1)
    wrong = [row for row in rows if row.precision == "fp32" and not row.why and not row.largest <= TOLERANCE]
    if json:
        said = {"model": made.name, "pictures": len(pictures), "drawn": not images, "tolerance": TOLERANCE}
        _print.data(json_module.dumps({**said, "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        real = (
            f"on {len(pictures)} pictures" if images else f"on {len(pictures)} drawn pictures (--images for real ones)"
        )
        inform(f"{made.name} {real}; differences are shares of a head's largest value", prefix=False)
    for row in wrong:
        warn(
            f"{row.engine} on {row.device} in fp32 is off by {row.largest:.2g} of a head's largest value, "
            f"beyond {TOLERANCE:g}: it computes another network"
        )
    lacking = _lacking(rows, asked or ())
    for why, names in _reasons([row for row in rows if row.engine in lacking]).items():
        warn(f"not verified: {', '.join(names)}: {why}")
    if wrong:
        raise typer.Exit(DISAGREE)
    if lacking:
        raise typer.Exit(EngineUnavailable.exit_code)


def _lacking(rows: Sequence[VerifyRow], asked: Sequence[str]) -> List[str]:
    """The engines that were asked for by name and ran nowhere, in nothing."""
    ran = {row.engine for row in rows if not row.why}
    return [name for name in asked if name not in ran]


def _read(given: List[str]) -> List[Array]:
    found = list(itertools.islice(_pictures.images(_pictures.opened(given)), MOST))
    if not found:
        raise SourceError(f"--images {' '.join(given)}: no picture is there")
    return found


def _show(row: VerifyRow, first: bool) -> None:
    if first and not row.why:
        print(f"{'engine':10} {'device':9} {'':5} {'largest':>9} {'mean':>9} {'IoU .99':>9} {'IoU .5':>9} {'ms':>8}")
    if row.why:
        return
    place = f"{row.engine:10} {row.device:9} {row.precision:5}"
    again = f"{f'{row.strict}/{row.boxes}':>9} {f'{row.loose}/{row.boxes}':>9}"
    print(f"{place} {row.largest:9.2g} {row.mean:9.2g} {again} {row.ms:8.2f}")


def _reasons(rows: List[VerifyRow]) -> Dict[str, List[str]]:
    """What did not run, by why: one engine on several devices, in several precisions, is one reason."""
    told: Dict[str, List[str]] = {}
    for row in rows:
        place = f"{row.engine} on {row.device}"
        if row.why and place not in told.setdefault(row.why, []):
            told[row.why].append(place)
    return told
