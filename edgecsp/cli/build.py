"""`edgecsp build`: a model in, a plan for this board out, held against onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, List, Optional, Tuple

import typer

from ..errors import BuildFailed
from . import _options
from ._logging import inform, warn
from ._print import print

if TYPE_CHECKING:
    from ..backends import trt
    from ..backends.recipes import Recipe
    from ..pipeline import Detector
    from ..types import Model


def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    recipe: str = typer.Option(..., "--recipe", "-r", help="jetson-tx2, jetson-orin, x86-cuda, or a TOML file"),
    weights: Optional[str] = typer.Option(
        None, "--weights", help="random: what was never trained, for timing; for names alone"
    ),
    imgsz: Optional[str] = _options.IMGSZ,
    precision: Optional[str] = typer.Option(None, "--precision", help="fp32, fp16 or int8 [default: the recipe's]"),
    workspace: Optional[int] = typer.Option(None, "--workspace", help="MB a layer may take [default: the recipe's]"),
    images: Optional[List[str]] = typer.Option(None, "--images", help="images to compare on [default: drawn ones]"),
    allow_fp32: bool = typer.Option(False, "--allow-fp32", help="build in fp32 when fp16 finds nothing"),
    trust_plan: bool = typer.Option(False, "--trust-plan", help="take a plan that was not built here, and sign it"),
    check: bool = typer.Option(False, "--check", help="only say whether the board could build it; no GPU is needed"),
) -> None:
    """Build a TensorRT plan for this board and compare it with onnxruntime."""
    from ..backends import recipes
    from ..zoo import store

    said = recipes.override(recipes.load(recipe), workspace_mb=workspace)
    if imgsz:
        said = replace(said, imgsz=_options.size(imgsz))
    made = recipes.fit_model(said, store.resolve(model, weights))
    said = _in_precision(said, made, precision)
    _checked(made, said)
    if check:
        print(
            f"{made.name}: nothing known keeps recipe {said.name} ({said.board}) from building it in {said.precision}"
        )
        return
    used = _built(made, said, images, trust=trust_plan, allow_fp32=allow_fp32)
    size = f" --imgsz {made.input.hw[0]}x{made.input.hw[1]}" if said.imgsz else ""
    given = f" --weights {weights}" if weights else ""
    options = f"--engine trt --device cuda --precision {used.precision}"
    inform(f"run it: edgecsp run SOURCE --model {model}{given}{size} {options}", prefix=False)


def _in_precision(recipe: Recipe, model: Model, asked: Optional[str]) -> Recipe:
    """The recipe in the precision asked for; without one, in the graph's own if that is no float32."""
    from ..backends import recipes
    from ..graph import precision

    carried = precision.detect_precision(model)
    return recipes.override(recipe, precision=asked or (carried if carried != "fp32" else None))


def _checked(model: Model, recipe: Recipe) -> None:
    """Refuse what is known not to work on the recipe's board, on any machine."""
    from ..backends import _trt_plan

    for stage in filter(None, (model, model.second)):
        _trt_plan.check(stage, recipe)


def _built(model: Model, recipe: Recipe, images: Optional[List[str]], *, trust: bool, allow_fp32: bool) -> Recipe:
    """Build, load, compare and report; the recipe that it was done by in the end."""
    from .render import comparison

    detector, sessions = _opened(model, recipe, trust)
    with detector:
        found = comparison.compare(model, detector, images, recipe.batch)
        for session in sessions:
            how = "just built" if session.plan.is_new else "from the cache"
            print(f"{'plan':10} {session.plan.path} ({len(session.plan.data) / 1e6:.1f} MB, {how})")
        print(f"{'recipe':10} {recipe.name} ({recipe.board}), {recipe.precision}")
        print(f"{'compared':10} {found}")
    if found.works:
        return recipe
    for session in sessions:  # nobody should find it in the cache and run it
        session.forget()
    if recipe.precision != "fp16" or not allow_fp32:
        more = "" if recipe.precision != "fp16" else ". To have it in fp32 then: --allow-fp32"
        raise BuildFailed(f"the {recipe.precision} plan of {model.name} does not work: {found.why}{more}")
    warn(f"the fp16 plan does not work ({found.why}); building it in fp32, as allowed")
    return _built(model, replace(recipe, precision="fp32"), images, trust=trust, allow_fp32=False)


def _opened(model: Model, recipe: Recipe, trust: bool) -> Tuple[Detector, List[trt.Session]]:
    """The model on its plans, one a stage: built here or found."""
    from .. import backends, pipeline
    from ..processing import two_stage

    backends.require("trt")
    from ..backends import trt

    sessions: List[trt.Session] = []

    def opened(stage: Model) -> trt.Session:
        sessions.append(trt.Session(stage, "cuda", 1, recipe.precision, recipe=recipe, trust=trust))
        return sessions[-1]

    session = opened(model) if model.second is None else two_stage.open_stages(model, opened)
    return pipeline.Detector(model, session), sessions
