"""`edgecsp build`: build a TensorRT plan for this board and compare it with onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import typer

from ..errors import BuildFailed, UsageError
from ..options import Options
from . import _images, _json, _options, _progress
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..backends import trt
    from ..backends.recipes import Recipe
    from ..bench.accuracy import Data
    from ..bench.comparison import Comparison
    from ..bench.plan_gate import PlanFigures
    from ..pipeline import Detector
    from ..types import Model

SCHEMA = "edgecsp-build/1"
LIMIT_PASSED = 8


@_options.takes("build")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    recipe: str = typer.Option(
        ..., "--recipe", "-r", help="jetson-tx2, jetson-xavier, jetson-orin, x86-cuda, or a TOML file"
    ),
    options: Options = _options.GROUP,
    workspace: Optional[int] = typer.Option(None, "--workspace", help="workspace limit in MB [default: the recipe's]"),
    images: Optional[List[str]] = typer.Option(None, "--images", help="images to compare on [default: synthetic]"),
    max_ap_drop: Optional[float] = typer.Option(
        None, "--max-ap-drop", help="refuse a plan whose AP or AP50 falls by more on --images, which are labelled"
    ),
    compare_fp16: bool = typer.Option(
        True, "--compare-fp16/--no-compare-fp16", help="build int8 in fp16 as well, and refuse int8 if it is slower"
    ),
    allow_fp32: bool = typer.Option(False, "--allow-fp32", help="build in fp32 if the fp16 plan detects nothing"),
    trust_plan: bool = typer.Option(False, "--trust-plan", help="accept a plan that was not built here, and sign it"),
    check: bool = typer.Option(False, "--check", help="only check whether the board can build it; needs no GPU"),
    json: Optional[str] = _json.OPTION,
) -> None:
    """Build a TensorRT plan for this board and compare it with onnxruntime.

    Exits with 8, and keeps no plan, if the plan is slower than fp16's or loses more AP than allowed.
    """
    from ..backends import recipes
    from ..zoo import store

    target = recipes.override(recipes.load(recipe), workspace_mb=workspace)
    if options.hw:
        target = replace(target, imgsz=options.hw)
    fitted = recipes.fit_model(target, store.resolve(model, options.weights))
    target = _with_precision(target, fitted, options.precision)
    _check(fitted, target)
    if check:
        print(
            f"{fitted.name}: no known obstacle to building it with recipe {target.name} ({target.board}) in "
            f"{target.precision}"
        )
        return
    data = _read_labels(fitted, max_ap_drop, images)
    with _json.JsonOutput(json) as output:
        built = _build(fitted, target, _Limits(images, data, max_ap_drop, compare_fp16, trust_plan, allow_fp32))
        fault = built.figures.find_fault(max_ap_drop)
        output.write(built.to_dict(fitted, fault))
    used = built.recipe
    if fault:
        warn(f"the {used.precision} plan of {fitted.name} is refused: {fault}. No plan was kept")
        raise typer.Exit(LIMIT_PASSED)
    size = f" --imgsz {fitted.input.hw[0]}x{fitted.input.hw[1]}" if target.imgsz else ""
    weights_option = f" --weights {options.weights}" if options.weights else ""
    engine_options = f"--engine trt --device cuda --precision {used.precision}"
    inform(f"run it: edgecsp run SOURCE --model {model}{weights_option}{size} {engine_options}", prefix=False)


def _with_precision(recipe: Recipe, model: Model, requested: Optional[str]) -> Recipe:
    """Set the requested precision; without one, that of the graph unless it is fp32."""
    from ..backends import recipes
    from ..graph import precision

    carried = precision.detect_precision(model)
    return recipes.override(recipe, precision=requested or (carried if carried != "fp32" else None))


def _check(model: Model, recipe: Recipe) -> None:
    """Refuse models that are known not to work on the recipe's board."""
    from ..backends import _trt_plan

    for stage in filter(None, (model, model.second)):
        _trt_plan.check(stage, recipe)


def _read_labels(model: Model, max_ap_drop: Optional[float], images: Optional[List[str]]) -> Optional[Data]:
    """Read the labels of --images, which --max-ap-drop is measured on. Raises `UsageError`."""
    from ..bench import accuracy, ap_budget

    if max_ap_drop is None:
        return None
    ap_budget.check_budget(max_ap_drop)
    accuracy.require()
    model.require_boxes(f"{model.name} is a classifier; --max-ap-drop is for detectors")
    if len(images or ()) != 1:
        raise UsageError("--max-ap-drop is measured on labelled images; add one set of them: --images DATA")
    return ap_budget.read_data(Path((images or [""])[0]), model)


@dataclass(frozen=True)
class _Limits:
    """What a plan is held against, and what is allowed."""

    images: Optional[List[str]]
    data: Optional[Data]
    max_ap_drop: Optional[float]
    compare_fp16: bool
    trust: bool
    allow_fp32: bool


@dataclass(frozen=True)
class _Built:
    """A build's outcome."""

    recipe: Recipe
    sessions: List[trt.TrtSession]
    compared: Comparison
    figures: PlanFigures

    def to_dict(self, model: Model, fault: str) -> Dict[str, Any]:
        """Convert to plain values."""
        compared = {name: getattr(self.compared, name) for name in ("images", "largest", "mean", "boxes", "loose")}
        plans = [
            {
                "path": str(each.plan.path), "bytes": len(each.plan.data), "built": each.plan.is_new,
                "gpu_layers": list(each.plan.notes.get("gpu_layers", [])),
            }
            for each in self.sessions
        ]  # fmt: skip
        return {
            "schema": SCHEMA, "model": model.name, "recipe": self.recipe.name, "board": self.recipe.board,
            "precision": self.recipe.precision, "plans": plans, "compared": compared, **self.figures.to_dict(),
            "refused": fault or None,
        }  # fmt: skip


def _build(model: Model, recipe: Recipe, limits: _Limits) -> _Built:
    """Build, load, compare and report; a refused plan does not stay in the cache."""
    from ..bench import verify
    from .render import comparison

    with _progress.bar(f"building {model.name}", unit="wait"):
        detector, sessions = _open_plans(model, recipe, limits.trust)
    with detector:
        with _progress.bar("comparing", unit="wait"):
            images = [image.path for image in limits.data.images[: _images.MOST]] if limits.data else limits.images
            result = verify.compare_plan(model, detector, _images.read_sample(images), recipe.batch)
        fault = comparison.find_fault(result)
        figures = _measure(model, recipe, limits, detector, sessions, fault)
        _report(recipe, sessions, comparison.format_comparison(result, is_synthetic=not images), figures)
    built = _Built(recipe, sessions, result, figures)
    if fault or figures.find_fault(limits.max_ap_drop):
        for session in sessions:  # must not be used from the cache
            session.forget()
    if not fault:
        return built
    if recipe.precision != "fp16" or not limits.allow_fp32:
        more = "" if recipe.precision != "fp16" else ". To build in fp32 instead: --allow-fp32"
        raise BuildFailed(f"the {recipe.precision} plan of {model.name} does not work: {fault}{more}")
    warn(f"the fp16 plan does not work ({fault}); building it in fp32, as allowed")
    return _build(model, replace(recipe, precision="fp32"), replace(limits, allow_fp32=False))


def _report(recipe: Recipe, sessions: List[trt.TrtSession], compared: str, figures: PlanFigures) -> None:
    for session in sessions:
        how = "just built" if session.plan.is_new else "from the cache"
        print(f"{'plan':10} {session.plan.path} ({len(session.plan.data) / 1e6:.1f} MB, {how})")
        on_gpu = session.plan.notes.get("gpu_layers", [])
        if on_gpu:
            print(f"{'on the GPU':10} {len(on_gpu)} layers that the DLA has not: {', '.join(on_gpu)}")
    print(f"{'recipe':10} {recipe.name} ({recipe.board}), {recipe.precision}")
    print(f"{'compared':10} {compared}")
    if figures.fp16_ms is not None:
        print(f"{'speed':10} {figures.ms:.2f} ms, in fp16 {figures.fp16_ms:.2f} ms")
    if figures.ap is not None:
        print(
            f"{'accuracy':10} AP {figures.ap:.4f}, AP50 {figures.ap50:.4f}; in float {figures.float_ap:.4f}, "
            f"{figures.float_ap50:.4f}"
        )


def _measure(
    model: Model, recipe: Recipe, limits: _Limits, detector: Detector, sessions: List[trt.TrtSession], fault: str
) -> PlanFigures:
    """Measure a plan that works: AP on labelled images, and the speed of int8 just built beside fp16's."""
    from ..bench import plan_gate
    from ..graph import precision

    figures = plan_gate.PlanFigures()
    if fault:
        return figures
    if limits.data:
        with _progress.bar("AP", 2 * len(limits.data.images)) as progress:
            figures = replace(figures, **plan_gate.measure_ap(model, detector, limits.data, progress))
    if recipe.precision == "int8" and limits.compare_fp16 and sessions[0].plan.is_new:
        with _progress.bar("building in fp16, to compare", unit="wait"):
            plain = precision.to_float(model)
            other, (fp16,) = _open_plans(plain, replace(recipe, precision="fp16"), limits.trust)
        with other, _progress.bar("timing", unit="wait"):
            ms, fp16_ms = plan_gate.time_plans(sessions[0], fp16, model, recipe.batch)
            fp16.forget()  # of rounded weights: nobody's model
        figures = replace(figures, ms=ms, fp16_ms=fp16_ms)
    return figures


def _open_plans(model: Model, recipe: Recipe, trust: bool) -> Tuple[Detector, List[trt.TrtSession]]:
    """Open the model on its plans, one per stage, built now or cached."""
    from .. import backends, pipeline

    backends.require("trt")
    from ..backends import trt

    options = backends.SessionOptions("cuda", precision=recipe.precision)
    sessions: List[trt.TrtSession] = []

    def open_stage(stage: Model) -> trt.TrtSession:
        sessions.append(trt.TrtSession(stage, options, recipe=recipe, trust=trust))
        return sessions[-1]

    return pipeline.Detector(model, backends.open_stages(model, open_stage)), sessions
