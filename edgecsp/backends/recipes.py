"""Recipes: how plans are built for one board, as TOML files. The bundled ones are in `engines/`.

    recipe = recipes.load("jetson-tx2")          # or the path of a file of one's own

A key that is not known, or a value that cannot be, is an error that says so; a key that is not given has the
default of its field in `Recipe`. The tables ([build], [profile], [dla]) are for the reader alone.
"""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

from ..cache import files
from ..errors import SourceError, UnknownName, UsageError
from ..options.choices import PRECISIONS
from ..types import Model

HERE = Path(__file__).resolve().parents[1]
TABLES: Dict[str, Tuple[str, ...]] = {
    "": ("board", "compute_capability", "shared_memory", "tensorrt"),
    "build": ("precision", "workspace_mb", "timing_cache", "tf32"),
    "profile": ("batch", "imgsz"),
    "dla": ("core", "gpu_fallback"),
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
        if not all(re.fullmatch(r"\d+\.\d", chip) for chip in self.compute_capability):
            raise UsageError(f'compute_capability {list(self.compute_capability)}: strings like "8.7"')


def names() -> Tuple[str, ...]:
    """List the bundled recipes."""
    return tuple(sorted(place.stem for place in _folder().glob("*.toml")))


def load(spec: Union[str, Path]) -> Recipe:
    """Load a bundled recipe by name, or one from a file. Raises `UnknownName`, `SourceError` or `UsageError`."""
    text = str(spec)
    if text in names():
        return _parse(_folder() / f"{text}.toml", text)
    place = Path(text)
    if place.is_file():
        return _parse(place, text)
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


def _parse(place: Path, label: str) -> Recipe:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content = toml.loads(place.read_text("utf-8"))
    except OSError as error:
        raise SourceError(f"cannot read {place}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"recipe {label} is not TOML: {error}") from error
    values: Dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            if key not in TABLES:
                raise UsageError(f"recipe {label}: {_unknown('table', key, [table for table in TABLES if table])}")
            values.update({_field(label, key, name): inner for name, inner in value.items()})
        else:
            values[_field(label, "", key)] = value
    try:
        return Recipe(name=place.stem, **{name: _convert(name, value) for name, value in values.items()})
    except UsageError as error:
        raise UsageError(f"recipe {label}: {error}") from error


def _field(label: str, table: str, key: str) -> str:
    """Return the field of `Recipe` for a key of a table."""
    if key not in TABLES[table]:
        where = f" in [{table}]" if table else ""
        raise UsageError(f"recipe {label}{where}: {_unknown('key', key, TABLES[table])}")
    return "dla_core" if (table, key) == ("dla", "core") else key


def _unknown(kind: str, name: str, known: Any) -> str:
    return str(UnknownName(kind, name, known))


def _convert(name: str, value: Any) -> Any:
    """Convert a TOML value to its field's type; lists become tuples."""
    kind = {each.name: str(each.type) for each in fields(Recipe)}[name]
    kinds = [type(each) for each in value] if isinstance(value, list) else []
    fit, expected = {
        "bool": (type(value) is bool, "true or false"),
        "int": (type(value) is int, "an integer"),
        "Optional[int]": (type(value) is int, "an integer"),
        "str": (type(value) is str, "a string"),
        "Tuple[str, ...]": (isinstance(value, list) and set(kinds) <= {str}, "a list of strings"),
        "Optional[Tuple[int, int]]": (kinds == [int, int], "[height, width]"),
    }[kind]
    if not fit:
        raise UsageError(f"{name} = {value!r}: {expected} is expected")
    return tuple(value) if isinstance(value, list) else value
