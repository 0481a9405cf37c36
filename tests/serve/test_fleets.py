"""docs/fleets.md: its site file is read; its figures, topics, addresses, options and files are those that there are."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import List

import pytest

from edgecsp.serve import events, mqtt, site, webhooks
from edgecsp.serve.guard import ALIVE
from edgecsp.serve.live import StreamState
from edgecsp.serve.metrics import Metrics
from edgecsp.serve.spool import MOST, MOST_BYTES, Spool
from edgecsp.system.jetson import Board
from support.repository import REPO
from support.waiting import eventually
from support.watching import detections, frame

PAGE = (REPO / "docs" / "fleets.md").read_text("utf-8")
URL = "mqtts://broker.example/site-7/box-3"


def blocks(language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_its_site_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DOOR_URL": "rtsp://c/s", "MQTT_URL": URL, "MQTT_USER": "box", "MQTT_PASSWORD": "x"}.items():
        assert f"env:{name}" in PAGE
        monkeypatch.setenv(name, value)
    (tmp_path / "token").write_text("0123456789abcdef")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "broker.pem").write_text("")
    (text,) = blocks("toml")
    (tmp_path / "site.toml").write_text(text)
    made = site.load(tmp_path / "site.toml")
    assert made.broker is not None
    assert (made.host, made.broker.name) == ("0.0.0.0", "mqtts://broker.example:8883/site-7/box-3")
    assert [view.name for view in made.stream_configs] == ["door"]


def test_its_figures_are_exported(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed (edgecsp[serve])")
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
    zone = tmp_path / "sys" / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("CPU\n")
    (zone / "temp").write_text("40000\n")
    engine = SimpleNamespace(model=SimpleNamespace(name="codes"), healthy=True, restarts=0, depth=0, observe=None)
    bus = events.Bus()
    metrics = Metrics(engine, [StreamState("0", "door")], bus, board=Board(tmp_path))  # type: ignore[arg-type]
    spool = Spool(tmp_path / "x.db")
    metrics.mqtt = mqtt.Mqtt(mqtt.broker(URL), [], bus, spool=spool)
    metrics.webhooks = webhooks.Webhooks([], bus)
    text = metrics.render()[0].decode()
    exported = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    named = set(re.findall(r"\bedgecsp_\w+", PAGE))
    assert len(named) >= 7 and named <= exported, named - exported
    spool.close()


def test_its_topics_are_those_that_are_sent(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
    bus, spool, view = events.Bus(), Spool(tmp_path / "x.db"), StreamState("0", "door")
    # Port 1 of this machine: nobody answers.
    sender = mqtt.Mqtt(mqtt.broker("mqtt://127.0.0.1:1/site-7/box-3"), [view], bus, spool=spool)
    retained = sender.take_retained()
    sender.start()
    bus.publish(events.detections("door", frame(), detections(1)))
    (message,) = eventually(lambda: spool.after(0, 1))
    sender.close()
    said = b"".join(retained.values()).decode()
    assert "`site-7/box-3/door/state`" in PAGE and "site-7/box-3/door/state" in retained
    assert f"`{message.topic}`" in PAGE
    assert "`site-7/box-3/availability`" in PAGE and '"site-7/box-3/availability"' in said
    assert f"{MOST:,} events or {MOST_BYTES >> 20} MB" in PAGE


def test_its_addresses_options_packages_and_files_are_there() -> None:
    from typer.testing import CliRunner

    from edgecsp.cli import app

    assert set(re.findall(r"`GET (\S+?)`", PAGE)) == set(ALIVE)
    for command, option in (("up", "check"), ("up", "schema"), ("build", "--recipe"), ("export", "--format")):
        assert re.search(rf"edgecsp {command} .*{option}", PAGE)
        assert option in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for name in ("docker/README.md", "engines/jetson-orin.toml", "docs/batch-scale.md"):
        assert Path(name).name.split(".")[0] in PAGE and (REPO / name).is_file()
    for name in ("docker/install.sh", "docker/kubernetes/daemonset.yaml", "docker/grafana/edgecsp.json"):
        assert name in PAGE and (REPO / name).is_file()
    extra = re.search(r"^serve = \[(.*)\]$", (REPO / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert extra is not None
    # The images that the page starts hold what the server needs.
    needed = set(re.findall(r'"([\w-]+)>=', extra[1]))
    assert len(needed) >= 5
    for pins in ("cpu", "tx2", "jp5", "orin"):
        text = (REPO / "docker" / f"requirements-{pins}.txt").read_text("utf-8")
        assert needed <= set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
