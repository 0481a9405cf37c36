"""The store of pulled models, and the resolution of model names.

store.pull("yolov3-tiny")                      # its authors' weights, checked, made into ONNX
model = store.resolve("yolov3-tiny")           # a name of the zoo, or the path of an ONNX file
model = store.resolve("yolov4", "random")      # for timing alone
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union

from ... import importers, zoo
from ...cache import files, plans
from ...errors import IntegrityError, OutputError, SourceError, UnknownName, UsageError
from ...graph import onnx_model
from ...graph.export import RandomWeights
from ...types import Model
from .index import RANDOM, Record, downloads, home, list_installed, locked, path, record, record_path

if TYPE_CHECKING:
    from ._pull import pull

__all__ = [
    "RANDOM", "Record", "home", "list_installed", "load", "path", "pull", "random", "record", "remove", "resolve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # HTTP, TLS and HTML are slow to import, and who runs a model needs none of them.
    if name != "pull":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._pull import pull

    return pull


def resolve(spec: Union[str, Path], weights: Optional[str] = None, *, hw: Optional[Tuple[int, int]] = None) -> Model:
    """The model that a user means: a name of the zoo, else the path of an ONNX file.

    `weights="random"` takes seeded random weights in place of the pulled ones; `hw` is (height, width) of another
    input than the model's own. Raises an `EdgecspError`.
    """
    text = str(spec)
    if weights not in (None, RANDOM):
        raise UsageError(
            f"weights {weights!r}: only {RANDOM!r} can be given. To use a file: edgecsp models pull NAME --from FILE"
        )
    is_file = Path(text).is_file()
    if zoo.has(text, built_in=is_file):  # a start with a file reads no entry points
        return random(text, hw=hw) if weights else onnx_model.reshape(load(text), hw=hw)
    if is_file:
        if weights:
            raise UsageError(f"{text} has weights of its own; random ones are for the zoo's (edgecsp models list)")
        return importers.load(text, hw=hw)
    importers.refuse_other_formats(Path(text))
    near = difflib.get_close_matches(text.lower(), zoo.names(), n=1, cutoff=0.6)
    guess = f"; did you mean {near[0]}?" if near else files.suggest_similar(text) or "."
    raise SourceError(f"no model is called {text}, and no file is there{guess} The names: edgecsp models list")


def load(name: str) -> Model:
    """Load a pulled model, else the bundled one.

    Raises `SourceError` when it is not here, `IntegrityError` when its file has changed.
    """
    known = record(name)
    if known is None and zoo.get(name).bundled:
        return _load_bundled(name)
    if known is None:
        from ._pull import absent_error

        raise absent_error(name)
    data = files.read(path(name))
    if hashlib.sha256(data).hexdigest() != known.onnx_sha256:
        raise IntegrityError(f"{path(name)} is not as it was written; make it anew: edgecsp models pull {name}")
    return importers.parse(data, str(path(name)))


def _load_bundled(name: str) -> Model:
    """Load the bundled model from a cached graph: building it takes longer than everything else before the engine."""
    facts = {"engine": "box", "name": name, "made_from": zoo.source_digest(name)}
    return onnx_model.read_described(plans.get_or_rebuild(facts, lambda: zoo.load_bundled(name).onnx), name)


def random(name: str, seed: int = 0, *, hw: Optional[Tuple[int, int]] = None) -> Model:
    """A model with seeded random weights, for timing; its `origin` says {"weights": "random"}."""
    return zoo.model(name, RandomWeights(seed), hw)


def remove(name: str) -> None:
    """Take a model away, and what an unfinished `pull` left. Raises `UsageError` when there is nothing."""
    known = {*zoo.names(), *list_installed()}
    if name not in known:
        raise UnknownName("model", name, known)
    left = [record_path(name), path(name), *downloads().glob(f"{name}.weights*")]
    if not any(each.exists() for each in left):
        raise UsageError(f"{name} is not here. What is: {', '.join(list_installed()) or 'nothing'}")
    with locked(name):
        for each in left:
            try:
                each.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {each}: {error.strerror}") from error
