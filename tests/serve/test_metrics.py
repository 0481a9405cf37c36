"""What a Prometheus server is told, read by Prometheus' own parser."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Tuple

import pytest

from edgecsp.errors import EngineUnavailable
from edgecsp.serve import events, mqtt, webhooks
from edgecsp.serve.live import StreamState
from edgecsp.serve.metrics import Metrics
from edgecsp.serve.spool import Spool
from edgecsp.system import install
from edgecsp.system.jetson import Board
from support.watching import detections, frame

parser = pytest.importorskip("prometheus_client.parser")

URL = "rtsp://eve:hunter2@10.0.0.9/live"


def pool() -> Any:
    return SimpleNamespace(model=SimpleNamespace(name="codes"), healthy=True, restarts=2, depth=5, observe=None)


def read(metrics: Metrics) -> Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]:
    text, kind = metrics.render()
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert b"hunter2" not in text
    assert b"eve" not in text.replace(b"never", b"").replace(b"event", b"").replace(b"whatever", b"")
    rows: Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in rows, f"{key} twice"
            rows[key] = sample.value
    return rows


@pytest.fixture
def views() -> Any:
    shown, dead = StreamState(URL, "door"), StreamState("0", "yard")
    shown.publish(frame(0), detections(3), 20.0)
    shown.publish(frame(1), detections(1), 40.0)
    shown.dropped, shown.reconnects = 7, 1
    dead.set_state("no signal", "unplugged")
    return shown, dead


def test_the_figures_are_those_of_the_streams_and_the_engine(views: Any, tmp_path: Path) -> None:
    asked = pool()
    metrics = Metrics(asked, views, events.Bus(), facts={"engine": "ort", "device": "cpu"}, board=Board(tmp_path))
    asked.observe("infer", 0.02)
    asked.observe("infer", 0.2)
    views[0].jpeg()
    rows = read(metrics)
    door, yard = (("stream", "door"),), (("stream", "yard"),)
    assert rows["edgecsp_frames_total", door] == 2
    assert rows["edgecsp_frames_total", yard] == 0
    assert rows["edgecsp_frames_dropped_total", door] == 7
    assert rows["edgecsp_stream_reconnects_total", door] == 1
    assert rows["edgecsp_detections_total", (("label", "thing"), ("stream", "door"))] == 3
    assert rows["edgecsp_detections_total", (("label", "other thing"), ("stream", "door"))] == 1
    assert (rows["edgecsp_stream_up", door], rows["edgecsp_stream_up", yard]) == (1, 0)
    assert rows["edgecsp_stream_latency_seconds", door] == pytest.approx(0.03)
    assert ("edgecsp_stream_latency_seconds", yard) not in rows
    assert rows["edgecsp_queue_requests", ()] == 5
    assert rows["edgecsp_engine_restarts_total", ()] == 2
    assert rows["edgecsp_engine_healthy", ()] == 1
    infer = (("stage", "infer"),)
    assert rows["edgecsp_stage_seconds_count", infer] == 2
    assert rows["edgecsp_stage_seconds_sum", infer] == pytest.approx(0.22)
    assert rows["edgecsp_stage_seconds_bucket", (("le", "0.025"), ("stage", "infer"))] == 1
    assert rows["edgecsp_stage_seconds_count", (("stage", "encode"),)] == 1
    info = [dict(labels) for name, labels in rows if name == "edgecsp_engine_info"]
    assert len(info) == 1
    assert info[0].items() >= {"engine": "ort", "device": "cpu", "model": "codes"}.items()
    assert rows["process_resident_memory_bytes", ()] > 1 << 20
    assert rows["process_cpu_seconds_total", ()] > 0
    assert not any(name.startswith(("edgecsp_temperature", "edgecsp_power", "edgecsp_energy")) for name, _ in rows), (
        "an empty board"
    )


def test_names_are_as_prometheus_wants_them(views: Any, tmp_path: Path) -> None:
    metrics = Metrics(pool(), views, events.Bus(), board=Board(tmp_path))
    for family in parser.text_string_to_metric_families(metrics.render()[0].decode()):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|mb|percent)\b", family.name), "base units alone"
        counted = all(sample.name.endswith(("_total", "_created")) for sample in family.samples)
        assert counted == (family.type == "counter") or not family.samples


def test_a_second_server_in_the_same_process_has_its_own(views: Any, tmp_path: Path) -> None:
    first, second = (Metrics(pool(), [], board=Board(tmp_path)) for _ in range(2))
    first.observe("infer", 1.0)
    assert ("edgecsp_stage_seconds_count", (("stage", "infer"),)) in read(first)
    assert ("edgecsp_stage_seconds_count", (("stage", "infer"),)) not in read(second)


def test_without_prometheus_client_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(EngineUnavailable, match=re.escape(install.command("serve"))):
        Metrics(pool(), [])


def test_temperatures_and_watts_of_a_board(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("CPU-therm\n")
    (zone / "temp").write_text("48500\n")
    rail = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    rail.mkdir(parents=True)
    for name, text in (("in1_label", "VDD_IN"), ("in1_input", "5000"), ("curr1_input", "1200")):
        (rail / name).write_text(text)
    for place, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core")):
        package = tmp_path / "sys/class/powercap" / place
        package.mkdir(parents=True)
        (package / "name").write_text(name)
        (package / "energy_uj").write_text("12500000\n")
    rows = read(Metrics(pool(), [], board=Board(tmp_path)))
    assert rows["edgecsp_energy_joules_total", (("package", "package-0"),)] == 12.5
    assert ("edgecsp_energy_joules_total", (("package", "core"),)) not in rows, "it is part of the package"
    assert rows["edgecsp_temperature_celsius", (("zone", "CPU-therm"),)] == 48.5
    assert rows["edgecsp_power_watts", (("rail", "VDD_IN"),)] == pytest.approx(6.0)


def test_those_who_send_on_are_told_of(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client")
    bus = events.Bus()
    metrics = Metrics(pool(), [], bus, board=Board(tmp_path))
    spool = Spool(tmp_path / "x.db", most=2)
    for _ in range(5):
        spool.put("topic", b"payload")
    metrics.mqtt = mqtt.Mqtt(mqtt.broker("mqtt://eve:hunter2@127.0.0.1:1/x"), [], bus, spool=spool)
    metrics.webhooks = webhooks.Webhooks([webhooks.hook("https://eve:hunter2@example.invalid/hunter2")], bus)
    rows = read(metrics)
    assert rows["edgecsp_mqtt_messages_waiting", ()] == 2
    assert rows["edgecsp_mqtt_messages_dropped_total", ()] == 3
    assert rows["edgecsp_mqtt_connected", ()] == 0
    assert rows["edgecsp_webhook_events_sent_total", (("hook", "https://example.invalid:443"),)] == 0
    assert rows["edgecsp_event_listeners", ()] == 2
    spool.close()
