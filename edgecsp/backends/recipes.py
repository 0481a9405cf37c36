"""Recipes: how plans are built for one board, as TOML files. The bundled ones are in `engines/`.

    recipe = recipes.load("jetson-tx2")          # or the path of a file of one's own

A key that is not known, or a value that cannot be, is an error with its line; a key that is not given has the default
of its field in `Recipe`. The tables ([build], [profile], [dla]) are for the reader alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

from ..cache import files
from ..cache.toml_file import TomlFile
from ..errors import SourceError, UnknownName, UsageError
from ..options.choices import PRECISIONS
from ..options.declaration import describe_mismatch
from ..types import Model

HERE = Path(__file__).resolve().parents[1]
TABLES: Dict[str, Dict[str, str]] = {  # the kind of each key's value
    "": {"board": "text", "compute_capability": "texts", "shared_memory": "flag", "tensorrt": "text"},
    "build": {"precision": "text", "workspace_mb": "whole", "timing_cache": "flag", "tf32": "flag"},
    "profile": {"batch": "whole", "imgsz": "sides"},
    "dla": {"core": "whole", "gpu_fallback": "flag"},
}


@dataclass(frozen=True)
class Recipe:
    """The recipe of a board's plans.

    `compute_capability` are the chips it is for, all when empty; `shared_memory` says that the CPU's memory is the
    GPU's; `tensorrt` is the version whose parser a graph is checked against first, "" for none. `precision` is for
    graphs in float. `workspace_mb` is what a layer may take for itself, in MB; `imgsz` (height, width) another input
    than the model's. `dla_core` is the deep learning accelerator to build for, None for the GPU.
    """

    name: str
    board: str = "a CUDA device"
    compute_capability: Tuple[str, ...] = ()
    shared_memory: bool = False
    tensorrt: str = ""
    precision: str = "fp32"
    workspace_mb: int = 1024
    timing_cache: bool = True
    tf32: bool = False
    batch: int = 1
    imgsz: Optional[Tuple[int, int]] = None
    dla_core: Optional[int] = None
    gpu_fallback: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UnknownName("precision", self.precision, PRECISIONS)
        if not 1 <= self.workspace_mb <= 1 << 20:
            raise UsageError(f"a workspace of {self.workspace_mb} MB: from 1 to {1 << 20}")
        if self.batch < 1:
            raise UsageError(f"a batch of {self.batch}: at least 1")
        if self.imgsz is not None and min(self.imgsz) < 1:
            raise UsageError(f"imgsz {list(self.imgsz)}: [height, width] in pixels")
        if self.dla_core is not None and (self.dla_core < 0 or self.precision == "fp32"):
            raise UsageError('a DLA core is 0 or 1, and works in fp16 or int8: precision = "fp16"')
        if not all(re.fullmatch(r"\d+\.\d", str(chip)) for chip in self.compute_capability):
            raise UsageError(f'compute_capability {list(self.compute_capability)}: strings like "8.7"')


def names() -> Tuple[str, ...]:
    """List the bundled recipes."""
    return tuple(sorted(place.stem for place in _folder().glob("*.toml")))


def load(spec: Union[str, Path]) -> Recipe:
    """Load a bundled recipe by name, or one from a file. Raises `UnknownName`, `SourceError` or `UsageError`."""
    text = str(spec)
    if text in names():
        return _parse(_folder() / f"{text}.toml")
    place = Path(text)
    if place.is_file():
        return _parse(place)
    if place.suffix == ".toml" or len(place.parts) > 1:
        raise SourceError(f"no recipe at {text}{files.suggest_similar(text)}. The bundled ones: {', '.join(names())}")
    raise UnknownName("recipe", text, names())


def for_chip(compute_capability: str) -> Recipe:
    """Load the bundled recipe of a board with this chip, else the one for any CUDA device."""
    shipped = [load(name) for name in names()]
    fit = [recipe for recipe in shipped if compute_capability in recipe.compute_capability]
    return fit[0] if fit else next(recipe for recipe in shipped if not recipe.compute_capability)


def override(recipe: Recipe, *, precision: Optional[str] = None, workspace_mb: Optional[int] = None) -> Recipe:
    """Return the recipe with options of the command line. Raises `UsageError`."""
    changes = {"precision": precision, "workspace_mb": workspace_mb}
    return replace(recipe, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


def fit_model(recipe: Recipe, model: Model) -> Model:
    """Reshape the model to the recipe's size and batch. Raises `UsageError`."""
    from ..graph import onnx_model

    return onnx_model.reshape(model, hw=recipe.imgsz, batch=recipe.batch)


def _folder() -> Path:
    """Locate the bundled recipes: inside an installed package, beside it in a checkout."""
    inside = HERE / "engines"
    return inside if inside.is_dir() else HERE.parent / "engines"


def _parse(place: Path) -> Recipe:
    file = TomlFile(place)
    top = {key: value for key, value in file.document.items() if key not in TABLES}
    values: Dict[str, Any] = {}
    for table, content in {"": top, **{key: file.document[key] for key in file.document if key in TABLES}}.items():
        path = (table,) if table else ()
        if not isinstance(content, dict):
            raise file.error(path, f"must be a table: [{table}]")
        file.require_known(path, content, [*TABLES[table], *filter(None, () if table else TABLES)])
        for key, value in content.items():
            mismatch = describe_mismatch(TABLES[table][key], value)
            if mismatch:
                raise file.error((*path, key), f"{value!r} is invalid: must be {mismatch}")
            value = [value, value] if key == "imgsz" and isinstance(value, int) else value
            values["dla_core" if key == "core" else key] = tuple(value) if isinstance(value, list) else value
    try:
        return Recipe(name=place.stem, **values)
    except UsageError as error:
        raise file.error((), str(error)) from error
