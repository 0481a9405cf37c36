"""Downloads from a server that cuts, lies, trickles, redirects and vanishes."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest

from edgecsp.cache import download as fetch
from edgecsp.cache.download import pages
from edgecsp.errors import IntegrityError, OutputError, SourceError
from support import web
from support.progress import RecordedProgress

DATA = np.random.default_rng(3).bytes(300_000)
SHA256 = ("sha256", hashlib.sha256(DATA).hexdigest())
QUICK = fetch.Patience(timeout_s=0.4, tries=3, backoff_s=0.01)


@pytest.fixture
def site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[web.Site]:
    yield from web.serve_trusted(DATA, certificate, monkeypatch)


@pytest.fixture
def plain() -> Iterator[web.Site]:
    yield from web.serve(web.Site(DATA), None)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "here" / "x.weights"


def download(site: web.Site, target: Path, path: str = "/x.weights", **given: Any) -> None:
    fetch.download(site.at(path), target, **{"digest": SHA256, "size": len(DATA), "patience": QUICK, **given})


def left(target: Path) -> List[str]:
    return sorted(each.name for each in target.parent.iterdir()) if target.parent.is_dir() else []


# -- it comes ------------------------------------------------------------------------------------------------


def test_a_file_comes_whole_and_says_how_far_it_is(site: web.Site, target: Path) -> None:
    bar = RecordedProgress()
    download(site, target, progress=bar)
    assert target.read_bytes() == DATA and left(target) == ["x.weights"]
    heard = [step[:2] for step in bar.steps]
    assert heard == sorted(heard) and heard[0] == (0, len(DATA)) and heard[-1] == (len(DATA), len(DATA))


def test_a_file_of_unknown_length_and_digest_comes_too(site: web.Site, target: Path) -> None:
    site.length = False
    download(site, target, size=None, digest=None)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["sha1", "sha256", "sha512"])
def test_every_kind_of_digest_is_checked(site: web.Site, target: Path, kind: str) -> None:
    download(site, target, digest=(kind, hashlib.new(kind, DATA).hexdigest().upper()))
    found = hashlib.new(kind, DATA).hexdigest()
    with pytest.raises(IntegrityError, match=f"{kind} 00 was expected, {found} was found"):
        download(site, target.with_name("y"), digest=(kind, "00"))
    assert left(target) == ["x.weights"]


# -- it is cut -----------------------------------------------------------------------------------------------


def test_a_cut_connection_is_taken_up_where_it_was_cut(site: web.Site, target: Path, log_lines: List[str]) -> None:
    site.cuts = [100_000, 50_000]
    download(site, target)
    assert target.read_bytes() == DATA and left(target) == ["x.weights"]
    assert site.requested_ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert site.requests[1]["If-Range"] == site.etag
    assert log_lines[0] == "the connection was cut after 100,000 of 300,000 bytes; trying again in 0.01 s"


def test_what_came_is_kept_when_it_gives_up_and_the_next_call_goes_on(site: web.Site, target: Path) -> None:
    site.cuts = [100_000, 1, 1]
    with pytest.raises(SourceError, match=r"cut after 100,002 of 300,000 bytes; 100,002 bytes are kept"):
        download(site, target)
    assert left(target) == ["x.weights.part", "x.weights.part.tag"]
    download(site, target)
    assert (
        target.read_bytes() == DATA and site.requested_ranges[-1] == "bytes=100002-" and left(target) == ["x.weights"]
    )


def test_ctrl_c_keeps_what_came(site: web.Site, target: Path) -> None:
    def press(done: float, total: object) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(site, target, progress=RecordedProgress(press))
    kept = target.with_name("x.weights.part").read_bytes()
    assert len(kept) > 100_000 and DATA.startswith(kept)
    download(site, target)
    assert target.read_bytes() == DATA and site.requested_ranges[-1] == f"bytes={len(kept)}-"


def test_a_server_that_knows_no_ranges_begins_again(site: web.Site, target: Path) -> None:
    site.ranges, site.cuts = False, [200_000, 100_000]
    download(site, target)
    assert target.read_bytes() == DATA


def test_a_server_that_always_cuts_at_one_place_is_given_up(site: web.Site, target: Path) -> None:
    site.data = DATA * 10
    site.ranges, site.cuts = False, [2_500_000] * 20
    with pytest.raises(SourceError, match="cut after 2,500,000"):
        download(site, target, size=None, digest=None)
    assert len(site.requests) < 6


def test_two_versions_are_never_joined(site: web.Site, target: Path) -> None:
    site.cuts = [100_000, 1, 1]
    with pytest.raises(SourceError):
        download(site, target, digest=None)
    site.data, site.etag = DATA[::-1], '"two"'
    download(site, target, digest=None)
    assert target.read_bytes() == DATA[::-1]


def test_without_a_tag_or_a_digest_it_begins_again(site: web.Site, target: Path) -> None:
    site.etag, site.cuts = None, [100_000]
    download(site, target, digest=None)
    assert target.read_bytes() == DATA and site.requested_ranges == [None, None]
    site.cuts = [100_000]
    download(site, target)  # with a digest it need not
    assert site.requested_ranges[-1] == "bytes=100000-"


def test_a_part_that_is_whole_or_too_long_is_no_trouble(site: web.Site, target: Path) -> None:
    part = target.with_name("x.weights.part")
    part.parent.mkdir()
    part.write_bytes(DATA)
    download(site, target)
    assert target.read_bytes() == DATA and not site.requests
    for whole in (DATA, DATA + b"more"):
        part.write_bytes(whole)
        download(site, target, size=None)
        assert target.read_bytes() == DATA and left(target) == ["x.weights"]


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again(site: web.Site, target: Path, code: int, log_lines: List[str]) -> None:
    site.answers = [code, code]
    download(site, target)
    assert target.read_bytes() == DATA and f"answered {code}" in log_lines[0]


def test_a_server_may_say_how_long_to_wait(site: web.Site, target: Path, log_lines: List[str]) -> None:
    site.answers, site.headers = [503], {"Retry-After": "1"}
    download(site, target)
    assert log_lines[0].endswith("trying again in 1 s")


# -- it hangs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("piece", "pace_s", "said"), [(1, 0.05, r"only \d+ bytes came"), (5_000, 9, "nothing came")])
def test_nothing_waits_for_ever(site: web.Site, target: Path, piece: int, pace_s: float, said: str) -> None:
    site.piece, site.pace_s, begun = piece, pace_s, time.monotonic()
    with pytest.raises(SourceError, match=said):
        download(site, target)
    assert time.monotonic() - begun < 6


def test_a_server_that_accepts_and_says_nothing(certificate: Path, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url, begun = f"https://localhost:{deaf.getsockname()[1]}/x", time.monotonic()
        with pytest.raises(SourceError, match="did not answer in time"):
            fetch.download(url, target, patience=QUICK)
    assert time.monotonic() - begun < 6


# -- it is not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said"), [(404, "there is no file at .* any more"), (403, "answered 403"), (401, "answered 401")]
)
def test_a_refusal_is_told_at_once(site: web.Site, target: Path, code: int, said: str) -> None:
    site.answers = [code] * 9
    with pytest.raises(SourceError, match=said):
        download(site, target)
    assert len(site.requests) == 1 and left(target) == []


@pytest.mark.parametrize("host", ["nowhere.invalid", "localhost:1"])
def test_no_network_is_told_at_once(target: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(
        SourceError, match=r"no host nowhere.invalid was found \(is there a network\?\)|cannot be reached"
    ):
        fetch.download(f"https://{host}/x", target, patience=fetch.Patience(timeout_s=5))


@pytest.mark.parametrize("url", ["http://localhost/x", "ftp://localhost/x", "file:///etc/passwd", "x.weights"])
def test_only_https_is_spoken(url: str, target: Path) -> None:
    with pytest.raises(SourceError, match="is refused: weights come over https alone"):
        fetch.download(url, target)


def test_a_redirect_is_followed_but_not_to_http(site: web.Site, plain: web.Site, target: Path) -> None:
    site.to = {"/a": "/b", "/b": "/x.weights", "/c": plain.at(), "/d": "file:///etc/passwd"}
    download(site, target, "/a")
    assert target.read_bytes() == DATA
    with pytest.raises(SourceError, match=r"http://.*, where https://.*/c leads, is refused"):
        download(site, target.with_name("y"), "/c")
    with pytest.raises(SourceError, match=r"is refused|lead nowhere"):
        download(site, target.with_name("y"), "/d")
    assert not plain.requests and left(target) == ["x.weights"]


def test_redirects_that_go_round_end(site: web.Site, target: Path) -> None:
    site.to = {"/a": "/b", "/b": "/a"}
    with pytest.raises(SourceError, match="its redirects lead nowhere"):
        download(site, target, "/a")


def test_a_certificate_that_nobody_signed_is_refused(
    site: web.Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceError, match=r"certificate of localhost is not to be trusted .*clock right\? It says 20"):
        download(site, target)
    assert not site.requests


# -- it is something else ------------------------------------------------------------------------------------


def test_a_wrong_file_is_thrown_away(site: web.Site, target: Path) -> None:
    site.data = DATA[:-1] + b"?"
    with pytest.raises(IntegrityError, match=f"sha256 {SHA256[1]} was expected, .* was found. It was deleted"):
        download(site, target)
    assert left(target) == []


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("data", [DATA + b"more", DATA[:1000]])
def test_a_file_of_another_size_is_refused(site: web.Site, target: Path, data: bytes, length: bool) -> None:
    site.data, site.length = data, length
    with pytest.raises((IntegrityError, SourceError), match="300,000"):
        download(site, target)
    assert "x.weights" not in left(target)


@pytest.mark.parametrize("length", [True, False])
def test_a_file_never_grows_beyond_its_limit(site: web.Site, target: Path, length: bool) -> None:
    site.length = length
    with pytest.raises(IntegrityError, match="100,000"):
        download(site, target, size=None, limit=100_000)
    assert left(target) == []


def test_a_web_page_is_told_by_its_title(site: web.Site, target: Path) -> None:
    site.page = b"<!DOCTYPE html><html><head><title>Google Drive - Quota\n exceeded</title></head><body>sorry</body>"
    with pytest.raises(SourceError, match=r"sent a web page \('Google Drive - Quota exceeded'\) instead of the file"):
        download(site, target)
    assert left(target) == []


FORM = b"""<html><title>Google Drive - Virus scan warning</title>
<form id="download-form" action="/x.weights" method="get">
<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="1a-b_c">
<input type="hidden" name="confirm" value="%s"></form></html>"""


def test_the_question_of_google_drive_is_answered_once(site: web.Site, target: Path) -> None:
    site.page = FORM % b"yes"
    download(site, target, "/uc?id=1")
    assert target.read_bytes() == DATA
    site.page = FORM % b"no"
    with pytest.raises(SourceError, match="Virus scan warning"):
        download(site, target.with_name("y"))
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    "url",
    ["https://drive.google.com/uc?export=download&id=1a-b_c", "https://drive.google.com/file/d/1a-b_c/view?usp=sharing",
     "https://docs.google.com/uc?id=1a-b_c"],
)  # fmt: skip
def test_links_of_google_drive_lead_to_the_bytes(url: str) -> None:
    assert pages.direct_url(url) == "https://drive.usercontent.google.com/download?id=1a-b_c&export=download&confirm=t"
    assert pages.direct_url("https://host/uc?id=1") == "https://host/uc?id=1"


# -- it cannot be written ------------------------------------------------------------------------------------


def test_room_is_looked_for_before_the_first_byte(
    site: web.Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1000))
    with pytest.raises(OutputError, match="has room for 1,000 bytes; 300,000 are still to come"):
        download(site, target)
    assert "x.weights" not in left(target)


def test_a_write_that_fails_leaves_nothing(site: web.Site, target: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*x.weights: File too large; nothing was kept"):
            download(site, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(target) == []


def test_a_full_disk_leaves_nothing(site: web.Site, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        for length, said in ((True, "has room for"), (False, "No space left on device; nothing was kept")):
            site.length = length
            with pytest.raises(OutputError, match=said):
                download(site, disk / "x.weights")
            assert left(disk / "x.weights") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_place_that_cannot_be_written(site: web.Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        download(site, tmp_path / "file" / "x.weights")
    if os.geteuid():
        tmp_path.chmod(0o555)
        with pytest.raises(OutputError, match=re.escape(f"cannot write {tmp_path}")):
            download(site, tmp_path / "x.weights")
