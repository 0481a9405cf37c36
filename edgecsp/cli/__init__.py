"""The command line: parses, prints, exits. Nothing else in the package prints or exits.

One file a command. stdout is data, stderr is for people. Everything heavy is imported inside the commands, so
that `edgecsp --help` answers at once.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn, Optional

import typer

from .. import __version__
from ..errors import EdgecspError
from . import (
    _print,
    batch,
    bench,
    build,
    doctor,
    engines,
    export,
    import_,
    models,
    quantize,
    run,
    serve,
    tune,
    up,
    val,
    verify,
)
from ._print import print

app = typer.Typer(
    help="CSP detectors on edge devices: a video goes in, boxes come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.command)
app.command("batch")(batch.command)
app.command("serve")(serve.command)
app.command("up")(up.command)
app.command("import")(import_.command)
app.command("bench")(bench.command)
app.command("tune")(tune.command)
app.command("export")(export.command)
app.command("build")(build.command)
app.command("quantize")(quantize.command)
app.command("val")(val.command)
app.command("verify")(verify.command)
app.command("engines")(engines.command)
app.command("doctor")(doctor.command)
models.app.command("import")(import_.command)  # the same by its other name
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edgecsp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Optional[bool] = typer.Option(
        None, "--version", callback=_version, is_eager=True, help="Say it and exit."
    ),
) -> None:
    _print.log_to_stderr()


def main() -> NoReturn:
    """The `edgecsp` console script. Exit codes: see `edgecsp.errors`; 1 is a bug of ours, 130 and 143 signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        app(prog_name="edgecsp")
    except EdgecspError as error:
        if not error.silent:
            print(f"edgecsp: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _leave(number: int, frame: object) -> NoReturn:
    # SystemExit unwinds the way an error does: what is half-written goes, and no traceback is shown.
    sys.exit(128 + number)
