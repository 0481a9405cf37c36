"""`python -m edgecsp` is `edgecsp`."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def _end(number: int, frame: object) -> NoReturn:
    os._exit(128 + number)


def main() -> NoReturn:
    """Run the command line. A signal that comes while it is imported ends it with the signal's code, without a word."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # nothing is begun: there is nothing to finish
    from . import cli

    cli.main()


if __name__ == "__main__":
    main()
