"""3,000 mutated cfg and weights files: every one a clear error or a valid model; no crash, hang or gigabytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.effort import EFFORT
from support.repository import TESTS, child_environment

CASES = 3000 * EFFORT


@pytest.mark.skipif(sys.platform == "win32", reason="the child bounds its memory with setrlimit")
def test_mutated_files_are_refused_or_become_models(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(TESTS / "support" / "fuzz_import.py"), "1", str(CASES), str(tmp_path)],
        env=child_environment(TESTS),
        capture_output=True,
        text=True,
        timeout=300 * EFFORT,
    )
    assert done.returncode == 0, f"{done.stderr[-4000:]}\nthe files are in {tmp_path}"
    told = json.loads(done.stdout.splitlines()[-1])
    outcomes = told["outcomes"]
    judged = sum(count for name, count in outcomes.items() if not name.startswith("damaged"))
    assert judged == CASES
    # The mutations are neither so mild nor so wild that one kind of outcome is all there is.
    for name in ("BadModel", "BadWeights", "ran", "damaged onnx read", "damaged onnx refused"):
        assert outcomes[name] > CASES / 50, told
    assert set(outcomes) <= {
        "BadModel", "BadWeights", "ran", "ran to NaN", "built", "damaged onnx read", "damaged onnx refused"
    }  # fmt: skip
    assert told["peak_mb"] < 1024, told


HEAVY = {
    "a route of 400,000 groups": "[route]\ngroups=2\nlayers=" + "0," * 400_000,
    "a shortcut of 400,000 maps": "[shortcut]\nfrom=" + "0," * 400_000,
    "4,000 shortcuts of 100 maps": ("[shortcut]\nfrom=" + "0," * 100 + "\n") * 4_000,
    "a maxout of 100,000": "[convolutional]\nfilters=100000\n[maxpool]\nmaxpool_depth=1\nout_channels=1\n",
    "a map of a terabyte": "[upsample]\nstride=16384\n",
    "a terabyte in two steps": "[upsample]\nstride=2048\n[upsample]\nstride=2048\n",
    "a kernel of a terabyte": "[convolutional]\nsize=16383\npad=1\nfilters=2000\n",
    "5,000 sections": "[dropout]\n" * 5_000,
    "a number of a megabyte": "[convolutional]\nfilters=" + "9" * 1_000_000,
    "a list of a megabyte": "[yolo]\nanchors=" + "1," * 500_000,
}


@pytest.mark.parametrize("what", HEAVY)
def test_small_files_that_ask_for_too_much(what: str, tmp_path: Path) -> None:
    import time

    from edgecsp.errors import BadModel
    from edgecsp.importers import darknet

    cfg, weights = tmp_path / "a.cfg", tmp_path / "a.weights"
    cfg.write_text(f"[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=2\nactivation=linear\n{HEAVY[what]}")
    weights.write_bytes(bytes(20))
    begun = time.monotonic()
    with pytest.raises(BadModel, match=r"a\.cfg") as caught:
        darknet.load(cfg, weights)
    assert time.monotonic() - begun < 10
    assert len(str(caught.value)) < 500
