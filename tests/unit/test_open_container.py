"""Opening videos with every version of PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import av
import pytest

from edgecsp.media.sources import video
from edgecsp.media.sources.ffmpeg_log import open_container
from support import media


def test_metadata_that_is_no_utf8(tmp_path: Path) -> None:
    path = media.video(tmp_path / "a.mkv", 3, title="TITLE")
    data = path.read_bytes()
    assert b"TITLE" in data
    path.write_bytes(data.replace(b"TITLE", b"\xff\xfe\xe9\xe8\xe7"))
    with video.Video(str(path)) as source:
        assert len(list(source)) == 3


@pytest.mark.parametrize(("version", "options"), [("12.3.0", {"metadata_errors": "replace"}), ("19.0.2", {})])
def test_a_parameter_that_pyav_19_dropped(
    monkeypatch: pytest.MonkeyPatch, version: str, options: Dict[str, str]
) -> None:
    calls: List[Any] = []
    monkeypatch.setattr(av, "__version__", version)
    monkeypatch.setattr(av, "open", lambda file, **given: calls.append((file, given)))
    open_container("a.mp4", timeout=1)
    assert calls == [("a.mp4", {"timeout": 1, **options})]
