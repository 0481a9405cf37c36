"""One body over every engine: `run` with its threads gives byte for byte what one thread gives, broken frames too."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import pytest

from edgecsp import backends, pipeline
from edgecsp.errors import OutputError, SourceError
from edgecsp.media import sinks, sources
from edgecsp.options import Thresholds
from edgecsp.types import Frame, Result
from support import media
from support.engines import require_engine
from support.repository import REPO
from support.tiny import Tiny

SETTINGS = Thresholds(conf=0.3, max_det=20)


@pytest.fixture(params=backends.names())
def engine(request: pytest.FixtureRequest) -> str:
    return require_engine(request.param)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> List[Path]:
    """Three videos: whole, one with its middle overwritten, and one of another size and length."""
    folder = tmp_path_factory.mktemp("clips")
    whole = media.video(folder / "whole.mp4", 40)
    broken = folder / "broken.mp4"
    data = bytearray(media.video(broken, 40, draw=lambda i, w, h: media.noise(i, w, h)).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 30_000] = bytes(30_000)
    broken.write_bytes(data)
    return [whole, broken, media.video(folder / "other.mp4", 25, size=(96, 64))]


def straight(detector: pipeline.Detector, paths: Sequence[Path]) -> Dict[str, List[str]]:
    """The JSON lines of each source, by the line as it is drawn: one thing after the other."""
    lines: Dict[str, List[str]] = {}
    for path in paths:
        with sources.open(str(path)) as source:
            lines[str(path)] = [json.dumps(sinks.rows.to_dict(frame, detector(frame))) for frame in source]
    return lines


def by_source(text: str) -> Dict[str, List[str]]:
    lines: Dict[str, List[str]] = {}
    for line in text.splitlines():
        lines.setdefault(json.loads(line)["source"], []).append(json.dumps(json.loads(line)))
    return lines


def ran(detector: pipeline.Detector, paths: Sequence[Path], target: Path, **more: Any) -> pipeline.RunSummary:
    summary = pipeline.RunSummary()
    opened = sources.open_all([str(path) for path in paths])
    with sinks.open(json=target, sources=opened) as sink:
        pipeline.run(detector, opened, sink.write, summary, ended=sink.end_stream, **more)
    return summary


@pytest.mark.parametrize("at_once", [1, 2])
def test_many_threads_give_what_one_gives(
    engine: str, at_once: int, tiny: Tiny, clips: List[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = backends.open(tiny.model, engine, threads=2, concurrency=at_once)
    with pipeline.Detector(tiny.model, session, SETTINGS) as detector:
        wanted = straight(detector, clips)
        assert [len(lines) for lines in wanted.values()][::2] == [40, 25]
        if not backends.info(engine).is_dummy:
            assert any('"xyxy"' in line for lines in wanted.values() for line in lines), "a test without boxes is none"
        prepare, chance = detector.prepare, random.Random(3)

        def late(image: Any) -> Any:
            time.sleep(chance.choice((0, 0, 0.003)))
            return prepare(image)

        monkeypatch.setattr(detector, "prepare", late)
        summary = ran(detector, clips, tmp_path / "x.jsonl")
    assert by_source((tmp_path / "x.jsonl").read_text()) == wanted
    assert summary.frames == sum(map(len, wanted.values()))
    assert sorted(summary.by_source.values()) == sorted(map(len, wanted.values()))
    assert any("broken.mp4" in text for text in summary.problems)


def test_a_session_is_for_as_many_threads_as_it_says(engine: str, tiny: Tiny) -> None:
    """In a process of its own and from the first call on: OpenVINO's bindings deadlock when two first calls meet."""
    code = f"""
import sys, threading
sys.path[:0] = [{str(REPO)!r}]
import numpy as np
from edgecsp import backends; from edgecsp.importers import darknet
model = darknet.load({str(tiny.cfg)!r}, {str(tiny.weights)!r}).model
session = backends.open(model, {engine!r}, threads=2, concurrency=2)
count = session.concurrency
batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
heads, together = [], threading.Barrier(count)

def call():
    together.wait()
    heads.extend([[out.copy() for out in session.run(batch)] for _ in range(20)])

threads = [threading.Thread(target=call) for _ in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(heads) == 20 * count
assert all((a == b).all() for found in heads for a, b in zip(found, heads[0]))
print(count)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPO)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) == (2 if "cpu" in backends.info(engine).concurrent_devices else 1)


@pytest.mark.parametrize("stage", ["prepare", "infer", "finish", "write"])
def test_no_stage_swallows_an_error(stage: str, tiny: Tiny, clips: List[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written before it is what one thread would have written before it."""
    written: List[int] = []
    turns = iter(range(1000))

    def breaks(*given: Any) -> Any:
        # The batch of a grey level tells which frame it is, in whatever order the threads come by.
        if next(turns) == 9:
            raise ArithmeticError(stage)
        return works(*given)

    def write(frame: Frame, result: Result) -> None:
        written.append(frame.index)

    with pipeline.Detector(tiny.model, backends.open(tiny.model, "null"), SETTINGS) as detector:
        works: Any = write
        if stage != "write":
            works = getattr(detector, stage)
            monkeypatch.setattr(detector, stage, breaks)
        with pytest.raises(ArithmeticError, match=stage):
            pipeline.run(
                detector,
                sources.open_all([str(clips[0])]),
                breaks if stage == "write" else write,
                pipeline.RunSummary(),
            )
    assert written == list(range(len(written)))
    assert 9 - 4 <= len(written) <= 9 + 4
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("edgecsp")]


@pytest.mark.parametrize("after", [1, 7, 39])
def test_stopped_after_any_frame_the_file_is_a_beginning(
    after: int, tiny: Tiny, clips: List[Path], tmp_path: Path
) -> None:
    with pipeline.Detector(
        tiny.model, backends.open(tiny.model, "ort", threads=2, concurrency=2), SETTINGS
    ) as detector:
        wanted = straight(detector, clips[:1])[str(clips[0])]
        stop, summary = threading.Event(), pipeline.RunSummary()
        opened = sources.open_all([str(clips[0])])
        with sinks.open(json=tmp_path / "x.jsonl", sources=opened) as sink:
            pipeline.run(
                detector, opened, sink.write, summary, tick=lambda: summary.frames == after and stop.set(), stop=stop
            )
        assert ran(detector, clips[:1], tmp_path / "y.jsonl", max_frames=after).frames == after
    got = by_source((tmp_path / "x.jsonl").read_text())[str(clips[0])]
    assert got == wanted[:after]
    assert (tmp_path / "x.jsonl").read_text() == (tmp_path / "y.jsonl").read_text()


def test_a_stream_that_fails_is_told_and_the_others_go_on(tiny: Tiny, clips: List[Path], tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.mp4"
    nothing.write_bytes(b"no video at all, only words")
    with pipeline.Detector(tiny.model, backends.open(tiny.model, "ort"), SETTINGS) as detector:
        wanted = straight(detector, clips)
        summary = ran(detector, [clips[0], nothing, *clips[1:]], tmp_path / "x.jsonl")
        assert by_source((tmp_path / "x.jsonl").read_text()) == wanted
        assert len(summary.failed) == 1 and "nothing.mp4" in summary.failed[0]
        with pytest.raises(SourceError, match=r"nothing\.mp4"):
            ran(detector, [nothing], tmp_path / "y.jsonl")


def test_each_stream_has_its_copy_and_a_sink_that_fails_ends_all(tiny: Tiny, clips: List[Path], tmp_path: Path) -> None:
    import av

    with pipeline.Detector(tiny.model, backends.open(tiny.model, "null"), SETTINGS) as detector:
        opened = sources.open_all([str(path) for path in clips])
        with sinks.open(out=tmp_path / "out", sources=opened) as sink:
            pipeline.run(detector, opened, sink.write, pipeline.RunSummary(), ended=sink.end_stream)
            assert len(sink.paths) == 3, "each is finished when its stream is"
        counts = {}
        for path in sink.paths:
            with av.open(str(path)) as container:
                counts[path.name] = sum(1 for _ in container.decode(video=0))
        assert (counts["whole.mp4"], counts["other.mp4"]) == (40, 25)

        def full(frame: Frame, result: Result) -> None:
            raise OutputError("the disk is full")

        with pytest.raises(OutputError, match="the disk is full"):
            pipeline.run(detector, sources.open_all([str(p) for p in clips]), full, pipeline.RunSummary())


def test_the_python_stream_takes_turns_and_may_be_used_inside(tiny: Tiny, clips: List[Path]) -> None:
    with pipeline.Detector(tiny.model, backends.open(tiny.model, "ort"), SETTINGS) as detector:
        seen: Dict[str, List[int]] = {}
        for frame, result in detector.stream(str(clips[0]), str(clips[2])):
            seen.setdefault(Path(frame.stream.name).name, []).append(frame.index)
            again = detector(frame.image)
            assert np.array_equal(result.xyxy, again.xyxy) and np.array_equal(result.scores, again.scores)
    assert seen == {"whole.mp4": list(range(40)), "other.mp4": list(range(25))}
