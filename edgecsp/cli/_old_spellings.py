"""Old spellings of options and subcommands: they work with a warning until 0.3, which deletes this file."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from . import _logging

# Options that hid a subcommand: `edgecsp tune --list` is `edgecsp tune list`.
SUBCOMMANDS: Dict[str, Tuple[str, ...]] = {
    "tune": ("--forget", "--list"),
    "batch": ("--summary",),
    "up": ("--schema", "--check"),
}
# Options by command, with the names that they have now.
OPTIONS: Dict[str, Dict[str, str]] = {
    "batch summary": {"--check": "--verify"},
    "check": {"--images": "--image-dir"},
    "export": {"--name": "--model-name"},
    "import": {"--classes": "--num-classes"},
    "val": {"--images": "--image-dir"},
}
# Commands in which --json was a flag.
JSON_FLAGS = ("batch", "batch summary", "doctor", "engines", "import", "list", "show", "verify")


def warn(old: str, new: str) -> None:
    """Warn, once logging is configured, that a spelling will go, and say what to type."""
    _logging.warn_later(f"{old} is deprecated and will be removed in edgecsp 0.3; type: {new}")


def rewrite_subcommand(words: List[str]) -> List[str]:
    """Rewrite the words of a command line whose option hides a subcommand; others stay as they are."""
    command = words[0] if words else ""
    for option in SUBCOMMANDS.get(command, ()):
        for i in _options_before_arguments(words):
            name, equals, value = words[i].partition("=")
            if name == option:
                warn(f"edgecsp {command} {option}", f"edgecsp {command} {option[2:]}")
                return [command, option[2:], *words[1:i], *([value] if equals else []), *words[i + 1 :]]
    return words


def rewrite_options(command: str, words: Sequence[str], *, has_arguments: bool) -> List[str]:
    """Rewrite the old options of a command (its own name, without its group's)."""
    rewritten = list(words)
    renamed = OPTIONS.get(command, {})
    for i in _options_before_arguments(words):
        name, equals, value = words[i].partition("=")
        if name in renamed:
            warn(name, renamed[name])
            rewritten[i] = f"{renamed[name]}{equals}{value}"
    if command in JSON_FLAGS:
        _fill_in_json(rewritten, has_arguments)
    return rewritten


def _fill_in_json(words: List[str], has_arguments: bool) -> None:
    """Make `--json` without a file `--json -`.

    In a command with arguments, a word behind it that is not named like a JSON file is one of them.
    """
    for i in reversed(_options_before_arguments(words)):
        if words[i] != "--json":
            continue
        following = words[i + 1 : i + 2]
        if not following or (following[0].startswith("-") and following[0] != "-"):
            warn("--json without a file", "--json - (for stdout), or --json FILE.json")
        elif has_arguments and following[0] != "-" and not following[0].lower().endswith(".json"):
            word = following[0]
            warn(
                f"--json takes a file now, but {word!r} was read as an argument after --json alone, which",
                f"--json - {word}; to write JSON to a file of that name: --json={word}",
            )
        else:
            continue
        words.insert(i + 1, "-")


def _options_before_arguments(words: Sequence[str]) -> List[int]:
    """Positions of the words that may be options: those before "--"."""
    return list(range(words.index("--") if "--" in words else len(words)))
