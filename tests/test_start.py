"""How little a start takes: CPU seconds of --help, and what a second `edgecsp run` no longer imports or builds."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest

from edgecsp import backends
from edgecsp.cache import plans
from support.repository import REPO, child_environment
from support.tiny import Tiny

HELP_CPU_S = 0.75  # three times what it should take, for a machine three times as slow
RUN = """
import json, sys
sys.argv = ["edgecsp", "run", sys.argv[1], "--json", "-", "--quiet", "--engine", sys.argv[2]]
from edgecsp.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps([name for name in ("onnx", "edgecsp.cache.download", "av", "rich", "numpy") if name in sys.modules]))
"""


def cpu_s(words: List[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True, cwd=REPO, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_help_is_quick() -> None:
    assert min(cpu_s([sys.executable, "-m", "edgecsp", "--help"]) for _ in range(3)) < HELP_CPU_S


@pytest.mark.parametrize("engine", ["openvino", "ort"], indirect=True)
def test_a_second_run_builds_nothing_and_imports_little(engine: str, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    cv2.imwrite(str(picture), np.full((48, 64, 3), 90, np.uint8))
    env = child_environment(EDGECSP_HOME=str(tmp_path / "home"))
    said = []
    for _ in range(2):
        words = [sys.executable, "-c", RUN, str(picture), engine]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=600)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    (boxes, first), (same, second) = said
    assert boxes == same and '"onnx"' in first and second == '["numpy"]'
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "home" / "plans").glob("*.plan"))
    assert kept == (["box", "openvino"] if engine == "openvino" else ["box"])


@pytest.mark.parametrize("engine", ["openvino"], indirect=True)
def test_a_compiled_graph_is_kept_and_computes_the_same(
    engine: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))

    def heads(**given: int) -> List[np.ndarray]:
        session = backends.open(tiny.model, engine, **given)
        out = session.run(tiny.batch)
        session.close()
        return out

    first, again = heads(threads=1), heads(threads=1)
    assert len(plans.list_facts("openvino")) == 1 and all((a == b).all() for a, b in zip(first, again))
    (kept,) = plans.folder().glob("openvino-*.plan")
    kept.write_bytes(kept.read_bytes() + b" ")
    assert all((a == b).all() for a, b in zip(first, heads(threads=1)))
    heads(threads=1, concurrency=1)
    monkeypatch.setattr(plans, "LARGE_GRAPH", 0)
    plans.drop(plans.list_facts("openvino")[0])
    assert all((a == b).all() for a, b in zip(first, heads(threads=1))) and plans.list_facts("openvino") == []


@pytest.mark.parametrize("engine", ["openvino"], indirect=True)
def test_other_options_are_another_plan(
    engine: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    for threads in (1, 2):
        backends.open(tiny.model, engine, threads=threads).close()
    assert len(plans.list_facts("openvino")) == 2
