"""Model files: our own ONNX, other exporters' ONNX, darknet's cfg and weights.

model = importers.load("yolov8n.onnx")
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union

from ..cache import files
from ..errors import BadModel, SourceError, UsageError
from ..graph import onnx_model
from ..types import Model

if TYPE_CHECKING:  # at run time only where a file is another exporter's: its families take a start's 30 ms
    from .onnx import ImportOptions, Recognised


def load(path: Union[str, Path], *, hw: Optional[Tuple[int, int]] = None) -> Model:
    """Read an ONNX file: a self-describing one, or another exporter's that is recognised (see `import_foreign`).

    `hw` is another input size, (height, width). Raises `SourceError`, `BadModel`, or `UsageError` for the size.
    """
    path = Path(path)
    model = parse(_read(path), str(path), hw=hw, folder=path.parent)
    return onnx_model.reshape(model, hw=hw)


def parse(
    data: bytes, filename: str = "the model", *, hw: Optional[Tuple[int, int]] = None, folder: Optional[Path] = None
) -> Model:
    """Parse the bytes of an ONNX file; `filename` names it in errors.

    `hw` and `folder` are for another exporter's file: the size where it is free, and where its other files lie.
    """
    proto = onnx_model.read_proto(data, filename)
    own = onnx_model.parse_own(proto, data, filename)
    if own:
        return own
    from .onnx import ImportOptions

    return _import(proto, data, filename, ImportOptions(hw=hw), folder).model


def import_foreign(path: Union[str, Path], options: Optional[ImportOptions] = None) -> Recognised:
    """Recognise another exporter's ONNX file and make its model self-describing. Nothing is written.

    Raises `SourceError`, `BadModel` (unknown, or options are needed), or `UsageError`.
    """
    path = Path(path)
    data = _read(path)
    proto = onnx_model.read_proto(data, str(path))
    if onnx_model.KEY in onnx_model.read_metadata(proto, str(path)):
        raise UsageError(f"{path} describes itself already; type: edgecsp run --model {path} SOURCE")
    from .onnx import ImportOptions

    return _import(proto, data, str(path), options or ImportOptions(), path.parent)


def _import(proto: Any, data: bytes, filename: str, options: ImportOptions, folder: Optional[Path]) -> Recognised:
    from .onnx import recognise

    try:
        recognised = recognise(proto, filename, options, folder=folder)
        origin = {"source": f"ONNX: {Path(filename).name}", "sha256": hashlib.sha256(data).hexdigest()}
        model = replace(recognised.model, origin={**origin, **recognised.model.origin})
        data = onnx_model.serialize(onnx_model.describe_in(proto, model), filename)
        return replace(recognised, model=replace(model, onnx=data))
    except UnicodeError as error:  # protobuf takes names as they come, and finds out when asked for them
        raise BadModel(f"{filename}: a name in it is not text ({error})") from error


def refuse_other_formats(path: Path) -> None:
    """Raise `UsageError` for a darknet file or a PyTorch checkpoint, there or not, with the command that is missing."""
    onnx = path.with_suffix(".onnx")
    if path.suffix.lower() in (".cfg", ".weights"):
        todo = f"edgecsp import {path.with_suffix('.cfg')} {path.with_suffix('.weights')} --names LABELS -o {onnx}"
        raise UsageError(f"{path} is a darknet file, and edgecsp runs ONNX files; type: {todo}; then: --model {onnx}")
    if path.suffix.lower() not in (".pt", ".pth"):
        return
    todo = f"{onnx} is beside it" if onnx.is_file() else f"export it: yolo export model={path} format=onnx"
    raise UsageError(f"{path} is a PyTorch checkpoint, and edgecsp runs ONNX files; {todo}; then: --model {onnx}")


def _read(path: Path) -> bytes:
    refuse_other_formats(path)
    if not path.is_file():
        raise SourceError(f"no model file at {path}{files.suggest_similar(path)}")
    return path.read_bytes()
