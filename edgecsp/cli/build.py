"""`edgecsp build`: build a TensorRT plan for this board and compare it with onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, List, Optional, Tuple

import typer

from ..errors import BuildFailed
from ..options import Options
from . import _images, _options, _progress
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..backends import trt
    from ..backends.recipes import Recipe
    from ..pipeline import Detector
    from ..types import Model


@_options.takes("build")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    recipe: str = typer.Option(..., "--recipe", "-r", help="jetson-tx2, jetson-orin, x86-cuda, or a TOML file"),
    options: Options = _options.GROUP,
    workspace: Optional[int] = typer.Option(None, "--workspace", help="workspace limit in MB [default: the recipe's]"),
    images: Optional[List[str]] = typer.Option(None, "--images", help="images to compare on [default: synthetic]"),
    allow_fp32: bool = typer.Option(False, "--allow-fp32", help="build in fp32 if the fp16 plan detects nothing"),
    trust_plan: bool = typer.Option(False, "--trust-plan", help="accept a plan that was not built here, and sign it"),
    check: bool = typer.Option(False, "--check", help="only check whether the board can build it; needs no GPU"),
) -> None:
    """Build a TensorRT plan for this board and compare it with onnxruntime."""
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
    used = _build(fitted, target, images, trust=trust_plan, allow_fp32=allow_fp32)
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


def _build(model: Model, recipe: Recipe, images: Optional[List[str]], *, trust: bool, allow_fp32: bool) -> Recipe:
    """Build, load, compare and report; return the recipe that was used in the end."""
    from ..bench import verify
    from .render import comparison

    with _progress.bar(f"building {model.name}", unit="wait"):
        detector, sessions = _open_plans(model, recipe, trust)
    with detector, _progress.bar("comparing", unit="wait"):
        result = verify.compare_plan(model, detector, _images.read_sample(images), recipe.batch)
        for session in sessions:
            how = "just built" if session.plan.is_new else "from the cache"
            print(f"{'plan':10} {session.plan.path} ({len(session.plan.data) / 1e6:.1f} MB, {how})")
        print(f"{'recipe':10} {recipe.name} ({recipe.board}), {recipe.precision}")
        print(f"{'compared':10} {comparison.format_comparison(result, is_synthetic=not images)}")
    fault = comparison.find_fault(result)
    if not fault:
        return recipe
    for session in sessions:  # must not be used from the cache
        session.forget()
    if recipe.precision != "fp16" or not allow_fp32:
        more = "" if recipe.precision != "fp16" else ". To build in fp32 instead: --allow-fp32"
        raise BuildFailed(f"the {recipe.precision} plan of {model.name} does not work: {fault}{more}")
    warn(f"the fp16 plan does not work ({fault}); building it in fp32, as allowed")
    return _build(model, replace(recipe, precision="fp32"), images, trust=trust, allow_fp32=False)


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
