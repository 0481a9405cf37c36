"""schemathesis makes requests of our OpenAPI document, and finds no 5xx and no answer that is not in it.

It is in an environment of its own (make sees to that): EDGECSP_SCHEMATHESIS is its program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgecsp.serve.live import StreamState
from support import served
from support.tiny import Tiny

PROGRAM = os.environ.get("EDGECSP_SCHEMATHESIS") or shutil.which("schemathesis")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "unsupported_method",
)  # fmt: skip
ENDLESS = ("/events", "/api/streams/{name}/video")


@pytest.mark.skipif(
    PROGRAM is None or not Path(PROGRAM).is_file(),
    reason="schemathesis is not here; set EDGECSP_SCHEMATHESIS to its program",
)
def test_nothing_it_sends_is_too_much(tiny: Tiny, tmp_path: Path) -> None:
    words = [word for path in ENDLESS for word in ("--exclude-path", path)]
    with served.served(tiny.model, [StreamState("0", "cam1")]) as site:
        done = subprocess.run(
            [str(PROGRAM), "run", f"http://127.0.0.1:{site.port}/openapi.json", "--seed", "1", "--max-examples", "10",
             "--checks", ",".join(CHECKS), "--continue-on-failure", *words],
            capture_output=True, text=True, timeout=280, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        assert "25 passed" in done.stdout, done.stdout[-6000:]
        assert site.pool.healthy and site.pool.restarts == 0
