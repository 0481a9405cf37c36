"""`edgecsp export`: write a model as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional

import typer

from ..errors import BadModel, UnknownName, UsageError
from ..options import Options
from . import _options
from ._logging import inform
from ._print import print

if TYPE_CHECKING:
    from ..types import Model


@_options.takes("export")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    format: str = typer.Option(
        ..., "--format", "-f", help="onnx, darknet (cfg and weights), triton (a model repository), openvino or ncnn"
    ),
    out: Path = typer.Option(Path("models"), "--out", "-o", help="the folder; other models in it stay"),
    plan: Optional[Path] = typer.Option(None, "--plan", help="triton: a TensorRT plan to use instead of the ONNX file"),
    name: Optional[str] = typer.Option(None, "--model-name", help="name of the files [default: the model's name]"),
    instances: int = typer.Option(1, "--instances", help="triton: number of instances, per GPU or in total"),
    options: Options = _options.GROUP,
) -> None:
    """Write a model for other programs: as ONNX, darknet's, OpenVINO's or ncnn's files, or for a Triton server."""
    from ..backends import registry
    from ..serve import triton
    from ..zoo import store

    engines = [each for each in registry.names() if registry.find(each).writes_files]
    known = ("darknet", "onnx", "triton", *engines)
    if format not in known:
        raise UnknownName("format", format, known)
    if format != "triton" and (plan is not None or instances != 1):
        raise UsageError("--plan and --instances are for --format triton")
    resolved = store.resolve(model, options.weights, hw=options.hw)
    if format == "triton":
        for path in triton.save(resolved, out, name=name, plan=plan, instances=instances):
            print(f"wrote {path}")
        served = name or triton.repository_name(resolved)
        inform(f"serve it: tritonserver --model-repository={out.absolute()}  (model {served})", prefix=False)
        return
    stem = triton.check_name(name or triton.repository_name(resolved))
    for path in _write(out, stem, _make_files(resolved, model, format), model):
        print(f"wrote {path}")
    height, width = resolved.input.hw
    inform(f"its input: {width}x{height}, resized as {resolved.input.resize}; its outputs are raw heads", prefix=False)


def _make_files(resolved: Model, typed: str, format: str) -> Dict[str, bytes]:
    """The files' bytes by suffix. Raises an `EdgecspError` where the format cannot hold the model."""
    from .. import backends
    from ..backends import registry

    if format == "onnx":
        return {".onnx": resolved.onnx}
    if resolved.second is not None:
        raise BadModel(f"{resolved.name} is a two-stage detector, which only --format onnx can hold")
    if format == "darknet":
        exported = _make_darknet(resolved, typed)
    else:
        backends.require(format)
        exported = registry.find(format).to_files(resolved)
    return {**exported, ".names": "".join(f"{label}\n" for label in resolved.labels).encode()}


def _make_darknet(resolved: Model, typed: str) -> Dict[str, bytes]:
    from io import BytesIO

    from .. import zoo
    from ..graph.export import GraphWeights
    from ..importers.darknet import weights, writing

    if not zoo.has(typed):
        raise UsageError(
            f"{typed} is a file, whose layers darknet's cfg may not have: give a name of edgecsp models list "
            "(edgecsp train writes best.cfg and best.weights beside best.onnx)"
        )
    entry, floats = zoo.get(typed), BytesIO()
    net = entry.net(resolved.input.hw, len(resolved.labels))
    try:
        text = writing.text(net, entry.anchors, f"{entry.title}, exported by edgecsp")
    except BadModel as error:
        raise BadModel(f"{typed} cannot be written for darknet: {error}") from error
    weights.write(floats, tuple(writing.arrays(net, GraphWeights(resolved.onnx))))
    return {".cfg": text.encode(), ".weights": floats.getvalue()}


def _write(folder: Path, stem: str, contents: Dict[str, bytes], source: str) -> List[Path]:
    from ..cache import files

    paths = {folder / f"{stem}{suffix}": data for suffix, data in contents.items()}
    for path in paths:
        files.refuse_sources(path, (source,))
    with files.atomic_group(paths):
        pass
    return list(paths)
