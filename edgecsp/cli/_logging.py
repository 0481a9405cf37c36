"""Logging of the command line: the package's log on stderr, as text or JSON.

    configure(verbose=True)             # every command does, from -v, -q and --log-json
    inform("wrote boxes.json", prefix=False)
    warn("2 images could not be read")

Messages of commands go through `inform`, `warn` and `fail`, so that -q and --log-json apply to them.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

import typer

from ..system.redaction import RedactionFilter
from ..system.text import printable
from ._print import print

ROOT = logging.getLogger("edgecsp")
LOG = logging.getLogger(__package__)
BARE = "edgecsp.train."  # training lines form a table: no prefix
VERBOSE = typer.Option(False, "--verbose", "-v", help="log more, to stderr")
QUIET = typer.Option(False, "--quiet", "-q", help="log warnings and errors only")
LOG_JSON = typer.Option(False, "--log-json", help="log as JSON: one object per line, on stderr")
OPTIONS = {"verbose": VERBOSE, "quiet": QUIET, "log_json": LOG_JSON}


class StderrHandler(logging.Handler):
    """Writes records to the current `sys.stderr`."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(RedactionFilter())
        self.last_s = time.monotonic()  # time of the last line

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.last_s = time.monotonic()
        style = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else ""
        for line in self.lines(record):
            self.write(line, style)

    def write(self, line: str, style: str) -> None:
        """Write a line of a record."""
        print(line, file=sys.stderr, flush=True, style=style)

    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        """Format a record as lines; further lines are indented, so that they cannot look like records."""
        first, *more = record.getMessage().splitlines() or [""]
        is_bare = record.name.startswith(BARE) or not getattr(record, "prefix", True)
        yield first if is_bare else f"edgecsp: {first}"
        for line in [*more, *(record.exc_text or "").splitlines()]:
            yield line if line.startswith("    ") else f"    {line}"


class JsonHandler(StderrHandler):
    """Writes records as JSON, one object per line."""

    def write(self, line: str, style: str) -> None:
        """Write a record as it is: a program reads it."""
        print(line, file=sys.stderr, flush=True, is_wrapped=False)

    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        """Format a record as one line of JSON."""
        entry: Dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
        }
        if record.exc_text:
            entry["exception"] = record.exc_text
        yield json.dumps(entry)


def configure(*, verbose: bool = False, quiet: bool = False, log_json: bool = False) -> None:
    """Write the package's log to stderr, replacing an earlier configuration."""
    ROOT.handlers[:] = [JsonHandler() if log_json else StderrHandler()]
    ROOT.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def inform(text: object, *, prefix: bool = True) -> None:
    """Print a line for people to stderr; -q hides it."""
    LOG.info("%s", printable(text), extra={"prefix": prefix})


def inform_written(paths: Sequence[Path], most: int = 8) -> None:
    """Print a line for each of the first files that were written, and how many more there are."""
    for path in paths[:most]:
        inform(f"wrote {path}", prefix=False)
    if len(paths) > most:
        inform(f"  and {len(paths) - most} more", prefix=False)


def warn(text: object) -> None:
    """Print a line to stderr that -q does not hide."""
    LOG.warning("%s", printable(text))


_INDENT = "\n  "  # an indented line cannot pass for one of the log's own
_later: List[str] = []


def warn_later(text: str) -> None:
    """Warn when the command's options have configured logging: the words of a command line are still being read."""
    _later.append(text)


def warn_now() -> None:
    """Print the warnings that waited."""
    while _later:
        warn(_later.pop(0))


def forget_warnings() -> None:
    """Drop warnings that waited in vain, of an earlier command line in this process."""
    _later.clear()


def fail(error: BaseException) -> None:
    """Print the error that ended the command, and where the documents say more; indented lines of it stay lines."""
    docs = getattr(error, "docs", "")
    lines = [*str(error).split(_INDENT), *([f"docs: troubleshooting#{docs}"] if docs else [])]
    LOG.error("%s", _INDENT.join(map(printable, lines)))


def is_json() -> bool:
    """Whether the log on stderr is JSON."""
    return any(isinstance(handler, JsonHandler) for handler in ROOT.handlers)


def is_watched() -> bool:
    """Whether progress bars on stderr are visible."""
    return sys.stderr.isatty() and not is_json() and ROOT.isEnabledFor(logging.INFO)


def silent_s() -> float:
    """Return the seconds since the last log line."""
    return time.monotonic() - max((getattr(handler, "last_s", 0.0) for handler in ROOT.handlers), default=0.0)


_before: Dict[str, bool] = {}  # options given before the command's name


def set_up(verbose: bool, quiet: bool, log_json: bool) -> None:
    """Store the options given before the command's name, and configure logging."""
    _before.update(verbose=verbose, quiet=quiet, log_json=log_json)
    configure(**_before)


def logged(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add -v, -q and --log-json to a command; a --quiet of its own applies to the log as well.

    Typer reads the options from the signature.
    """
    signature = inspect.signature(command)
    added = [name for name in OPTIONS if name not in signature.parameters]

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        enabled = {name: values.get(name) or _before.get(name, False) for name in OPTIONS}
        configure(**enabled)
        warn_now()
        for name in added:
            del values[name]
        if "quiet" in values:
            values["quiet"] = enabled["quiet"]
        return command(**values)

    options = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=OPTIONS[n], annotation=bool) for n in added]
    parameters = [*signature.parameters.values(), *options]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {**command.__annotations__, **dict.fromkeys(added, bool)}
    return wrapper
