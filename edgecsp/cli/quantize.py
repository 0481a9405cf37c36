"""`edgecsp quantize`: convert an fp32 model to int8, calibrated on images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Tuple

import typer

from ..errors import CalibrationError, UsageError
from ..options import Options
from . import _images, _options, _progress
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..graph.precision import Ranges
    from ..types import Array, Model


AUTO = "auto"


@_options.takes("quantize")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file, in fp32"),
    calib: List[str] = typer.Option(
        ..., "--calib", help="at least 100 images: a folder, a glob, a .txt list, a video; or a saved ranges .json"
    ),
    out: Optional[Path] = typer.Option(None, "--out", "-o", help="the file to write [default: MODEL-int8.onnx here]"),
    method: Optional[str] = typer.Option(
        None, "--method", help="percentile, entropy or minmax; auto: the best of them on the images [default: auto]"
    ),
    keep_heads: bool = typer.Option(
        True, "--keep-heads/--no-keep-heads", help="keep the last convolutions, before the heads, in float"
    ),
    save_ranges: Optional[Path] = typer.Option(None, "--save-ranges", help="save the measured ranges as JSON"),
    options: Options = _options.GROUP,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Convert a model to int8: one file for onnxruntime, OpenVINO and TensorRT."""
    from ..cache import files
    from ..graph import onnx_model, precision
    from ..zoo import store

    source_model = store.resolve(model, hw=options.hw)
    target = out or Path(f"{source_model.name if not model.endswith('.onnx') else Path(model).stem}-int8.onnx")
    for written in filter(None, (target, save_ranges)):
        files.refuse_sources(written, (model, *calib))
    precision.check_quantizable(source_model)
    ranges = ranges_of(source_model, calib, method, options.threads, quiet, keep_heads=keep_heads)
    with _progress.bar(f"converting {source_model.name}", quiet=quiet, unit="wait"):
        small = precision.with_ranges(source_model, ranges, keep_heads=keep_heads)
    if save_ranges:
        ranges.save(save_ranges)
    onnx_model.save(small, target)
    if not quiet:
        for key, value in _summary_rows(source_model, small, ranges):
            print(f"{key:11} {value}")
        if save_ranges:
            print(f"{'ranges':11} {save_ranges}")
        print(f"{'written':11} {target}")
        inform(f"compare them: edgecsp verify {model} {target} --images FOLDER", prefix=False)


def ranges_of(
    model: Model,
    calib: List[str],
    method: Optional[str],
    threads: Optional[int],
    quiet: bool,
    *,
    keep_heads: bool = True,
) -> Ranges:
    """Measure ranges on images, or load saved ones."""
    from ..graph import precision
    from ..processing import preprocess
    from ..system import cpu

    if len(calib) == 1 and calib[0].lower().endswith(".json"):
        ranges = precision.load(calib[0])
        if method not in (None, AUTO, ranges.method):
            raise UsageError(f"--method {method}: {calib[0]} was measured with {ranges.method}; remove the option")
        ranges.check(model)
        return ranges
    opened = _images.open_sources(calib)
    expected = [source.frames for source in opened]
    if None not in expected and sum(filter(None, expected)) < precision.MIN_IMAGES:
        raise CalibrationError(
            f"--calib {' '.join(calib)}: {sum(filter(None, expected))} images, but ranges need at "
            f"least {precision.MIN_IMAGES}; add images like those the model will be used on"
        )
    total = None if None in expected else sum(filter(None, expected))
    with _progress.bar("measuring", total, quiet) as progress:

        def batches() -> Iterator[Array]:
            for image in _images.read_images(opened):
                yield preprocess.prepare(image, model.input)[0]
                progress.advance()

        using = threads or cpu.threads()
        if method not in (None, AUTO):
            return precision.measure_ranges(model, batches(), str(method), threads=using)
        return precision.choose_ranges(model, batches(), keep_heads=keep_heads, threads=using)


def _summary_rows(model: Model, small: Model, ranges: Ranges) -> Iterator[Tuple[str, str]]:
    """Yield the lines of the summary."""
    from ..graph import precision

    before, after = _count_convolutions(model), _count_convolutions(small)
    yield "model", f"{small.name}, {small.input.hw[1]}x{small.input.hw[0]}"
    yield "ranges", f"{ranges.method} of {ranges.images} images, {len(ranges.tensors)} tensors"
    if ranges.tried:
        yield (
            "method",
            f"{ranges.method}, the best of {precision.format_trials(ranges.tried)} (agreement with fp32, 1 the best)",
        )
    yield "int8", f"{after['int8']} of {before['fp32']} convolutions, {after['fp32']} stay in float"
    sizes = len(model.onnx), len(small.onnx)
    yield "size", f"{sizes[0] / 1e6:.2f} MB -> {sizes[1] / 1e6:.2f} MB ({sizes[0] / sizes[1]:.1f} times smaller)"


def _count_convolutions(model: Model) -> Dict[str, int]:
    """Count the convolutions in fp32 and in int8."""
    from ..graph.onnx_model import parse_graph

    graph = parse_graph(model).graph
    back = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    kinds = ["int8" if node.input[1] in back else "fp32" for node in graph.node if node.op_type == "Conv"]
    return {kind: kinds.count(kind) for kind in ("fp32", "int8")}
