"""`edgecsp quantize`: convert an fp32 model to int8, calibrated on images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

import typer

from ..errors import CalibrationError, UsageError
from ..options import Options
from . import _images, _json, _options, _progress, render
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..bench.accuracy import Data
    from ..bench.ap_budget import Search
    from ..graph.precision import Ranges
    from ..types import Array, Model


AUTO = "auto"
SCHEMA = "edgecsp-quantize/1"
LIMIT_PASSED = 8


@_options.takes("quantize")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file, in fp32"),
    calib: List[str] = typer.Option(
        ..., "--calib", help="at least 100 images: a folder, a glob, a .txt list, a video; or a saved ranges .json"
    ),
    out: Optional[Path] = typer.Option(None, "--out", "-o", help="the file to write [default: MODEL-int8.onnx here]"),
    method: Optional[str] = typer.Option(
        None,
        "--method",
        help="percentile, entropy, minmax, mse or peak; auto: the best on the images, mse where they are close "
        "[default: auto]",
    ),
    equalize: bool = typer.Option(
        True, "--equalize/--no-equalize", help="bring the channels of each map to one range first, where that is exact"
    ),
    data: Optional[Path] = typer.Option(
        None, "--data", "-d", help="labelled images for --max-ap-drop, as for val [default: fp32's boxes]"
    ),
    max_ap_drop: Optional[float] = typer.Option(
        None, "--max-ap-drop", help="keep layers in float until AP and AP50 fall by no more than this, 0..1"
    ),
    keep_heads: bool = typer.Option(
        True, "--keep-heads/--no-keep-heads", help="keep the last convolutions, before the heads, in float"
    ),
    save_ranges: Optional[Path] = typer.Option(None, "--save-ranges", help="save the measured ranges as JSON"),
    options: Options = _options.GROUP,
    json: Optional[str] = _json.OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no table"),
) -> None:
    """Convert a model to int8: one file for onnxruntime, OpenVINO and TensorRT.

    Exits with 8, and writes no model, if --max-ap-drop cannot be kept.
    """
    from ..cache import files
    from ..graph import onnx_model, precision
    from ..zoo import store

    if data is not None and max_ap_drop is None:
        raise UsageError("--data is what --max-ap-drop is measured on; add --max-ap-drop 0.01, or remove it")

    source_model = store.resolve(model, hw=options.hw)
    target = out or Path(f"{source_model.name if not model.endswith('.onnx') else Path(model).stem}-int8.onnx")
    for written in filter(None, (target, save_ranges)):
        files.refuse_sources(written, (model, *calib))
        files.check_target(written)
    precision.check_quantizable(source_model)
    with _json.JsonOutput(json) as output:
        budget = None
        if max_ap_drop is not None:
            budget = _Budget.read(source_model, max_ap_drop, data, calib, options.threads, quiet)
        ranges = ranges_of(
            source_model, calib, method, options.threads, quiet, keep_heads=keep_heads, equalized=equalize
        )
        search = budget.search(source_model, ranges, keep_heads, quiet) if budget else None
        small = None
        if search is None or search.best:
            with _progress.bar(f"converting {source_model.name}", quiet=quiet, unit="wait"):
                in_float = search.best.float_layers if search and search.best else ()
                small = precision.with_float_layers(source_model, ranges, in_float, keep_heads=keep_heads)
        if save_ranges:
            ranges.save(save_ranges)
        if small:
            onnx_model.save(small, target)
        _report(source_model, small, ranges, search, save_ranges, target, quiet, to_stderr=output.is_stdout)
        output.write(_to_dict(source_model, ranges, search, target if small else None))
    if search and not small:
        warn(_describe_refusal(source_model, search))
        raise typer.Exit(LIMIT_PASSED)
    if not quiet:
        inform(f"compare them: edgecsp verify {model} {target} --images FOLDER", prefix=False)


@dataclass(frozen=True)
class _Budget:
    """How far AP may fall, and the images that it is measured on."""

    max_drop: float
    data: Data
    threads: int

    @classmethod
    def read(
        cls, model: Model, max_drop: float, data: Optional[Path], calib: List[str], threads: Optional[int], quiet: bool
    ) -> _Budget:
        """Read the labels, or take the fp32 model's boxes on the calibration images for them, before the long work."""
        from ..bench import accuracy, ap_budget
        from ..system import cpu

        accuracy.require()
        model.require_boxes(f"{model.name} is a classifier; --max-ap-drop is for detectors")
        ap_budget.check_budget(max_drop)
        using = threads or cpu.threads()
        if data is not None:
            return cls(max_drop, ap_budget.read_data(data, model), using)
        paths = _image_paths(calib)
        with _progress.bar("labelling", len(paths), quiet) as progress:
            return cls(max_drop, ap_budget.label_images(model, paths, using, progress), using)

    def search(self, model: Model, ranges: Ranges, keep_heads: bool, quiet: bool) -> Search:
        """Search for the layers to keep in float."""
        from ..bench import ap_budget

        with _progress.bar("", quiet=quiet, unit="steps") as progress:
            return ap_budget.search(
                model, ranges, self.data, self.max_drop, keep_heads=keep_heads, threads=self.threads, progress=progress
            )


def _image_paths(calib: List[str]) -> List[str]:
    """The files of --calib, all of them images. Raises `UsageError`."""
    if not any(word.lower().endswith(".json") for word in calib):
        opened = _images.open_sources(calib)
        if all(source.frames == len(source.paths) for source in opened):
            return [path for source in opened for path in source.paths]
    raise UsageError(f"--calib {' '.join(calib)}: --max-ap-drop without labels needs image files there; or add --data")


def _report(
    model: Model, small: Optional[Model], ranges: Ranges, search: Optional[Search], save_ranges: Optional[Path],
    target: Path, quiet: bool, *, to_stderr: bool,
) -> None:  # fmt: skip
    """Print the summary and the curve."""
    if quiet:
        return
    rows = [f"{key:11} {value}" for key, value in (_summary_rows(model, small, ranges) if small else ())]
    if save_ranges:
        rows.append(f"{'ranges':11} {save_ranges}")
    if small:
        rows.append(f"{'written':11} {target}")
    for line in [*(render.ap_budget.lines(search) if search else ()), *rows]:
        inform(line, prefix=False) if to_stderr else print(line, style="heading" if line.startswith("layers") else "")


def _describe_refusal(model: Model, search: Search) -> str:
    nearest = min(search.points, key=lambda point: point.drop)
    return (
        f"{model.name} in int8 keeps no AP within --max-ap-drop {search.budget:g}: with {len(nearest.float_layers)} of "
        f"{len(search.layers)} layers in float it falls by {nearest.drop:.4f}; with more in float nothing is left of "
        "int8's speed. Nothing was written; calibrate on images like those of --data, allow more, or use fp16 or bf16"
    )


def _to_dict(model: Model, ranges: Ranges, search: Optional[Search], written: Optional[Path]) -> Dict[str, Any]:
    result: Dict[str, Any] = {
        "schema": SCHEMA, "model": model.name, "written": str(written) if written else None, "method": ranges.method,
        "pictures": ranges.images, "tried": ranges.tried, "equalized_maps": len(ranges.scales),
    }  # fmt: skip
    if search:
        result.update(
            max_ap_drop=search.budget, layers=len(search.layers), data=search.data, fp32=search.fp32.to_dict(),
            curve=[point.to_dict() for point in search.points],
            float_layers=list(search.best.float_layers) if search.best else None,
        )  # fmt: skip
    return result


def ranges_of(
    model: Model,
    calib: List[str],
    method: Optional[str],
    threads: Optional[int],
    quiet: bool,
    *,
    keep_heads: bool = True,
    equalized: bool = True,
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
            return precision.measure_ranges(model, batches(), str(method), threads=using, equalized=equalized)
        return precision.choose_ranges(model, batches(), keep_heads=keep_heads, threads=using, equalized=equalized)


def _summary_rows(model: Model, small: Model, ranges: Ranges) -> Iterator[Tuple[str, str]]:
    """Yield the lines of the summary."""
    from ..graph import precision

    before, after = _count_convolutions(model), _count_convolutions(small)
    yield "model", f"{small.name}, {small.input.hw[1]}x{small.input.hw[0]}"
    yield "ranges", f"{ranges.method} of {ranges.images} images, {len(ranges.tensors)} tensors"
    if ranges.scales:
        yield "equalized", f"the channels of {len(ranges.scales)} maps"
    if ranges.tried:
        yield (
            "method",
            f"{ranges.method}, of {precision.format_trials(ranges.tried)} (agreement with fp32, 1 the best)",
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
