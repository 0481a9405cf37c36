"""Build a plan from a model and a recipe: checks, the cache key, and the child process that builds it."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, Optional

from ..cache import plans
from ..errors import BuildFailed, EngineUnavailable, UsageError
from ..graph import precision
from ..system import isolation, memory, versions
from ..types import Model
from . import _trt_build, _trt_chip, _trt_gate, recipes
from ._trt_chip import Chip
from .recipes import Recipe

LOG = logging.getLogger(__name__)
OPTIONS = ("precision", "workspace_mb", "tf32", "dla_core", "gpu_fallback")  # of a recipe: what the plan depends on


def choose_recipe(model: Model, precision: str, chip: Chip) -> Recipe:
    """Choose a session's recipe: that of the newest plan, else the bundled one for the device.

    `edgecsp build` may have used a recipe file or another workspace; `edgecsp run` uses the plan that it built.
    """
    recipe = replace(recipes.for_chip(chip.compute_capability), precision=precision)
    here = plan_facts(model, recipe, chip)
    for plan in plans.list_facts("trt"):
        options = plan.get("options")
        same = {**plan, "options": None} == {**here, "options": None}
        if same and isinstance(options, dict) and options.keys() == set(OPTIONS) and options["precision"] == precision:
            with suppress(TypeError, UsageError):  # somebody's edit, of which `plans.get_or_build` would say more
                return replace(recipe, **options)
    return recipe


def check(model: Model, recipe: Recipe, chip: Optional[Chip] = None) -> None:
    """Check a model and a recipe without TensorRT, also on another machine than the board.

    Raises `UsageError`, `EngineUnavailable` or `BuildFailed`.
    """
    chips, carried = recipe.compute_capability, precision.detect_precision(model)
    if chip is not None and chips and chip.compute_capability not in chips:
        raise EngineUnavailable(
            f"recipe {recipe.name} is for {recipe.board} (compute capability {', '.join(chips)}); here is {chip.name} "
            f"({chip.compute_capability}), and a plan runs on no other chip than the one it was built on. "
            f"For this one: --recipe {recipes.for_chip(chip.compute_capability).name}"
        )
    if recipe.precision == "int8":
        target = [chip.compute_capability] if chip else list(chips)
        if target and all(each in _trt_chip.WITHOUT_INT8 for each in target):
            name = chip.name if chip else recipe.board
            raise EngineUnavailable(
                f"{name} (compute capability {target[0]}) has no int8 arithmetic; build the float model in fp16"
            )
        if carried != "int8":
            raise UsageError(f"{model.name} is {carried}; make it int8 first: edgecsp quantize MODEL --calib IMAGES")
    elif carried not in ("fp32", recipe.precision):
        raise UsageError(f"{model.name} is {carried} and cannot be built in {recipe.precision}")
    if recipe.tensorrt:
        _trt_gate.check(model, recipe.tensorrt)


def plan_facts(model: Model, recipe: Recipe, chip: Chip) -> Dict[str, Any]:
    """Return all facts that determine a plan, as its cache key."""
    import tensorrt as trt

    return {
        "engine": "trt",
        "engine_version": trt.__version__,
        "edgecsp": versions.own(),  # what the builder is told, and how a graph is halved, is our code
        "cuda": chip.cuda,
        "device": {"name": chip.name, "compute_capability": chip.compute_capability},
        "model": {"name": model.name, "sha256": hashlib.sha256(model.onnx).hexdigest()},
        "options": options(recipe),
    }


def options(recipe: Recipe) -> Dict[str, Any]:
    """Return the fields of a recipe that determine a plan."""
    fields = asdict(recipe)
    return {name: fields[name] for name in OPTIONS}


def obtain(model: Model, recipe: Recipe, chip: Chip, *, trust: bool = False) -> plans.Plan:
    """Return the plan of a model, building it unless it is cached.

    Raises `IntegrityError`, `BuildFailed`, `EngineUnavailable`, `UsageError` or `OutputError`.
    """
    check(model, recipe, chip)

    notes: Dict[str, Any] = {}

    def build() -> bytes:
        return _build(model, recipe, chip, notes)

    return plans.get_or_build(plan_facts(model, recipe, chip), build, trust=trust, notes=notes)


def _build(model: Model, recipe: Recipe, chip: Chip, notes: Dict[str, Any]) -> bytes:
    is_int8 = precision.detect_precision(model) == "int8"
    float_layers = precision.list_float_convolutions(model) if is_int8 else []
    steps: Dict[str, float] = {}
    if is_int8 and recipe.dla_core is not None:  # it reads no QuantizeLinear
        steps, model = precision.list_steps(model), precision.to_float(model)
    strict = _trt_build.strongly_typed() and recipe.precision == "fp16" and precision.detect_precision(model) == "fp32"
    graph = precision.to_fp16(model).onnx if strict else model.onnx
    preflight(recipe, len(graph))
    LOG.info("building a TensorRT plan of %s for %s in %s, once", model.name, chip.name, recipe.precision)
    with tempfile.TemporaryDirectory(prefix="edgecsp-") as folder:
        onnx, plan = Path(folder) / "graph.onnx", Path(folder) / "plan"
        onnx.write_bytes(graph)
        done = isolation.call(
            f"{_trt_build.__name__}:{_trt_build.serve.__name__}",
            {
                "onnx": str(onnx),
                "plan": str(plan),
                "name": model.name,
                "options": options(recipe),
                "timing": str(_timing_cache_path(chip)) if recipe.timing_cache else "",
                "steps": steps,
                "float_layers": float_layers,
            },
            doing=f"building the TensorRT plan of {model.name}",
            hint=_memory_hint(recipe),
        )
        notes["gpu_layers"] = done["gpu_layers"]
        return plan.read_bytes()


def preflight(recipe: Recipe, graph_bytes: int) -> None:
    """Refuse a build that the kernel would kill. Raises `BuildFailed`.

    What is wanted is the least it can be: the graph as it was read, as the parser keeps it and as the plan holds it;
    and the workspace, where the GPU has no memory of its own.
    """
    free = memory.free()
    needed = 3 * graph_bytes + ((recipe.workspace_mb << 20) if recipe.shared_memory else 0)
    if free is not None and needed > free.available + free.swap:
        raise BuildFailed(
            f"recipe {recipe.name} needs {needed >> 20} MB at least, {recipe.workspace_mb} MB of it as workspace, and "
            f"{free}: the kernel would kill the build half way. {_memory_hint(recipe)}",
            docs="out-of-memory",
        )


def _memory_hint(recipe: Recipe) -> str:
    half = max(64, recipe.workspace_mb // 2)
    return f"Close other programs, add swap, or take a smaller workspace: edgecsp build ... --workspace {half}"


def _timing_cache_path(chip: Chip) -> Path:
    """Return the path of the timing cache for a TensorRT version on a chip."""
    import tensorrt as trt

    name = "".join(letter if letter.isalnum() else "-" for letter in chip.name)
    return plans.folder() / f"trt-{trt.__version__}-{chip.compute_capability}-{name}.timing"
