"""Secrets that others can read or guess are refused, and it is said what to type."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from edgecsp import serve
from edgecsp.cache import plans
from edgecsp.cli import serve as serve_cli
from edgecsp.errors import IntegrityError, UsageError
from edgecsp.serve import site
from support.repository import REPO

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o444])
def test_a_token_file_that_everybody_can_read(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "token"
    place.write_text(TOKEN)
    place.chmod(mode)
    with pytest.raises(UsageError, match=re.escape(f"chmod 600 {place}")) as caught:
        serve_cli._token(place)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_token_file_of_ours(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "token"
    place.write_text(TOKEN + "\n")
    place.chmod(mode)
    assert serve_cli._token(place) == TOKEN


def test_a_sites_secret_that_everybody_can_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o644)
    (tmp_path / "site.toml").write_text('listen = "127.0.0.1:8080"\ntoken = "file:token"\n')
    with pytest.raises(UsageError, match=r"site\.toml, line 2: token: .*chmod 600 .*token"):
        site.load(tmp_path / "site.toml")
    (tmp_path / "token").chmod(0o600)
    assert site.load(tmp_path / "site.toml").token == TOKEN


@pytest.mark.parametrize("token", ["a" * 16, "0" * 64, "ab" * 16, "abc" * 9])
def test_a_token_of_one_sign_again_and_again(token: str) -> None:
    with pytest.raises(UsageError, match="openssl rand -hex 16"):
        serve.check_token(token, "x")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    facts = {"engine": "x", "model": "m"}
    plans.get_or_build(facts, lambda: b"plan")
    key = tmp_path / "plan.key"
    os.chown(key, 12345, -1)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(IntegrityError, match="belongs to user 12345"):
        plans.get_or_build(facts, lambda: b"plan")
    os.chown(key, os.geteuid(), -1)
    assert not plans.get_or_build(facts, lambda: b"other").is_new


def test_the_service_keeps_its_environment_to_itself() -> None:
    """tests/docker/test_install_script.py holds the modes of what it really writes."""
    script = (REPO / "docker" / "install.sh").read_text("utf-8")
    lines = [line for line in script.splitlines() if re.search(r'write "\$etc/(edgecsp\.env|token)"', line)]
    assert len(lines) == 3
    assert all('" 600 ' in line for line in lines)
    unit = (REPO / "docker" / "edgecsp.service").read_text("utf-8")
    assert "EnvironmentFile=/etc/edgecsp/edgecsp.env" in unit and "--env-file /etc/edgecsp/edgecsp.env" in unit
