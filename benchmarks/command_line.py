"""Command lines of the benchmarks: an option is its default, or its default and what it means.

    args = parser(__doc__, model="codes", rounds=(5, "how often"), json=Path, out=False, seconds=[0.0]).parse_args()

A type stands for an option without a default, False for a flag, a list for several values.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Optional


def parser(description: Optional[str], **options: Any) -> argparse.ArgumentParser:
    """Make the parser of a benchmark, which shows its docstring for --help."""
    spec = sys.modules["__main__"].__spec__
    name = f"python -m {spec.name}".replace(".__main__", "") if spec else None
    shape = argparse.RawDescriptionHelpFormatter
    return add_options(argparse.ArgumentParser(name, description=description, formatter_class=shape), **options)


def add_options(to: argparse.ArgumentParser, **options: Any) -> argparse.ArgumentParser:
    """Add options to a parser, or to that of a subcommand."""
    for name, declared in options.items():
        value, words = declared if isinstance(declared, tuple) else (declared, None)
        how = {"type": value} if isinstance(value, type) else {"type": type(value), "default": value}
        if isinstance(value, list):
            how = {"type": type(value[0]), "default": value, "nargs": "+"}
        elif value is False:
            how = {"action": "store_true"}
        to.add_argument(f"--{name.replace('_', '-')}", help=words, **how)
    return to
