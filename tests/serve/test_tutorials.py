"""The site files of the tutorials, served: a video stands in for the camera, mosquitto for Home Assistant's broker.

Debian: mosquitto
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from support.mosquitto import PASSWORD, USER, Listener, Mosquitto
from support.pages import blocks_of
from support.ports import free_port
from support.repository import REPO, child_environment
from support.waiting import eventually

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed (edgecsp[serve])")
TOKEN = "0123456789abcdef"


@contextmanager
def served(page: str, folder: Path, *changes: Tuple[str, str], **env: str) -> Iterator[int]:
    """`edgecsp up` with a page's site file, the demo video as its camera: -> the port."""
    (text,) = (block.text for block in blocks_of(page) if block.language == "toml")
    port = free_port()
    for pattern, value in ((r'listen = "[\d.]+:8080"', f'listen = "127.0.0.1:{port}"'), *changes):
        assert re.search(pattern, text), pattern
        text = re.sub(pattern, value, text)
    (folder / "site.toml").write_text(text)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    variables = {"DOOR_URL": str(REPO / "benchmarks" / "codes.mp4"), "EDGECSP_HOME": str(folder / "home"), **env}
    command = [sys.executable, "-m", "edgecsp", "up", "site.toml"]
    process = subprocess.Popen(
        command, cwd=folder, env=child_environment(**variables), stderr=subprocess.PIPE, text=True
    )
    try:
        yield port
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 143


def ask(port: int, path: str, token: str = TOKEN) -> Tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError:
        return 0, b""


def read(port: int, path: str) -> Dict[str, Any]:
    status, body = ask(port, path)
    value: Dict[str, Any] = json.loads(body) if status == 200 else {}
    return value


def test_the_camera_of_the_jetson(tmp_path: Path) -> None:
    with served("tutorials/jetson.md", tmp_path) as port:
        events = eventually(lambda: [e for e in read(port, "/api/events").get("events", ()) if e["snapshot"]], 60)
        assert {(each["stream"], each["area"]) for each in events} == {("door", "yard")}
        assert ask(port, events[0]["snapshot"])[1][:2] == b"\xff\xd8"
        assert ask(port, "/api/state", "another token")[0] == 401
        assert b"<title>" in ask(port, "/")[1]
        areas = read(port, "/api/streams/door/areas")
        assert areas["editable"] and sum(areas["counts"]["zones"]["yard"]["entered"].values()) >= 1


def test_the_mini_pc_with_home_assistant(tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    page = "tutorials/home-assistant.md"
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as listener:
        changes = (("localhost:1883", f"127.0.0.1:{broker.port}"), ('username = "box"', f'username = "{USER}"'))
        with served(page, tmp_path, *changes, MQTT_PASSWORD=PASSWORD):
            entered = json.loads(eventually(lambda: listener.payloads("home/box/door/areas/yard/enter"), 60)[0])
            state = json.loads(eventually(lambda: listener.payloads("home/box/door/state"))[-1])
            assert listener.payloads("home/box/availability") == [b"online"]
            sent: List[Any] = [
                json.loads(each.payload) for each in listener.got if each.topic.startswith("homeassistant/")
            ]
        eventually(lambda: listener.payloads("home/box/availability") == [b"online", b"offline"])
    entities = {each["name"]: each for each in sent if "name" in each}
    assert {"yard inside", "yard entered", "Signal", entered["label"]} <= set(entities)
    assert {each["device"]["name"] for each in sent} == {"Front door"}
    assert int(jinja2.Template(entities["yard entered"]["value_template"]).render(value_json=state)) >= 0
    triggers = {(each["type"], each["subtype"]) for each in sent if "automation_type" in each}
    assert triggers == {("enter", "yard"), ("leave", "yard"), ("dwell", "yard")}
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (edgecsp[val])")
    (automation,) = (yaml.safe_load(block.text) for block in blocks_of(page) if block.language == "yaml")
    message = automation["actions"][0]["data"]["message"]
    assert jinja2.Template(message).render(trigger={"payload_json": entered}) == f"{entered['label']} in the yard"
