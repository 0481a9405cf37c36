"""What every test shares: one tiny CSP net, the place of the real data, and quiet, repeatable hypothesis."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np
import oracle
import pytest
from effort import EFFORT
from hypothesis import HealthCheck, settings

from edgecsp import backends
from edgecsp.types import Model

REPO = Path(__file__).resolve().parents[1]

# Repeatable: CI must not find today what it missed yesterday. Hunt with EDGECSP_EFFORT=20 (see effort.py).
settings.register_profile(
    "edgecsp",
    deadline=None,
    derandomize=EFFORT == 1,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("edgecsp")

# Everything a CSP detector has, in 15 layers: a split by groups, a partial transition, a PRN shortcut of different
# widths, an upsample, a two-size maxpool pair and two yolo heads.
TINY_CFG = """\
[net]
width=64
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=mish

[route]
layers=-1
groups=2
group_id=1

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[route]
layers=-1,-2

[convolutional]
batch_normalize=1
filters=16
size=1
stride=1
pad=1
activation=leaky

[route]
layers=1,-1

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=1

[convolutional]
batch_normalize=1
filters=24
size=1
activation=leaky

[shortcut]
from=8
activation=leaky

[convolutional]
size=1
filters=16
activation=linear

[yolo]
mask=2,3
anchors=8,10, 14,9, 20,30, 40,36
classes=3
num=4

[route]
layers=11

[upsample]
stride=2

[route]
layers=-1,7

[convolutional]
size=1
filters=16
activation=linear

[yolo]
mask=0,1
anchors=8,10, 14,9, 20,30, 40,36
classes=3
num=4
scale_x_y=1.05
"""


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # or pytest-xdist begins with the files that have many tests


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


@dataclass(frozen=True)
class Tiny:
    """The tiny net: its files, its model, one picture's batch and the heads the oracle gives for it."""

    cfg: Path
    weights: Path
    model: Model
    batch: np.ndarray
    heads: Tuple[np.ndarray, ...]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    from edgecsp.importers import darknet

    folder = tmp_path_factory.mktemp("tiny")
    cfg, weights = folder / "tiny.cfg", folder / "tiny.weights"
    cfg.write_text(TINY_CFG)
    recorder = oracle.Recorder(seed=7)
    batch = np.random.default_rng(7).random((1, 3, 64, 64), np.float32)
    heads = oracle.darknet(TINY_CFG, batch[0], recorder)
    weights.write_bytes(recorder.data)
    return Tiny(cfg, weights, darknet.load(cfg, weights).model, batch, tuple(head[None] for head in heads))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the TLS servers of the tests show (tests/web.py)."""
    import web

    return web.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that a test is parametrized with (indirect), if it runs here."""
    lacks = backends.why_not(request.param)
    if lacks:
        pytest.skip(f"engine {request.param} {lacks}")
    return request.param


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
    """A small picture with structure, (61, 83, 3) uint8 BGR."""
    y, x = np.mgrid[:61, :83]
    return np.stack([(x * 3) % 256, (y * 4) % 256, (x * y) % 256], 2).astype(np.uint8)


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
