"""The command line: parses, prints, exits. Nothing else in the package prints or exits.

One file per command. stdout is data, stderr is for people. Heavy imports are inside the commands, so that
`edgecsp --help` is fast.
"""

from __future__ import annotations

import sys
from typing import NoReturn, Optional

import typer

from .. import __version__
from ..errors import EdgecspError
from . import (
    _completion,
    _config_file,
    _grammar,
    _logging,
    _signals,
    _streams,
    batch,
    bench,
    build,
    data,
    demo,
    doctor,
    engines,
    export,
    import_,
    models,
    quantize,
    run,
    serve,
    train,
    tune,
    up,
    val,
    verify,
)
from ._print import print

app = typer.Typer(
    help="Run CSP object detectors on edge devices.",
    no_args_is_help=True,
    cls=_grammar.CommandGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=_config_file.ConfigCommand)(run.command)
app.command("demo")(demo.command)
app.command("batch")(batch.command)
app.command("batch summary")(batch.summary)
app.command("serve")(serve.command)
app.command("up")(up.command)
app.command("up check")(up.check)
app.command("up schema")(up.schema)
app.command("import")(import_.command)
app.command("bench")(bench.command)
app.command("bench compare")(bench.compare)
app.command("train")(train.command)
app.command("tune")(tune.command)
app.command("tune list")(tune.list_)
app.command("tune forget")(tune.forget)
app.command("export")(export.command)
app.command("build")(build.command)
app.command("quantize")(quantize.command)
app.command("val")(val.command)
app.command("verify")(verify.command)
app.command("engines")(engines.command)
app.command("doctor")(doctor.command)
models.app.command("import")(import_.command)  # alias
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
for _each in (app, models.app, data.app):
    for _info in _each.registered_commands:
        assert _info.callback is not None
        _info.callback = _logging.logged(_info.callback)
        if _info.cls is None or not issubclass(_info.cls, _grammar.Command):
            _info.cls = _grammar.Command


def _version(is_requested: bool) -> None:
    if is_requested:
        print(f"edgecsp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Optional[bool] = typer.Option(
        None, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
    verbose: bool = _logging.VERBOSE,
    quiet: bool = _logging.QUIET,
    log_json: bool = _logging.LOG_JSON,
) -> None:
    from . import _options

    _options.limit_opencv(None)
    _logging.set_up(verbose, quiet, log_json)


def main() -> NoReturn:
    """Run the command line and exit with the command's code (see `edgecsp.errors`)."""
    _completion.prepare()
    _streams.secure()
    _signals.leave_on_signals()
    _logging.configure()
    failed: Optional[EdgecspError] = None
    code: object = 0
    try:
        app(prog_name="edgecsp")
    except SystemExit as ended:
        code = ended.code or 0
    except EdgecspError as error:
        failed, code = error, error.exit_code
    _signals.end_on_signals()
    if _signals.received:
        code = 128 + _signals.received
    if failed is not None and not failed.silent:
        _logging.fail(failed)
    code = _streams.flush(code if isinstance(code, int) else 1)
    if _signals.received:
        _signals.end(code)
    sys.exit(code)
