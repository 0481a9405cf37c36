"""What each Python package costs in an image, and why it is in: docker/packages.json and the table of docker/README.md.

    python3 docker/sizes.py hold COLUMN SITE_PACKAGES      # fails where a package of a built image is over its budget
    python3 docker/sizes.py record COLUMN [SITE_PACKAGES]  # writes what was measured; without a folder, pip installs
                                                           # the image's lists for its machine into a temporary one
    python3 docker/sizes.py table                          # write the table of the README

A package's budget is what was recorded, and GROWTH of it, and a megabyte; bytecode does not count. Only the standard
library is used; pip and, for the CPU's image, strip are called.
"""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

HERE = Path(__file__).resolve().parent
PACKAGES, README = HERE / "packages.json", HERE / "README.md"
# column -> the lists of the image, and the machine
COLUMNS = {
    "cpu amd64": (("cpu", "openvino"), "x86_64"),
    "cpu arm64": (("cpu", "openvino"), "aarch64"),
    "tx2": (("tx2",), "aarch64"),
    "jp5": (("jp5",), "aarch64"),
    "orin": (("orin",), "aarch64"),
}
GROWTH = 0.1
SMALL_MB = 2.0  # packages below it in every image share a row
START, END = "<!-- docker/sizes.py writes this -->", "<!-- end -->"


def measure(site_packages: Path) -> Dict[str, float]:
    """A folder of packages -> MB (millions of bytes) by package. Exits for a file of no package."""
    sizes: Dict[str, float] = {}
    counted = set()
    for record in sorted(site_packages.glob("*.dist-info/RECORD")):
        name = re.sub(r"[-_.]+", "-", record.parent.name.rsplit("-", 1)[0].rpartition("-")[0]).lower()
        with record.open(encoding="utf-8", newline="") as file:
            paths = {(site_packages / row[0]).resolve() for row in csv.reader(file) if row}
        paths |= {path for path in record.parent.iterdir() if path.is_file()}
        mine = {path for path in paths if path.is_file() and site_packages.resolve() in path.parents} - counted
        mine = {path for path in mine if path.suffix != ".pyc"}
        counted |= mine
        sizes[name] = sum(path.stat().st_size for path in mine) / 1e6
    strays = {path.resolve() for path in site_packages.rglob("*") if path.is_file() and path.suffix != ".pyc"} - counted
    # pip's --target puts programs and manual pages there, too
    strays = {path for path in strays if path.relative_to(site_packages.resolve()).parts[0] not in ("bin", "share")}
    if strays:
        sys.exit(f"docker/sizes.py: no package says that it has {', '.join(sorted(map(str, strays))[:5])}")
    return sizes


def install(column: str, into: Path) -> None:
    """What an image's lists hold for its machine, installed by pip and made slim as in the image."""
    pin = runpy.run_path(str(HERE / "pin.py"))
    lists, machine = COLUMNS[column]
    listed = pin["LISTS"][lists[0]]
    # pip compares markers with this machine, not with the one that is asked for: the marker is read here.
    lines = [line for name in lists for line in re.split(r"\n(?=\S)", pin["path"](name).read_text("utf-8"))]
    wanted = [
        re.sub(r" ; [^\\]*", " ", line) for line in lines if "platform_machine" not in line or f"'{machine}'" in line
    ]
    requirements = into.parent / "requirements.txt"
    requirements.write_text("\n".join(wanted), "utf-8")
    places = [word for tag in pin["platforms"](machine, listed.glibc) for word in ("--platform", tag)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--no-compile", "--only-binary", ":all:", "--python-version", listed.python, *places,
         "--target", str(into), "--requirement", str(requirements)],
        check=True,
    )  # fmt: skip
    strip = {"x86_64": "strip", "aarch64": "aarch64-linux-gnu-strip"}[machine] if lists[0] == "cpu" else ""
    subprocess.run([str(HERE / "slim"), str(into)], check=True, env={**os.environ, "STRIP": strip})


def hold(column: str, sizes: Dict[str, float]) -> List[str]:
    """What is wrong with an image's packages: no reason, no budget, or more than it."""
    known = json.loads(PACKAGES.read_text("utf-8"))
    wrong = []
    for name, size in sizes.items():
        budget = known.get(name, {}).get("mb", {}).get(column)
        if budget is None:
            wrong.append(f"{name} ({size:.1f} MB) is not in docker/packages.json for {column}: why is it in?")
        elif size > budget * (1 + GROWTH) + 1:
            wrong.append(f"{name} takes {size:.1f} MB; {budget} MB were recorded for {column}")
    return wrong


def record(column: str, sizes: Dict[str, float]) -> None:
    """Write an image's sizes; a package without a reason gets an empty one, which a test refuses."""
    known = json.loads(PACKAGES.read_text("utf-8")) if PACKAGES.exists() else {}
    for entry in known.values():
        entry["mb"].pop(column, None)
    for name, size in sizes.items():
        known.setdefault(name, {"why": "", "mb": {}})["mb"][column] = round(size, 1)
    known = {name: known[name] for name in sorted(known) if known[name]["mb"]}
    PACKAGES.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def table() -> str:
    """The README's table, in Markdown."""
    known = json.loads(PACKAGES.read_text("utf-8"))
    rows = [f"| package | why it is in | {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * len(COLUMNS)]

    def row(name: str, why: str, of: List[str]) -> str:
        sums = [sum(known[each]["mb"].get(column, 0) for each in of) for column in COLUMNS]
        return f"| {name} | {why} | {' | '.join(f'{each:.0f}' if each else '' for each in sums)} |"

    large = [name for name in known if max(known[name]["mb"].values()) >= SMALL_MB]
    large.sort(key=lambda name: -max(known[name]["mb"].values()))
    rows += [row(name, known[name]["why"], [name]) for name in large]
    small = [name for name in known if name not in large]
    rows.append(row(f"{len(small)} of less than {SMALL_MB:.0f} MB", "docker/packages.json has them", small))
    rows.append(row("**all, MB**", "", list(known)))
    return "\n".join(rows)


def write_table() -> None:
    """Put the table in its place."""
    before, _, rest = README.read_text("utf-8").partition(START)
    README.write_text(f"{before}{START}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", "utf-8")


def main(arguments: List[str]) -> None:
    """Do what the first word asks."""
    if arguments == ["table"]:
        return write_table()
    if len(arguments) < 2 or arguments[0] not in ("hold", "record") or arguments[1] not in COLUMNS:
        sys.exit(f"{__doc__}\ncolumns: {', '.join(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(*arguments[2:3]) if arguments[2:] else Path(folder, "packages")
        if not arguments[2:]:
            install(arguments[1], place)
        sizes = measure(place)
    if arguments[0] == "record":
        return record(arguments[1], sizes)
    wrong = hold(arguments[1], sizes)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{arguments[1]}: {len(sizes)} packages within their budgets, {sum(sizes.values()):.0f} MB in all")
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
