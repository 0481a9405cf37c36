"""`edgecsp export`: write a model for another inference server."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from ..errors import UnknownName
from ..options import Options
from . import _options
from ._logging import inform
from ._print import print

FORMATS = ("triton",)


@_options.takes("export")
def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    format: str = typer.Option(..., "--format", "-f", help="triton: a model repository for NVIDIA's Triton server"),
    out: Path = typer.Option(Path("models"), "--out", "-o", help="the repository; other models in it stay"),
    plan: Optional[Path] = typer.Option(None, "--plan", help="a TensorRT plan to use instead of the ONNX file"),
    name: Optional[str] = typer.Option(None, "--model-name", help="name on the server [default: the model's name]"),
    instances: int = typer.Option(1, "--instances", help="number of instances, per GPU or in total"),
    options: Options = _options.GROUP,
) -> None:
    """Write a model for another inference server: Triton's model repository."""
    from ..serve import triton
    from ..zoo import store

    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    resolved = store.resolve(model, options.weights, hw=options.hw)
    for path in triton.save(resolved, out, name=name, plan=plan, instances=instances):
        print(f"wrote {path}")
    served = name or triton.repository_name(resolved)
    inform(f"serve it: tritonserver --model-repository={out.absolute()}  (model {served})", prefix=False)
