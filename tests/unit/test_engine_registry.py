"""The registry of engines: entry points are read late, and one that is broken is a row with its reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

from edgecsp import backends
from edgecsp.backends import EngineInfo, registry
from edgecsp.errors import EngineUnavailable, UnknownName
from support import packages
from support.repository import REPO
from support.tiny import Tiny

GOOD = """
from edgecsp.backends import EngineInfo, Session
class Toy(Session):
    info = EngineInfo("toy", "a toy.", requires=(), devices=("abacus", "cpu"), extra="fast", auto_rank={rank})
    def run(self, batch): return []
    def close(self): pass
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package of one module that adds an engine."""

    def write(code: str, value: str = "Toy", name: str = "toy", package: str = "edgecsp-toy") -> None:
        packages.install(tmp_path, monkeypatch, code, {"edgecsp.engines": {name: value}}, package)

    yield write
    packages.forget()


def test_a_built_in_name_reads_no_entry_points() -> None:
    code = "from edgecsp import backends; read = backends.registry.entry_points.read.cache_info\n"
    code += "backends.choose('ort'); backends.choose(); print(read().misses); backends.names(); print(read().misses)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=120)
    assert done.stdout.split() == ["0", "1"], done.stderr


def test_an_engine_of_another_package(install: Install, tiny: Tiny) -> None:
    install(GOOD.format(rank=None))
    assert "toy" in backends.names() and "toy" not in registry.built_in()
    assert backends.info("toy").devices == ("abacus", "cpu") and registry.distribution("toy") == ("edgecsp-toy", "0.1")
    assert type(backends.open(tiny.model, "toy")).__name__ == "Toy"
    with pytest.raises(EngineUnavailable, match="device 'abacus'"):
        backends.choose(device="abacus")  # it has no rank


def test_auto_takes_one_of_another_package_where_no_built_in_runs(install: Install) -> None:
    install(GOOD.format(rank=0))
    assert backends.choose().engine in registry.built_in()
    assert backends.choose(device="abacus") == ("toy", "abacus", "it runs here")


def test_what_it_needs_is_an_extra_of_its_own_package(install: Install) -> None:
    install(GOOD.format(rank=None).replace("requires=()", 'requires=("nosuchpackage",)'))
    assert str(backends.unavailable_reason("toy")).endswith("type: pip install 'edgecsp-toy[fast]'")


def test_a_built_in_engine_cannot_be_replaced(install: Install) -> None:
    install(GOOD.format(rank=None).replace('"toy"', '"ort"'), name="ort")
    assert backends.info("ort").requires == ("onnxruntime",) and backends.names().count("ort") == 1


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        ("1 / 0", "Toy", r"of edgecsp-toy 0\.1 cannot be loaded \(ZeroDivisionError: division by zero\)"),
        ("import nosuchpackage", "Toy", r"cannot be loaded \(ModuleNotFoundError: No module named 'nosuchpackage'\)"),
        ("", "Toy", r"cannot be loaded \(AttributeError: .*Toy"),
        ("Toy = 3", "Toy", r"edgecsp_toy:Toy of edgecsp-toy 0\.1 is no class derived from edgecsp.backends.Session"),
        (GOOD.format(rank=None).replace("def run", "def walk"), "Toy", "with run and close"),
        (GOOD.format(rank=None).replace('"toy"', '"top"'), "Toy", "must be an EngineInfo named 'toy'"),
        (GOOD.format(rank=None).replace("info =", "about ="), "Toy", "must be an EngineInfo named 'toy'"),
        (GOOD.format(rank=None).replace("devices=(", "precisions=('fp8',), devices=("), "Toy", "has precision 'fp8'"),
    ],
)
def test_a_broken_one_is_unavailable_with_its_reason(
    code: str, value: str, reason: str, install: Install, tiny: Tiny
) -> None:
    install(code, value)
    assert "toy" in backends.names() and set(registry.built_in()) < set(backends.names())
    with pytest.raises(EngineUnavailable, match=f"engine 'toy' .*{reason}"):
        backends.open(tiny.model, "toy")
    assert backends.choose().engine in registry.built_in()


def test_two_packages_with_one_name(install: Install) -> None:
    install(GOOD.format(rank=None))
    install(GOOD.format(rank=None), package="other-toy")
    reason = str(backends.unavailable_reason("toy"))
    assert "is added by several packages, " in reason and "edgecsp-toy" in reason and "other-toy" in reason


def test_modules_that_are_no_engines_have_no_name() -> None:
    for name in ("base", "registry", "recipes", "tuning", "_two_stage", "__init__"):
        with pytest.raises(UnknownName):
            registry.find(name)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"devices": ()}, "needs a name, a summary, devices and precisions"),
        ({"devices": "cpu"}, "devices of engine 'x' is 'cpu'; it must be a tuple of strings"),
        ({"precisions": ("fp8",)}, "has precision 'fp8'; known are fp32, fp16, bf16, int8"),
        ({"concurrent_devices": ("cuda",)}, "has no device 'cuda', which concurrent_devices lists"),
    ],
)
def test_an_info_that_cannot_be_says_why(odd: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineInfo(**{"name": "x", "summary": "x.", "requires": (), "devices": ("cpu",), **odd})
