"""`edgecsp export`: a model in the layout that another server reads."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from ..errors import UnknownName
from . import _options
from ._logging import inform
from ._print import print

FORMATS = ("triton",)


def command(
    model: str = typer.Argument(..., help="a name (edgecsp models list), or an ONNX file"),
    format: str = typer.Option(..., "--format", "-f", help="triton: a model repository for NVIDIA's Triton server"),
    out: Path = typer.Option(Path("models"), "--out", "-o", help="the repository; others' models in it stay"),
    plan: Optional[Path] = typer.Option(None, "--plan", help="a TensorRT plan of it, in the ONNX's place"),
    name: Optional[str] = typer.Option(None, "--name", help="what the server calls it [default: the model's name]"),
    instances: int = typer.Option(1, "--instances", help="how many of it the server opens, on each GPU or in all"),
    weights: Optional[str] = typer.Option(None, "--weights", help="random: what was never trained, for timing"),
    imgsz: Optional[str] = _options.IMGSZ,
) -> None:
    """Write a model for another server: Triton's model repository."""
    from ..serve import triton
    from ..zoo import store

    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    made = store.resolve(model, weights, hw=_options.size(imgsz))
    for path in triton.save(made, out, name=name, plan=plan, instances=instances):
        print(f"wrote {path}")
    served = name or triton.called(made)
    inform(f"serve it: tritonserver --model-repository={out.absolute()}  (model {served})", prefix=False)
