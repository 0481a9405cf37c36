"""Signals while the command line is imported: they end it with the signal's code, without a traceback.

Only for the process of the command `edgecsp` or `python -m edgecsp`: a program that imports the package keeps its
handlers. What comes before the first line here, in Python's own start, is Python's to answer.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what `signal` wraps in enums, whose import takes as long as all that is here
import os
import sys


def is_command() -> bool:
    """Whether this process was started as `edgecsp` or `python -m edgecsp` (before Python 3.10: the former alone)."""
    script = (getattr(sys, "argv", None) or [""])[0]
    words = getattr(sys, "orig_argv", [])
    is_module = script == "-m" and ("-m", "edgecsp") in zip(words, words[1:])
    return is_module or os.path.splitext(os.path.basename(script))[0] == "edgecsp"


def end_quietly() -> None:
    """End at the first signal: nothing is begun, so there is nothing to finish."""
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    os._exit(128 + number)


if is_command():
    end_quietly()
