"""A real MQTT broker, and a client that hears everything.

Debian: mosquitto
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, cast

import pytest

from support.ports import free_port
from support.waiting import eventually

USER, PASSWORD = "watcher", "hunter2"


class Mosquitto:
    """The broker's process, at one port; it forgets everything when it is killed."""

    def __init__(self, folder: Path, certificate: Optional[Path] = None) -> None:
        found_at = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        passwords = shutil.which("mosquitto_passwd")
        if not found_at or not passwords:
            pytest.skip("no mosquitto here; Debian: mosquitto")
        self.program = found_at
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        known = folder / "passwords"
        subprocess.run([passwords, "-b", "-c", str(known), USER, PASSWORD], check=True, capture_output=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {known}",
            "persistence false",
        ]
        if os.getuid() == 0:
            lines.append("user root")
        if certificate is not None:
            lines += [f"certfile {certificate}", f"keyfile {certificate.with_suffix('.key')}"]
        self.config.write_text("\n".join(lines) + "\n")
        self.process: Any = None

    def start(self) -> None:
        self.process = subprocess.Popen([self.program, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        eventually(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Also when it is paused; going on for a moment, it would acknowledge what nobody ever gets from it."""
        self.process.kill()
        self.process.wait()

    def url(self, scheme: str = "mqtt", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{USER}:{PASSWORD}@{host}:{self.port}/home/box"


class Listener:
    """A client that hears everything; it comes back by itself."""

    def __init__(self, port: int) -> None:
        from paho.mqtt import client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: List[Any] = []
        self.ready = threading.Event()
        self.client: Any = cast(Any, client.Client)(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.username_pw_set(USER, PASSWORD)
        self.client.reconnect_delay_set(0.05, 0.2)
        self.client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_disconnect = lambda *_: self.ready.clear()
        self.client.on_message = lambda c, d, message: self.got.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def payloads(self, topic: str) -> List[bytes]:
        """The bodies of the messages that came under a topic, in order."""
        return [bytes(message.payload) for message in self.on(topic)]

    def on(self, topic: str) -> List[Any]:
        return [message for message in list(self.got) if message.topic == topic]

    def frames(self, topic: str = "home/box/door/events") -> List[int]:
        """The frames of the events that came, each the first time that it came."""
        frames: Dict[int, int] = {}
        for message in self.on(topic):
            event = json.loads(message.payload)
            frames.setdefault(event["id"], event.get("frame", -1))
        assert list(frames) == sorted(frames), "by their ids they are in order"
        return list(frames.values())
