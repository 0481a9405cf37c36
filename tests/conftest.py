"""The fixtures and settings of every test. What test files import is in support/."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Iterator, List

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from support import images, web, wheels
from support.effort import EFFORT
from support.engines import require_engine
from support.repository import REPO
from support.tiny import Tiny, make_tiny

# Repeatable: CI must not find today what it missed yesterday. Hunt with EDGECSP_EFFORT=20 (support/effort.py).
settings.register_profile(
    "edgecsp",
    deadline=None,
    derandomize=EFFORT == 1,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("edgecsp")


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # or pytest-xdist begins with the files that have many tests
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun with & in a script: children would ignore it as well
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Files with slow tests first, or the last of them runs alone while the other core has nothing to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What engines keep for the next start is kept for the next test, and not in the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECSP_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for what edgecsp keeps."""
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the TLS servers of the tests show (support/web.py)."""
    return web.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; pytest-xdist's processes share it."""
    own = tmp_path_factory.getbasetemp()
    return wheels.build((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "wheel")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test is parametrized with (indirect), if it runs here."""
    return require_engine(request.param)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real weights and pictures; tests that want it are skipped where it is not."""
    said = os.environ.get("EDGECSP_TEST_DATA")
    folder = Path(said) if said else REPO.parent / "shared"
    folder = folder if folder.is_absolute() else REPO / folder
    if not (folder / "weights").is_dir():
        pytest.skip(f"no test data at {folder}; set EDGECSP_TEST_DATA to the folder that holds weights/ and golden/")
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    """A small image with structure, (61, 83, 3) uint8 BGR."""
    return images.gradient()


class _LogLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log_lines() -> Iterator[List[str]]:
    """The messages that the package logs, INFO and above, in their order."""
    logger, handler = logging.getLogger("edgecsp"), _LogLines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)
