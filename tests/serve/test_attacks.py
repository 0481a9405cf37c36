"""The attacks of `benchmarks.attacks`, a moment of each: the table works, and whoever has no token is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from benchmarks import attack_table, attacks, proc
from edgecsp.serve.live import StreamState
from support import served
from support.tiny import Tiny

ENDLESS = {"one-byte-bodies", "slow-headers", "unread-answers"}


@pytest.fixture(scope="module")
def locked(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model, [StreamState("0", "cam1")], token=attacks.TOKEN) as running:
        yield running


@pytest.mark.parametrize(
    "name", [name for name in attack_table.ATTACKS if not name.endswith("-with-token") and name not in ENDLESS]
)
def test_whoever_has_no_token_is_refused(locked: served.Site, name: str) -> None:
    target = attack_table.Target(locked.port, attacks.TOKEN, 20.0)
    attack_table.ATTACKS[name].run(target)
    assert sum(target.statuses.values()) == 1 and set(target.statuses) <= {0, 400, 401, 413, 431}, target.statuses
    assert locked.ask("/v2/health/live").status == 200


@pytest.mark.parametrize("name", [name for name in attack_table.ATTACKS if name.startswith("json-")])
def test_json_bombs_are_refused(locked: served.Site, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_table, "INFER", "/v2/models/tiny/infer")
    target = attack_table.Target(locked.port, attacks.TOKEN, 20.0)
    attack_table.ATTACKS[name].run(target)
    assert set(target.statuses) <= {0, 400, 401, 413} and locked.pool.restarts == 0


def test_viewers_find_a_seat_or_are_told(locked: served.Site) -> None:
    target = attack_table.Target(locked.port, attacks.TOKEN, 3.0)
    attack_table.launch("viewers-with-token", target)
    assert target.statuses[200] == 64 and target.statuses[503] == 136


def test_what_is_measured_is_what_happens(locked: served.Site) -> None:
    """Memory that is taken and given back meanwhile, a server that is silent, images that are refused."""
    # In a process of its own: what other tests leave to be freed would be freed meanwhile here.
    with subprocess.Popen(
        [sys.executable, "-c", "input(); b'.' * (80 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        folder = Path(f"/proc/{child.pid}")
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        before = proc.resident(folder)
        assert proc.peak(folder) - before > 70 << 20
        proc.forget_peak(folder)
        assert abs(proc.peak(folder) - before) < 8 << 20
        child.stdin.write(b"\n")

    images = attacks._Images(locked.port)
    assert [images.send() for _ in range(4)] == [200] * 4
    nobody = attacks._Images(1)
    assert nobody.send() == 0 and attacks._frames(1) == -1


def test_a_bound_that_is_passed_is_the_exit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"a": [], "b": ["pause"]}
    monkeypatch.setattr(attacks, "ATTACKS", rows)
    monkeypatch.setattr(attacks, "_row", lambda args, name: {"over": rows[name]})
    monkeypatch.setattr("sys.argv", ["attacks"])
    with pytest.raises(SystemExit, match="over a bound: 1 of 2 attacks: b"):
        attacks.main()
    assert "cores" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["attacks", "--only", "a"])
    attacks.main()
