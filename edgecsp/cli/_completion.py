"""Completion of values in shells: models, engines, devices, precisions, recipes. Typer completes commands and options.

A shell asks by running edgecsp with the variable _EDGECSP_COMPLETE; no command runs then, and nothing is logged.
"""

from __future__ import annotations

import gc
import logging
import os
from contextlib import suppress
from glob import glob
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterable, List, Sequence

from ..errors import EdgecspError, UsageError

VARIABLE = "_EDGECSP_COMPLETE"
OPTIONS = ("--install-completion", "--show-completion")
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def prepare() -> None:
    """Prepare a process that a shell asks for completions: quiet and quick."""
    if VARIABLE not in os.environ:
        return
    gc.disable()
    logging.disable(logging.CRITICAL)
    with suppress(ImportError):
        from typer import _completion_classes

        # Typer imports rich (0.1 s) to remove markup from help texts, which ours do not have.
        _completion_classes._sanitize_help_text = str  # type: ignore[assignment]


def check_shell(words: Iterable[str]) -> None:
    """Raise `UsageError` when completion is to be installed or shown and this shell is not known."""
    if not any(word in OPTIONS for word in words):
        return
    import shellingham  # typer brings it

    try:
        shell = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        shell = "not known"
    if shell not in SHELLS:
        raise UsageError(
            f"completion is for bash, zsh and fish, but this shell is {shell}; to print the script of one of them, "
            f"type: env {VARIABLE}=source_bash edgecsp (or source_zsh, source_fish)"
        )


def attach(params: Sequence[Any], subcommands: Iterable[str]) -> None:
    """Give the parameters of a command what completes their values; its first argument completes subcommands, too."""
    words = list(subcommands)
    for param in params:
        is_argument = param.param_type_name == "argument"
        names = [param.name] if is_argument else param.opts
        complete = next((COMPLETERS[name] for name in names if name in COMPLETERS), None)
        if complete is not None or (is_argument and words):
            param.shell_complete = _completer(param, complete, words if is_argument else [])
        if is_argument:
            words = []


def _completer(param: Any, complete: Any, subcommands: List[str]) -> Callable[[Any, str], List[Any]]:
    def candidates(ctx: Any, incomplete: str) -> List[Any]:
        begun, comma, last = incomplete.rpartition(",") if param.multiple else ("", "", incomplete)
        values: List[str] = []
        if complete is not None:
            with suppress(EdgecspError, OSError):
                values += complete(ctx, last)
        # Where an argument is a path, the shell completes files; a subcommand would hide them.
        if not ctx.params.get(param.name) and (complete is not None or (last and not glob(f"{last}*"))):
            values += subcommands
        return [
            SimpleNamespace(value=f"{begun}{comma}{value}", help=None, type="plain")
            for value in dict.fromkeys(values)
            if value.startswith(last)
        ]

    return candidates


def _models(ctx: Any, incomplete: str) -> List[str]:
    return [*_model_names(ctx, incomplete), *sorted(glob(f"{incomplete}*.onnx"))]


def _model_names(ctx: Any, incomplete: str) -> List[str]:
    if ctx.info_name == "rm":
        from ..zoo.store import index

        return index.list_installed()
    from .. import zoo

    return list(zoo.names())  # a pulled model is one of them


def _engines(ctx: Any, incomplete: str) -> List[str]:
    from ..backends import registry

    return [*registry.names(), "auto"]


def _devices(ctx: Any, incomplete: str) -> List[str]:
    """List the devices of the engine that stands before, else those of all engines of edgecsp itself."""
    from .. import backends
    from ..backends import registry

    engine = ctx.params.get("engine")
    named = [engine] if isinstance(engine, str) else list(engine or ())
    known = [name for name in named if name in registry.names()]
    return ["auto", *(device for name in known or registry.built_in() for device in backends.info(name).devices)]


def _precisions(ctx: Any, incomplete: str) -> List[str]:
    from ..options.choices import REQUESTED_PRECISIONS

    return list(REQUESTED_PRECISIONS)


def _recipes(ctx: Any, incomplete: str) -> List[str]:
    from ..backends import recipes

    return list(recipes.names())


# By option, or by an argument's name.
COMPLETERS: Dict[str, Callable[[Any, str], List[str]]] = {
    "--model": _models,
    "--teacher": _models,
    "model": _models,
    "others": _models,
    "name": _model_names,
    "--engine": _engines,
    "--device": _devices,
    "--precision": _precisions,
    "--recipe": _recipes,
}
