"""The command line: parses, prints, exits. Nothing else in the package prints or exits.

One file per command. stdout is data, stderr is for people. Heavy imports are inside the commands, so that
`edgecsp --help` is fast.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, NoReturn, Optional, Sequence

import typer

from .. import __version__
from ..errors import EdgecspError
from . import _completion, _grammar, _logging, _signals, _streams
from ._print import print

COMMANDS = (  # name, file, function
    ("run", "run", "command"),
    ("demo", "demo", "command"),
    ("batch", "batch", "command"),
    ("batch summary", "batch", "summary"),
    ("serve", "serve", "command"),
    ("up", "up", "command"),
    ("up check", "up", "check"),
    ("up schema", "up", "schema"),
    ("import", "import_", "command"),
    ("bench", "bench", "command"),
    ("bench compare", "bench", "compare"),
    ("train", "train", "command"),
    ("tune", "tune", "command"),
    ("tune list", "tune", "list_"),
    ("tune forget", "tune", "forget"),
    ("export", "export", "command"),
    ("build", "build", "command"),
    ("quantize", "quantize", "command"),
    ("val", "val", "command"),
    ("verify", "verify", "command"),
    ("engines", "engines", "command"),
    ("doctor", "doctor", "command"),
)
GROUPS = ("models", "data")


def make_app(first: Optional[str] = None) -> typer.Typer:
    """Make the application; where a command begins with the word `first`, with those commands alone.

    Importing the files of all commands takes longer than the rest of a start before the detector.
    """
    application = typer.Typer(
        help="Run CSP object detectors on edge devices.",
        no_args_is_help=True,
        cls=_grammar.CommandGroup,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_root)
    known = {name.split(" ")[0] for name, _, _ in COMMANDS} | set(GROUPS)
    for name, file, function in COMMANDS:
        if first not in known or name.split(" ")[0] == first:
            module = _file(file)
            command_class = getattr(module, "COMMAND_CLASS", _grammar.Command)
            application.command(name, cls=command_class)(_logging.logged(getattr(module, function)))
    for name in GROUPS:
        if first not in known or name == first:
            application.add_typer(_group(name), name=name)
    return application


def _first_word(words: Sequence[str]) -> Optional[str]:
    """The first word that is no option; None also where `_yolo_words` has an answer, which may name other commands."""
    plain = [word for word in words if not word.startswith("-")]
    return plain[0] if plain and not any("=" in word for word in plain) else None


def _file(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


@functools.lru_cache(maxsize=None)
def _group(name: str) -> typer.Typer:
    group: typer.Typer = _file(name).app
    for info in group.registered_commands:
        assert info.callback is not None
        info.callback, info.cls = _logging.logged(info.callback), _grammar.Command
    return group


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = make_app()
    return globals()[name]


def _version(is_requested: bool) -> None:
    if is_requested:
        print(f"edgecsp {__version__}")
        raise typer.Exit


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
    failed: Optional[EdgecspError] = None
    code: object = 0
    try:
        _signals.leave_on_signals()
        _logging.configure()
        try:
            make_app(_first_word(sys.argv[1:]))(prog_name="edgecsp")
        except SystemExit as ended:
            code = ended.code or 0
        except EdgecspError as error:
            failed, code = error, error.exit_code
        _signals.end_on_signals()
    except SystemExit:  # a signal before or behind the command: Python's own end would leave the next to the system
        _signals.end_on_signals()
    if _signals.received:
        code = 128 + _signals.received
    if failed is not None and not failed.silent:
        _logging.fail(failed)
    code = _streams.flush(code if isinstance(code, int) else 1)
    if _signals.received:
        _signals.end(code)
    sys.exit(code)
