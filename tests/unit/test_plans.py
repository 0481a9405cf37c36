"""The plan cache: built once by many, whole or absent, readable, and refused when it is not ours."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import pytest

from edgecsp import backends
from edgecsp.cache import plans
from edgecsp.errors import IntegrityError, OutputError
from edgecsp.system import versions
from support.repository import REPO
from support.tiny import Tiny

FACTS = {"engine": "toy", "model": {"name": "tiny", "sha256": "00"}, "options": {"precision": "fp16", "dla_core": None}}

CHILD = """
import os, sys, time
from edgecsp.cache import plans

def build():
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(1)
    return b"plan" * 1000

plan = plans.get_or_build({"engine": "toy", "of": "many"}, build)
assert plan.data == b"plan" * 1000
print(plan.is_new)
"""
WRITER = """
import sys, time
from edgecsp.cache import files; from edgecsp.cache import plans

def slowly(file, data):
    file.write(data[:1000])
    file.flush()
    print("half", flush=True)
    time.sleep(60)

real = files.atomic
class Half:
    def __init__(self, path): self.inner = real(path)
    def __enter__(self):
        self.file = self.inner.__enter__()
        return self
    def __exit__(self, *error): return self.inner.__exit__(*error)
    def write(self, data): slowly(self.file, data)
files.atomic = Half
plans.get_or_build({"engine": "toy", "of": "one"}, lambda: b"plan" * 1000)
"""


@pytest.fixture(autouse=True)
def home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), *filter(None, sys.path)]))
    return own_home


def never() -> bytes:
    raise AssertionError("it was built already")


def made(data: bytes = b"a plan") -> plans.Plan:
    return plans.get_or_build(FACTS, lambda: data)


def names(folder: Path) -> List[str]:
    return sorted(each.suffix for each in folder.iterdir() if each.suffix != ".lock")


def test_built_once_and_found_again() -> None:
    first = made()
    assert first.is_new and first.data == b"a plan" and first.path.parent == plans.folder()
    again = plans.get_or_build(FACTS, never)
    assert (again.is_new, again.data, again.path) == (False, b"a plan", first.path)
    plans.drop(FACTS)
    plans.drop(FACTS)
    assert made(b"another").data == b"another"


def test_everything_that_matters_is_in_the_key() -> None:
    def changed(said: dict) -> list:
        for name, value in said.items():
            if isinstance(value, dict):
                yield from ({**said, name: inner} for inner in changed(value))
            else:
                yield {**said, name: "other"}

    others = [plans.path(facts) for facts in changed(FACTS)]
    assert len({plans.path(FACTS), *others}) == 1 + len(others) == 6
    assert plans.path(dict(reversed(list(FACTS.items())))) == plans.path(FACTS)


def test_the_sidecar_can_be_read(home: Path) -> None:
    said = json.loads(made().path.with_suffix(".json").read_text())
    assert (
        said["facts"] == FACTS and said["size"] == 6 and len(said["sha256"]) == 64 and said["written"].endswith("UTC")
    )
    assert plans.list_facts("toy") == [FACTS] and plans.list_facts("other") == []
    assert (home / "plan.key").stat().st_mode & 0o777 == 0o600
    assert (home / "plan.key").stat().st_size == 32
    assert plans.folder().stat().st_mode & 0o077 == 0


def test_the_newest_is_known_first() -> None:
    for number in range(3):
        path = plans.get_or_build({**FACTS, "number": number}, lambda: b"plan").path
        os.utime(path.with_suffix(".json"), (number * 100, number * 100))
    assert [facts["number"] for facts in plans.list_facts("toy")] == [2, 1, 0]


def test_eight_processes_build_once(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CHILD, str(tmp_path / "builders")]
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = [child.communicate(timeout=60)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * 8
    assert sorted(said) == ["False"] * 7 + ["True"]
    assert len((tmp_path / "builders").read_text().split()) == 1


def test_whoever_waits_is_told() -> None:
    code = "import json, logging, sys; from edgecsp.cache import plans; logging.basicConfig(stream=sys.stdout)\n"
    code += "plans.get_or_build(json.loads(sys.argv[1]), lambda: b'x')"
    words = [sys.executable, "-c", code, json.dumps(FACTS)]
    with plans.locked(plans.path(FACTS)):
        child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert "another process is making toy-" in child.stdout.readline()
    child.communicate(timeout=30)
    assert child.returncode == 0 and plans.get_or_build(FACTS, never).data == b"x"


@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_changed_byte_is_refused(at: int) -> None:
    path = made().path
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"is refused: it has changed since it was built.*--trust-plan") as caught:
        made()
    assert caught.value.exit_code == 7
    path.write_bytes(b"a plan")
    assert made().data == b"a plan"


def test_a_longer_or_shorter_one_is_refused() -> None:
    path = made().path
    for data in (b"", b"a pla", b"a plan and more"):
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="has changed"):
            made()


def test_another_ones_plan_is_refused_until_it_is_trusted(home: Path, tmp_path: Path) -> None:
    path = made(b"theirs").path
    (home / "plan.key").write_bytes(b"k" * 32)  # as on another machine
    with pytest.raises(IntegrityError, match=r"built by somebody else, on another machine"):
        plans.get_or_build(FACTS, never)
    assert plans.get_or_build(FACTS, never, trust=True).data == b"theirs"
    assert plans.get_or_build(FACTS, never).data == b"theirs"  # signed now
    path.write_bytes(b"edited")
    assert plans.get_or_build(FACTS, never, trust=True).data == b"edited"
    assert plans.get_or_build(FACTS, never).path == path


@pytest.mark.parametrize(
    "edit",
    [
        lambda said: {**said, "written": "2001-01-01 00:00:00 UTC"},
        lambda said: {**said, "tag": "0" * 64},
        lambda said: {**said, "tag": None},
        lambda said: {name: value for name, value in said.items() if name != "tag"},
        lambda said: {**said, "more": 1},
        lambda said: {**said, "facts": {**said["facts"], "model": "another"}},
        lambda said: [said],
        lambda said: {},
    ],
)
def test_an_edited_sidecar_is_refused(edit) -> None:
    sidecar = made().path.with_suffix(".json")
    sidecar.write_text(json.dumps(edit(json.loads(sidecar.read_text()))))
    with pytest.raises(IntegrityError):
        plans.get_or_build(FACTS, never)


def test_a_sidecar_that_is_no_json_is_refused() -> None:
    sidecar = made().path.with_suffix(".json")
    for data in (b"", b"{", b"\xff\xfe", b"null", b"3"):
        sidecar.write_bytes(data)
        with pytest.raises(IntegrityError):
            plans.get_or_build(FACTS, never)
        assert plans.list_facts("toy") == []


def test_a_plan_under_another_ones_name_is_refused() -> None:
    other = plans.get_or_build({**FACTS, "model": "other"}, lambda: b"other").path
    path = made().path
    for suffix in (".plan", ".json"):
        shutil.copy(str(other.with_suffix(suffix)), str(path.with_suffix(suffix)))
    for trust in (False, True):  # a copy is no mistake that trust could be meant for
        with pytest.raises(IntegrityError, match="something else than its name says"):
            plans.get_or_build(FACTS, never, trust=trust)


def test_a_key_that_others_can_read_makes_no_tags(home: Path) -> None:
    made()
    (home / "plan.key").chmod(0o644)
    with pytest.raises(IntegrityError, match="chmod 600"):
        plans.get_or_build(FACTS, never)
    (home / "plan.key").chmod(0o600)
    (home / "plan.key").write_bytes(b"short")
    with pytest.raises(IntegrityError, match="is not a key of edgecsp"):
        plans.get_or_build(FACTS, never)


def test_killed_while_it_writes(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "half\n"
        child.send_signal(signal.SIGKILL)
    facts = {"engine": "toy", "of": "one"}
    place = plans.path(facts)
    assert not place.exists() and names(place.parent) == [".part"]
    plan = plans.get_or_build(facts, lambda: b"whole")  # at once: the lock went with the process, and so does its rest
    assert plan.is_new and names(place.parent) == [".json", ".plan"]


def test_stopped_between_the_plan_and_its_sidecar() -> None:
    path = made(b"first").path
    path.with_suffix(".json").unlink()
    assert made(b"second").data == b"second"
    path.unlink()
    assert made(b"third").data == b"third"


def test_a_build_that_fails_leaves_nothing() -> None:
    def build() -> bytes:
        raise OutputError("no")

    with pytest.raises(OutputError):
        plans.get_or_build(FACTS, build)
    assert names(plans.folder()) == []
    assert made().is_new


def test_a_file_system_that_takes_no_more(home: Path) -> None:
    made()  # the key is there
    plans.drop(FACTS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OutputError, match="File too large") as caught:
            made(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.exit_code == 5 and names(plans.folder()) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        monkeypatch.setenv("EDGECSP_HOME", str(disk))
        with pytest.raises(OutputError, match="No space left on device"):
            made(b"x" * 100_000)
        assert names(plans.folder()) == []
        assert made(b"small").data == b"small"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="Set EDGECSP_HOME to a folder of yours"):
        made()


# -- what is kept from one start to the next -----------------------------------------------------------------


def test_what_is_kept_is_built_once() -> None:
    assert plans.get_or_rebuild(FACTS, lambda: b"a plan") == b"a plan" == plans.get_or_rebuild(FACTS, never)
    with pytest.raises(ZeroDivisionError):
        plans.get_or_rebuild({**FACTS, "number": 1}, lambda: bytes([1 // 0]))


@pytest.mark.parametrize("spoilt", ["bytes", "sidecar", "key"])
def test_what_is_not_ours_is_not_used_and_built_anew(spoilt: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    plans.get_or_rebuild(FACTS, lambda: b"a plan")
    place = plans.path(FACTS)
    if spoilt == "bytes":
        place.write_bytes(b"a trap")
    elif spoilt == "sidecar":
        place.with_suffix(".json").write_text(place.with_suffix(".json").read_text().replace("UTC", "GMT"))
    else:
        (home / "plan.key").write_bytes(b"x" * 32)
    assert plans.get_or_rebuild(FACTS, lambda: b"anew") == b"anew"
    (said,) = caplog.messages
    assert said.startswith(f"{place} is refused: it ") and said.endswith(". It is not used, but built anew")
    assert plans.get_or_rebuild(FACTS, lambda: b"again") == b"again" == plans.get_or_rebuild(FACTS, never)
    assert len(caplog.messages) == 1


def test_what_cannot_be_kept_is_built_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "file"))
    built: List[bytes] = []
    for number in range(2):
        assert (
            plans.get_or_rebuild(FACTS, lambda: built.append(b"") or b"a plan") == b"a plan"
            and len(built) == number + 1
        )


def test_the_newest_are_kept() -> None:
    for number in range(5):
        for other in plans.folder().glob("*.json"):
            os.utime(other, (other.stat().st_mtime - 100, other.stat().st_mtime - 100))
        plans.get_or_rebuild({**FACTS, "number": number}, lambda: b"plan", most=3)
    plans.get_or_rebuild({**FACTS, "engine": "other"}, lambda: b"plan", most=1)
    assert [facts["number"] for facts in plans.list_facts("toy")] == [4, 3, 2]
    assert names(plans.folder()) == [".json"] * 4 + [".plan"] * 4


def test_without_a_home_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGECSP_HOME")
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert str(plans.folder()).startswith(str(tmp_path)) and plans.folder().name == "plans"
    assert plans.folder() not in plans.key_path().parents
    begun = time.monotonic()
    assert made().is_new and time.monotonic() - begun < 10


def test_a_plan_is_of_this_edgecsp_alone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The code that lays a picture into OpenVINO's graph decides what a plan is, as much as the graph does."""
    if backends.unavailable_reason("openvino"):
        pytest.skip("no OpenVINO here")
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))
    for version in ("1.0", "1.0", "2.0"):
        monkeypatch.setattr(versions, "own", lambda version=version: version)
        backends.open(tiny.model, "openvino").close()
    assert len(plans.list_facts("openvino")) == 2
