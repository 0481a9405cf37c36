"""The grammar that click lacks: subcommands of commands that also work alone.

`edgecsp tune MODEL` tunes and `edgecsp tune list` lists: the application has a command "tune list", which is looked for
before "tune". A file of a subcommand's name is written ./list or stands behind `--`.
"""

from __future__ import annotations

import os
from typing import Any, List

from typer.core import TyperCommand, TyperGroup

from ..errors import OutputError, UsageError
from . import _completion, _logging, _old_spellings, _yolo_words

EXAMPLES = (
    ("edgecsp demo", "find codes in a short video, offline"),
    ("edgecsp run street.mp4 --out boxes.mp4", "detect in a video, image or camera"),
    ("edgecsp models pull yolov4-tiny", "download a COCO model (80 classes)"),
    ("edgecsp serve", "an HTTP API and a page at port 8080"),
    ("edgecsp train yolov4-tiny --data DIR", "train on labelled images of your own"),
)


class CommandGroup(TyperGroup):
    """The application: finds commands of two words, and those that old spellings mean."""

    def parse_args(self, ctx: Any, args: List[str]) -> List[str]:
        """Parse the options before the command's name. Raises `OutputError` where completion cannot be installed."""
        _completion.check_shell(args)
        try:
            return super().parse_args(ctx, args)
        except OSError as error:
            raise OutputError(f"cannot write {error.filename}: {error.strerror}") from error

    def resolve_command(self, ctx: Any, args: List[str]) -> Any:
        """Find the command that the first one or two words name."""
        _logging.forget_warnings()
        _yolo_words.refuse(args, self.commands)
        args = _old_spellings.rewrite_subcommand(args)
        name = " ".join(args[:2])
        if len(args) > 1 and name in self.commands:
            if os.path.exists(args[1]):
                _logging.warn_later(_describe_conflict(args[0], args[1]))
            args = [name, *args[2:]]
        return super().resolve_command(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the program does, and what to type first."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            formatter.write_dl(EXAMPLES, col_max=40)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete commands of one word and options; the second word is completed as an argument of the first."""
        return [item for item in super().shell_complete(ctx, incomplete) if " " not in item.value]


class Command(TyperCommand):
    """A command: old spellings are rewritten, subcommands listed in its help, values completed."""

    def parse_args(self, ctx: Any, args: List[str]) -> List[str]:
        """Parse the words after the command's name."""
        if ctx.resilient_parsing:  # a completion
            return super().parse_args(ctx, args)
        has_arguments = any(param.param_type_name == "argument" for param in self.params)
        args = _old_spellings.rewrite_options(self.name or "", args, has_arguments=has_arguments)
        words = list(args)
        try:
            rest = super().parse_args(ctx, args)
            self._refuse_late_subcommand(ctx, words)
        except Exception:
            _logging.warn_now()  # they say what an old spelling was read as
            raise
        return rest

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence of the help whole: lists of commands wrap it at words, where click would cut it."""
        return super().get_short_help_str(limit=1000)

    def _refuse_late_subcommand(self, ctx: Any, words: List[str]) -> None:
        """Raise `UsageError` for a subcommand behind options, which click reads as the first argument."""
        for param in [each for each in self.params if each.param_type_name == "argument"][:1]:
            value = ctx.params.get(str(param.name))
            first = str(value[0] if isinstance(value, (list, tuple)) and value else value)
            if first in subcommands(ctx) and first in words and "--" not in words:
                raise UsageError(_describe_conflict(ctx.info_name, first))

    def get_params(self, ctx: Any) -> List[Any]:
        """List the parameters; when words are completed, with what completes their values."""
        params: List[Any] = super().get_params(ctx)
        if ctx.resilient_parsing:
            _completion.attach(params, subcommands(ctx))
        return params

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, and the subcommands that begin with this command's name."""
        super().format_options(ctx, formatter)
        rows = [(name, each.get_short_help_str()) for name, each in subcommands(ctx).items()]
        if rows:
            with formatter.section("Subcommands"):
                formatter.write_dl(rows)


def subcommands(ctx: Any) -> Any:
    """The subcommands of a command that also works alone, by their second word."""
    commands = getattr(ctx.parent.command, "commands", {}) if ctx.parent else {}
    names = [name.split(" ") for name in commands if name.startswith(f"{ctx.info_name} ")]
    return {second: commands[f"{first} {second}"] for first, second in names}


def _describe_conflict(command: str, word: str) -> str:
    return (
        f"{word} is a subcommand: edgecsp {command} {word} ...; for a file or folder of that name, "
        f"type: edgecsp {command} ./{word}"
    )
