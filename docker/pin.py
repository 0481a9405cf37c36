"""Write docker/requirements-*.txt: every package of an image, its version, and the digests of its files.

    python docker/pin.py [NAME ...]     # a list's name: see LISTS; all of them when none is given

pip resolves each list with the image's own Python (pythonX.Y on the PATH, or pyenv's) for the newest glibc that the
image has, once a machine; what the first machine got binds the others, so that an image is the same everywhere.
What is asked for is pyproject.toml's `dependencies` and its extras `serve` and `batch`, with OpenCV's wheel that brings
no windows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Set, Tuple

HERE = Path(__file__).resolve().parent
PYPROJECT = HERE.parent / "pyproject.toml"
OWN = "dependencies of pyproject.toml"
SERVE, BATCH = "serve of pyproject.toml", "batch of pyproject.toml"
Pins = Dict[Tuple[str, str], Dict[str, Set[str]]]  # (name, version) -> machine -> digests


@dataclass(frozen=True)
class Listed:
    """A list of requirements: what is asked for, on which Python, for which machines, and under which glibc 2.x.

    `source` are packages that have no wheel and are built in the image; what they need is then `asked` for by name,
    because pip would build them to learn it. `under` is the list that is installed first; its versions are kept.
    `alone` are packages for Arm whose own requirements are left out, because only parts that edgecsp does not import
    need them; lists are installed with pip's --no-deps.
    """

    python: str
    glibc: int
    asked: Tuple[str, ...]
    machines: Tuple[str, ...] = ("aarch64", "x86_64")
    source: Tuple[str, ...] = ()
    under: str = ""
    alone: Tuple[str, ...] = ()


# Newer typers bring pydantic, which nothing here uses.
TYPER = "typer<0.21"
FULL = (OWN, SERVE, BATCH)
# Its models to download want requests and tqdm; the engine wants neither.
NCNN = ("ncnn",)
# x86_64 in the Jetsons' lists is for the checks on a PC: docker/check-build and tests/docker.
LISTS: Dict[str, Listed] = {
    "tools": Listed("3.8", 27, ("pip", "hatchling", "setuptools", "wheel", "pybind11==2.6.2")),
    "cpu": Listed("3.11", 36, (*FULL, TYPER), alone=NCNN),
    "openvino": Listed("3.11", 36, ("openvino",), machines=("x86_64",), under="cpu"),
    "tx2": Listed("3.8", 27, FULL, alone=NCNN),
    "tx2-cuda": Listed("3.8", 27, ("pytools", "mako", "appdirs"), source=("pycuda==2022.2.2",), under="tx2"),
    "jp5": Listed("3.8", 31, FULL, alone=NCNN),
    "jp5-cuda": Listed("3.8", 31, ("pytools", "mako", "appdirs"), source=("pycuda==2022.2.2",), under="jp5"),
    "orin": Listed("3.10", 35, (*FULL, TYPER), alone=NCNN),
    "orin-cuda": Listed("3.10", 35, ("pytools", "mako"), source=("pycuda==2024.1.2",), under="orin"),
}


def path(name: str) -> Path:
    """Where a list lies."""
    return HERE / f"requirements-{name}.txt"


def platforms(machine: str, glibc: int) -> List[str]:
    """The tags of wheels that a machine with glibc 2.`glibc` runs, as pip wants them."""
    return [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)] + [f"manylinux2014_{machine}"]


def declared(key: str) -> List[str]:
    """The requirements of `dependencies`, or of an extra, in pyproject.toml."""
    found = re.search(rf"^{key} = \[(.*?)\]$", PYPROJECT.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, f"pyproject.toml has no {key}"
    return re.findall(r'"(.*?)"', found[1])


def asked(wanted: Listed) -> List[str]:
    """The requirements of a list; the package's own are read from pyproject.toml."""
    keys = {OWN: "dependencies", SERVE: "serve", BATCH: "batch"}
    lines = [line for word in wanted.asked for line in (declared(keys[word]) if word in keys else [word])]
    return [re.sub(r"^opencv-python(?!-)", "opencv-python-headless", line) for line in lines]


def interpreter(version: str) -> str:
    """A Python of this version; exits where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))):
        try:
            said = subprocess.run([candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
                                  capture_output=True, text=True, check=False).stdout.strip()  # fmt: skip
        except OSError:
            continue
        if said == version:
            return candidate
    sys.exit(f"docker/pin.py: no Python {version} here; with pyenv: pyenv install {version}")


def resolve(wanted: Listed, machine: str, bound: List[str], *words: str) -> List[Tuple[str, str, str]]:
    """What pip would install of `words` for one machine: (name, version, digest); `bound` are constraints."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraints, packages = Path(folder, "report"), Path(folder, "constraints"), Path(folder, "packages")
        constraints.write_text("\n".join(bound), "utf-8")
        places = [word for tag in platforms(machine, wanted.glibc) for word in ("--platform", tag)]
        subprocess.run(
            [interpreter(wanted.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run",
             "--ignore-installed", "--report", str(report), "--target", str(packages), "--constraint", str(constraints),
             "--only-binary", ":all:", *places, *words],
            check=True,
        )  # fmt: skip
        found = json.loads(report.read_text("utf-8"))["install"]
    return [
        (
            re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in found
    ]


def offered(package: str) -> Dict[str, str]:
    """The files that the registry has of a package: name -> sha256."""
    from pip._internal.models.index import PyPI  # pip's own word for where that is

    index = os.environ.get("PIP_INDEX_URL", PyPI.simple_url).rstrip("/")
    with urllib.request.urlopen(f"{index}/{package}/", timeout=120) as page:
        return dict(re.findall(r'/([^/"#]+)#sha256=([0-9a-f]{64})"', page.read().decode("utf-8")))


def pinned(wanted: Listed) -> Pins:
    """Every machine's packages, one version each."""
    pins: Pins = {}
    for each in wanted.source:
        name, _, version = each.partition("==")
        digest = offered(name)[f"{name}-{version}.tar.gz"]
        pins[(name, version)] = {machine: {digest} for machine in wanted.machines}
    bound = [f"{name}=={version}" for name, version in (read(wanted.under) if wanted.under else {}).items()]
    for machine in wanted.machines:
        found = resolve(wanted, machine, bound, *asked(wanted))
        if wanted.alone and machine == "aarch64":
            found += resolve(wanted, machine, bound, "--no-deps", *wanted.alone)
        for name, version, digest in found:
            pins.setdefault((name, version), {}).setdefault(machine, set()).add(digest)
        bound += [f"{name}=={version}" for name, version in pins]
    return pins


def read(name: str) -> Dict[str, str]:
    """The versions in a list that is written already, by package."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", path(name).read_text("utf-8"), re.MULTILINE))


def write(name: str) -> None:
    """Resolve a list and write it; a package that not every machine has carries a marker."""
    wanted = LISTS[name]
    below = read(wanted.under) if wanted.under else {}
    words = ", ".join((*wanted.source, *wanted.asked, *wanted.alone))
    lines = [
        f"# Written by docker/pin.py: {words};",
        f"# Python {wanted.python}, glibc 2.{wanted.glibc} at most, {' and '.join(wanted.machines)}"
        + (f"; goes on top of requirements-{wanted.under}.txt" if below else ""),
    ]
    found = {pin: machines for pin, machines in sorted(pinned(wanted).items()) if pin[0] not in below}
    for (package, version), machines in found.items():
        only = " or ".join(f"platform_machine == '{machine}'" for machine in sorted(machines))
        marker = f" ; {only}" if set(machines) != {"aarch64", "x86_64"} else ""
        digests = [f"--hash=sha256:{digest}" for digest in sorted(set().union(*machines.values()))]
        lines.append(" \\\n    ".join([f"{package}=={version}{marker}", *digests]))
    path(name).write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{path(name).name}: {len(found)} packages")


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(LISTS)
    if unknown:
        sys.exit(f"docker/pin.py: no list is called {', '.join(sorted(unknown))}; known: {', '.join(LISTS)}")
    for each in sys.argv[1:] or LISTS:
        write(each)
