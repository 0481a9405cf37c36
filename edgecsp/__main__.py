"""`python -m edgecsp` is `edgecsp`."""

from __future__ import annotations

from typing import NoReturn

from .system import first_signals


def main() -> NoReturn:
    """Run the command line. A signal that comes while it is imported ends it with the signal's code, without a word."""
    first_signals.end_quietly()
    from . import cli

    cli.main()


if __name__ == "__main__":
    main()
