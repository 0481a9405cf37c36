"""A folder of darknet cfgs: which are built, and by what name the others are refused.

    python -m support.cfg_folder FOLDER        (in tests/)

Prints a line a file. Public cfgs are not part of this repository: clone darknet and the authors' repositories.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator, NamedTuple

from edgecsp.errors import BadModel
from edgecsp.importers.darknet.cfg import read
from edgecsp.importers.darknet.layers import build


class CfgOutcome(NamedTuple):
    """The fate of a file: its cost and heads, or why it was refused."""

    path: Path
    bflops: float
    floats: int
    heads: str
    refused: str


def outcomes(folder: Path) -> Iterator[CfgOutcome]:
    """Try every cfg of a folder and of those in it."""
    for path in sorted(folder.rglob("*.cfg")):
        try:
            net = build(read(path))[0].net
        except BadModel as error:
            yield CfgOutcome(path, 0.0, 0, "", str(error).replace(f"{path}, ", ""))
            continue
        heads = ", ".join(f"{head.kind} {x.w}x{x.h}x{x.c}" for x, head in net.heads)
        yield CfgOutcome(path, net.bflops, net.floats, heads, "" if heads else "ends in no head: a backbone alone")


def main() -> None:
    folder = Path(sys.argv[1])
    tried = list(outcomes(folder))
    for each in tried:
        name = each.path.relative_to(folder)
        fate = f"refused: {each.refused}" if each.refused else f"{each.bflops:8.3f} BFLOPs, {each.heads}"
        print(f"{name!s:52} {fate}")
    print(f"{sum(not each.refused for each in tried)} of {len(tried)} imported, the others refused by name")


if __name__ == "__main__":
    main()
