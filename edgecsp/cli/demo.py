"""`edgecsp demo`: run `codes` on the video that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import typer
from typer.main import get_command

from ..options.choices import BUNDLED_MODEL
from ._logging import inform

PACKAGE = Path(__file__).parents[1]
NEXT = (
    ("edgecsp run 0 --show", "the codes that your camera sees"),
    ("edgecsp run PHOTO.jpg --json -", "the boxes of an image of yours"),
    ("edgecsp serve", "the same as an HTTP API and a page"),
    ("edgecsp models list", "other models, for COCO's 80 classes too"),
    ("edgecsp doctor", "what would be faster on this machine"),
)


def video() -> Path:
    """Path of the demo video, in the package, else in the checkout."""
    inside = PACKAGE / "codes.mp4"
    return inside if inside.is_file() else PACKAGE.parent / "benchmarks" / "codes.mp4"


def command(
    context: typer.Context,
    out: Optional[Path] = typer.Option(
        None, "--out", "-o", help="annotated copies: a folder, or a .mp4/.jpg/.png file [default: a new runs/N]"
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="no progress, no summary"),
) -> None:
    """Find codes in a short video that comes with the package, offline."""
    from . import make_app

    application: Any = get_command(make_app("run"))
    run = application.commands["run"]
    words = [str(video()), "--model", BUNDLED_MODEL, *(("--out", str(out)) if out else ()), *["--quiet"] * quiet]
    with run.make_context("run", words, parent=context.parent) as inner:
        run.invoke(inner)
    if not quiet:
        inform("try next:", prefix=False)
        for line, what in NEXT:
            inform(f"  {line:32}{what}", prefix=False)
