"""Models, sources and sinks of other packages: found by name, used like edgecsp's own, refused with a reason."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Iterator

import pytest

from edgecsp import pipeline, zoo
from edgecsp.errors import OutputError, SourceError, UnknownName, UsageError
from edgecsp.graph import onnx_model
from edgecsp.media import sinks, sources
from edgecsp.media.sinks import external
from edgecsp.serve import streams
from edgecsp.system import entry_points
from edgecsp.zoo import store
from support import commands, packages
from support.tiny import Tiny

CODE = """
from dataclasses import replace
import numpy as np
from edgecsp import zoo
from edgecsp.media.sinks import Sink
from edgecsp.media.sources import Source
from edgecsp.types import Frame, Stream

MODELS = [replace(zoo.get("yolov3-tiny"), name="toy-tiny", weights=None)]

class Counted(Source):
    moving = True
    def __init__(self, uri, *, stride, timeout_s):
        super().__init__(uri, stride=stride)
        self.count = int(uri.partition("://")[2])
    def __iter__(self):
        stream = Stream(self.name, "video")
        for index in range(0, self.count, self.stride):
            yield Frame(np.full((48, 64, 3), index, np.uint8), stream, index)

class Lines(Sink):
    def __init__(self, target):
        self.target, self.lines = target, []
    def write(self, frame, result):
        self.lines.append(f"{frame.index} {len(result)}")
    def close(self):
        with open(self.target, "w") as file:
            file.write(chr(10).join(self.lines))

def nothing(*given, **more):
    return None

broken = 3
"""
GROUPS = {
    "edgecsp.models": {"toy": "MODELS"},
    "edgecsp.sources": {"count": "Counted", "nothing": "nothing", "gone": "absent", "http": "nothing"},
    "edgecsp.sinks": {"lines": "Lines", "nothing": "nothing", "gone": "absent"},
}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    packages.install(tmp_path, monkeypatch, CODE, GROUPS)
    yield tmp_path
    packages.forget()


def test_a_source_is_opened_by_its_scheme(toys: Path) -> None:
    assert [frame.index for frame in sources.open("count://5", stride=2)] == [0, 2, 4]
    streams.check("count://5")
    for check in (sources.open, streams.check):
        with pytest.raises(SourceError, match=r"'toy' is not supported; supported: .*count, .*csi, gst:PIPELINE"):
            check("toy://1")


def test_a_source_that_cannot_be_opened_says_why(toys: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing://1: edgecsp_toy:nothing of edgecsp-toy 0.1 gave a NoneType"):
        sources.open("nothing://1")
    with pytest.raises(SourceError, match=r"the scheme 'gone' of edgecsp-toy 0.1 cannot be loaded .AttributeError"):
        sources.open("gone://1")


def test_built_in_names_read_no_entry_points(toys: Path, tiny: Tiny, tmp_path: Path) -> None:
    onnx_model.save(tiny.model, tmp_path / "x.onnx")
    before = entry_points.read.cache_info().misses
    store.resolve(tmp_path / "x.onnx")
    with pytest.raises(SourceError, match=r"cannot open http://127\.0\.0\.1:9/a"):
        sources.open("http://127.0.0.1:9/a.mjpg")
    assert zoo.get("codes").name == "codes" and entry_points.read.cache_info().misses == before
    zoo.names()
    assert entry_points.read.cache_info().misses == before + 1


def test_a_run_from_a_source_into_a_sink_of_another_package(
    toys: Path, tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx_model.save(tiny.model, tmp_path / "tiny.onnx")
    target = tmp_path / "lines.txt"
    words = ("run", "count://3", "-m", str(tmp_path / "tiny.onnx"), "-e", "null", "--sink", f"lines={target}")
    assert commands.invoke(capsys, *words)[0] == 0
    assert target.read_text().splitlines() == ["0 0", "1 0", "2 0"]
    assert not (tmp_path / "runs").exists()


def test_a_sink_that_cannot_be_opened_says_why(toys: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "x")
    with pytest.raises(UnknownName, match=r"no sink is called 'line'\. Did you mean 'lines'\?"):
        sinks.open(external=[("line", target)])
    with pytest.raises(OutputError, match=r"sink 'gone' of edgecsp-toy 0.1 cannot be loaded"):
        sinks.open(external=[("gone", target)])
    with pytest.raises(OutputError, match=r"sink 'nothing': .* gave a NoneType, which is not derived from Sink"):
        sinks.open(external=[("nothing", target)])
    with pytest.raises(UsageError, match=r"two results cannot both go to"):
        sinks.open(json=target, external=[("lines", target)])
    with pytest.raises(UsageError, match=r"--sink lines: must be NAME=TARGET"):
        external.parse("lines")


def test_a_model_is_one_of_the_zoo(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.names()[-1] == "toy-tiny" and zoo.net("toy-tiny").floats == zoo.net("yolov3-tiny").floats
    assert store.resolve("toy-tiny", "random", hw=(64, 64)).name == "toy-tiny"
    with pipeline.load("toy-tiny", "null", weights="random", imgsz=64) as detector:
        assert detector.model.name == "toy-tiny"
    code, out, _ = commands.invoke(capsys, "models", "list", "--json", "-")
    assert code == 0 and json.loads(out)[-1]["name"] == "toy-tiny"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("MODELS = 3", "'int' object is not iterable"),
        ("MODELS = [3]", "3 is no zoo.Entry"),
        ("from edgecsp import zoo; MODELS = [zoo.get('yolov3')]", "another model is called yolov3"),
        ("1 / 0", "of edgecsp-toy 0.1 cannot be loaded (ZeroDivisionError"),
    ],
)
def test_a_model_that_cannot_be_used_is_left_out_with_a_warning(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packages.forget()
    count = len(zoo.names())
    packages.install(tmp_path, monkeypatch, code, {"edgecsp.models": {"toy": "MODELS"}})
    with caplog.at_level(logging.WARNING, "edgecsp"):
        assert len(zoo.names()) == count
    packages.forget()
    assert reason in caplog.text
