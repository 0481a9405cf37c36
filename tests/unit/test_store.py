"""Pulling models: what is written, what is refused, and what two processes do to each other."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, List

import numpy as np
import pytest

from edgecsp import importers
from edgecsp.cache import download
from edgecsp.errors import BadWeights, IntegrityError, OutputError, SourceError, UnknownName, UsageError
from edgecsp.graph import onnx_model
from edgecsp.zoo import PublicWeights, store
from support import toy_zoo, web
from support.repository import child_environment
from support.waiting import eventually

DATA = toy_zoo.weights_file()
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = toy_zoo.weights_file(seed=1)
QUICK = download.Patience(timeout_s=0.5, tries=2, backoff_s=0.01)
Publish = Callable[..., PublicWeights]


@pytest.fixture
def site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[web.Site]:
    yield from web.serve_trusted(DATA, certificate, monkeypatch)


@pytest.fixture(autouse=True)
def home(own_home: Path) -> Path:
    return own_home


@pytest.fixture
def publish(site: web.Site, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Give the toy public weights: `publish(sha256=...)`."""

    def with_weights(**given: Any) -> PublicWeights:
        weights = PublicWeights(site.at("/toy.weights"), licence="a toy's", **given)
        toy_zoo.add(monkeypatch, weights)
        return weights

    return with_weights


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_zoo.add(monkeypatch)


def pull(**given: Any) -> store.Record:
    return store.pull("toy", patience=QUICK, **given)


def files_in(home: Path) -> List[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")


# -- a pull --------------------------------------------------------------------------------------------------


def test_a_pulled_model_says_where_it_came_from(publish: Publish, site: web.Site, home: Path) -> None:
    publish(sha256=SHA256, size=len(DATA))
    made = pull()
    assert (made.weights, made.sha256, made.size, made.licence) == ("public", SHA256, len(DATA), "a toy's")
    assert made.check == "sha256 as published" and made == store.record("toy") and store.list_installed() == ["toy"]
    model = store.resolve("toy")
    assert model.origin == {
        "zoo": "toy", "provenance": "published", "source": site.at("/toy.weights"), "sha256": SHA256,
        "licence": "a toy's",
    }  # fmt: skip
    assert importers.load(store.path("toy")) == model and files_in(home) == ["models/toy.json", "models/toy.onnx"]
    assert store.resolve("toy", hw=(96, 64)).input.hw == (96, 64)


def test_a_download_says_what_it_is_held_against(publish: Publish, site: web.Site, log_lines: List[str]) -> None:
    publish(sha256=SHA256, size=len(DATA))
    pull()
    assert f"toy.weights, {len(DATA) / 1e6:.1f} MB; its sha256 must be {SHA256}, as published" in log_lines[0]
    publish()
    for words in ("no digest of it is known: the sha256 of this first", f"must be {SHA256}, of the first download"):
        store.remove("toy")
        log_lines.clear()
        pull()
        assert log_lines[0].startswith(f"downloading {site.at('/toy.weights')}; ") and words in log_lines[0]


def test_a_second_pull_asks_nobody(publish: Publish, site: web.Site, log_lines: List[str]) -> None:
    publish(sha256=SHA256)
    first = pull()
    log_lines.clear()
    assert pull() == first and log_lines == ["toy is here already"] and len(site.requests) == 1


def test_a_damaged_model_is_refused_and_made_anew(publish: Publish, site: web.Site) -> None:
    publish(sha256=SHA256)
    first = pull()
    store.path("toy").write_bytes(store.path("toy").read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="is not as it was written; make it anew: edgecsp models pull toy"):
        store.resolve("toy")
    assert pull().onnx_sha256 == first.onnx_sha256 and len(site.requests) == 2
    assert store.resolve("toy").name == "toy"


def test_wrong_weights_leave_what_was_there(publish: Publish, site: web.Site, home: Path) -> None:
    publish(sha256=SHA256)
    pull()
    publish(sha256="00" * 32)
    store.path("toy").write_bytes(b"damaged")
    before = files_in(home)
    with pytest.raises(IntegrityError, match=f"sha256 {'00' * 32} was expected, {SHA256} was found. It was deleted"):
        pull()
    assert files_in(home) == before


def test_a_download_that_fails_says_what_else_can_be_done(publish: Publish, site: web.Site) -> None:
    publish()
    site.answers = [404]
    with pytest.raises(SourceError, match=r"no file at .*another way: edgecsp models pull toy --from FILE"):
        pull()
    site.page = b"<html><title>Sign in</title></html>"
    with pytest.raises(SourceError, match="Sign in"):
        pull()


def test_more_than_the_model_holds_is_never_read(publish: Publish, site: web.Site, home: Path) -> None:
    publish()
    site.data, site.length = DATA + b"more", False
    with pytest.raises(IntegrityError, match=f"larger than the {len(DATA):,} bytes"):
        pull()
    site.data = DATA[:-4]
    with pytest.raises(BadWeights, match="these are not the weights of toy"):
        pull()
    assert files_in(home) == []


# -- pins ----------------------------------------------------------------------------------------------------


def test_the_first_download_is_pinned(publish: Publish, site: web.Site, home: Path) -> None:
    publish()
    assert pull().check == "first download, its sha256 is now pinned"
    store.remove("toy")
    assert files_in(home) == ["pins/toy.json"]
    assert pull().check == "sha256 as at the first download"
    store.remove("toy")
    site.data = OTHER
    with pytest.raises(
        IntegrityError, match=r"not the file that came first, on 20.*delete .*pins/toy.json and pull again"
    ):
        pull()
    assert store.list_installed() == []
    (home / "pins" / "toy.json").unlink()
    assert pull().sha256 == hashlib.sha256(OTHER).hexdigest()


# -- files of one's own --------------------------------------------------------------------------------------


def test_the_public_file_from_another_place_is_recognised(publish: Publish, site: web.Site, tmp_path: Path) -> None:
    weights = publish(sha512=hashlib.sha512(DATA).hexdigest())
    (tmp_path / "got.weights").write_bytes(DATA)
    made = pull(source=tmp_path / "got.weights")
    assert (made.weights, made.source, made.check) == ("public", weights.url, "sha512 as published")
    assert not site.requests and (tmp_path / "got.weights").is_file()


def test_own_weights_are_kept_from_the_public_ones(publish: Publish, tmp_path: Path) -> None:
    publish(sha256=SHA256)
    (tmp_path / "mine.weights").write_bytes(OTHER)
    made = pull(source=tmp_path / "mine.weights")
    assert (made.weights, made.source, made.licence) == ("own", "mine.weights", "whatever came with the file")
    with pytest.raises(
        UsageError, match=r"toy has your own weights, mine.weights. To drop them: edgecsp models rm toy"
    ):
        pull()
    assert pull(source=tmp_path / "mine.weights").sha256 == made.sha256
    store.remove("toy")
    assert pull().weights == "public"


@pytest.mark.usefixtures("unpublished")
def test_own_classes_are_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.weights"
    mine.write_bytes(toy_zoo.weights_file(classes=3))
    with pytest.raises(BadWeights, match="They fit toy with 3 classes: name them with --names, one a line"):
        pull(source=mine)
    pull(source=mine, labels=["cat", "dog", "cow"])
    assert store.resolve("toy").labels == ("cat", "dog", "cow")
    mine.write_bytes(mine.read_bytes()[:-8])
    with pytest.raises(BadWeights) as error:
        pull(source=mine)
    assert "They fit" not in str(error.value) and store.resolve("toy").labels == ("cat", "dog", "cow")
    with pytest.raises(SourceError, match=r"no weights file at .*mine.weight; did you mean .*mine.weights\?"):
        pull(source=tmp_path / "mine.weight")


def test_public_weights_have_their_labels(publish: Publish) -> None:
    publish()
    with pytest.raises(UsageError, match="--from"):
        pull(labels=["cat"])


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unpublished")
def test_a_model_without_public_weights_says_what_can_be_done() -> None:
    for ask in (pull, lambda: store.resolve("toy")):
        with pytest.raises(
            SourceError, match=r"toy has no public weights.*pull toy --from MINE.*--model toy --weights random"
        ):
            ask()
    with pytest.raises(SourceError, match=r"no public weights: its authors published none. To time it"):
        store.resolve("snet49-thundernet")
    with pytest.raises(UsageError, match="has two stages"):
        store.pull("snet49-thundernet", source=Path("x.weights"))


def test_a_model_that_is_not_here_says_how_to_get_it(publish: Publish) -> None:
    publish()
    with pytest.raises(SourceError, match=r"toy is not here yet. Download it: edgecsp models pull toy"):
        store.resolve("toy")
    with pytest.raises(UnknownName, match="Did you mean 'toy'"):
        store.pull("toi")


def test_a_word_is_a_name_or_a_path(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx_model.save(tiny.model, "street.onnx")
    assert store.resolve("street.onnx") == store.resolve(Path("street.onnx")) == tiny.model
    with pytest.raises(SourceError, match=r"no model is called yolov3-tinny, .* did you mean yolov3-tiny\?"):
        store.resolve("yolov3-tinny")
    with pytest.raises(SourceError, match=r"no model is called stret.onnx, .* did you mean street.onnx\? The names:"):
        store.resolve("stret.onnx")
    with pytest.raises(UsageError, match=r"street.onnx has weights of its own"):
        store.resolve("street.onnx", "random")
    with pytest.raises(UsageError, match=r"weights 'mine.weights': only 'random' can be given"):
        store.resolve("yolov3", "mine.weights")


@pytest.mark.usefixtures("unpublished")
def test_random_weights_are_marked_and_repeatable() -> None:
    model = store.resolve("toy", "random", hw=(96, 64))
    assert model.origin["weights"] == "random" and model.input.hw == (96, 64)
    assert model.onnx == store.random("toy", 0, hw=(96, 64)).onnx != store.random("toy", 1, hw=(96, 64)).onnx


def test_removing(publish: Publish, site: web.Site, home: Path) -> None:
    publish()
    with pytest.raises(UsageError, match=r"toy is not here. What is: nothing"):
        store.remove("toy")
    with pytest.raises(UnknownName):
        store.remove("../toy")
    site.cuts = [100, 100]
    with pytest.raises(SourceError):
        pull()
    assert "downloads/toy.weights.part" in files_in(home)
    store.remove("toy")
    assert files_in(home) == []


def test_the_home_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EDGECSP_HOME", "~/models")
    assert store.home() == tmp_path / "models"
    monkeypatch.delenv("EDGECSP_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert "edgecsp" in store.home().parts and tmp_path in store.home().parents


# -- writing -------------------------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written(publish: Publish, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish()
    home.write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write to .*home.*Set EDGECSP_HOME to a folder of yours"):
        pull()
    if os.geteuid():
        home.unlink()
        home.mkdir(mode=0o555)
        with pytest.raises(OutputError, match="Set EDGECSP_HOME"):
            pull()


def test_a_disk_that_fills_while_the_model_is_written(publish: Publish, home: Path) -> None:
    publish()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA), before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*toy.onnx: File too large"):
            pull()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.list_installed() == [] and "models/toy.onnx" not in files_in(home)
    assert not [name for name in files_in(home) if "part" in name]


# -- processes -----------------------------------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command line in a process that ends with the test."""
    begun: List[subprocess.Popen[str]] = []

    def run(weights: PublicWeights, *words: object) -> subprocess.Popen[str]:
        command = toy_zoo.command(weights, *words)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, env=child_environment(), **pipes))
        return begun[-1]

    yield run
    for process in begun:
        with process:
            process.kill()


def test_two_processes_pull_one_name_once(publish: Publish, site: web.Site, start: Any) -> None:
    weights = publish(sha256=SHA256)
    site.piece, site.pace_s = len(DATA) // 20, 0.1
    both = [start(weights, "models", "pull", "toy") for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    errors = sorted(err for _, err in said)
    assert len(site.requests) == 1
    assert "another process is at work on toy; waiting for it" in errors[0] and "toy is here already" in errors[0]
    assert said[0][0] == said[1][0] and store.resolve("toy").origin["sha256"] == SHA256


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_came_and_the_next_pull_goes_on(
    publish: Publish, site: web.Site, home: Path, start: Any, number: signal.Signals
) -> None:
    weights = publish(sha256=SHA256)
    site.piece, site.pace_s = len(DATA) // 40, 0.1
    part = home / "downloads" / "toy.weights.part"
    process = start(weights, "models", "pull", "toy")
    eventually(lambda: part.is_file() and part.stat().st_size > len(DATA) // 10)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number and "Traceback" not in err
    kept = part.stat().st_size
    site.pace_s = 0.0
    assert pull().sha256 == SHA256
    assert site.requested_ranges == [None, f"bytes={kept}-"] and np.array_equal(store.list_installed(), ["toy"])
