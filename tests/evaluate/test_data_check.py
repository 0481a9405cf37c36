"""`edgecsp data check`: some sixty kinds of broken images and labels are named, and few of them are fatal."""

from __future__ import annotations

import base64
import html.parser
import json
import re
from pathlib import Path
from typing import Any, List, Tuple

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgecsp.bench.accuracy import check, inspection
from edgecsp.cli import app
from edgecsp.errors import EdgecspError, SourceError, UsageError
from edgecsp.types import Array
from support import labelled, spoiled
from support.progress import RecordedProgress

KINDS = {**spoiled.SURVIVED, **spoiled.FATAL}


def run(*words: object) -> Tuple[str, str]:
    """What `data check` prints, and its error."""
    try:
        done = CliRunner().invoke(app, ["data", "check", *map(str, words)], catch_exceptions=False)
    except EdgecspError as error:
        assert error.exit_code == 3, error
        return "", str(error)
    assert done.exit_code == 0, done.output
    return done.output, ""


def test_data_that_is_right_has_no_problem(tmp_path: Path) -> None:
    said, error = run(spoiled.good(tmp_path), "--json", tmp_path / "report.json")
    assert error == "" and spoiled.CLEAN in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["schema"] == "edgecsp-data/1" and report["problems"] == []
    parts = [(part["name"], part["images"], part["boxes"]) for part in report["parts"]]
    assert parts == [("train", 4, 8), ("val", 2, 4)]
    assert report["parts"][0]["classes"] == {"square": 4, "disc": 4} and report["median_px"] == 27.7
    assert report["sizes"] == {"small": 1.0, "medium": 0.0, "large": 0.0}
    assert all(name in said for name in ("train: 4 images; 8 boxes of 2 classes", "square", "disc"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_named(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if "yaml" in kind:
        pytest.importorskip("yaml", reason="PyYAML (extra val) is not installed")
    spoil, wanted, fatal = KINDS[kind]
    root = spoiled.good(tmp_path / "data")
    try:
        spoil(root)
    except OSError as error:
        pytest.skip(f"this file system does not take it: {error}")
    out, page = tmp_path / "report.json", tmp_path / "page.html"
    said, error = run(root, "--json", out, "--html", page)
    where = error
    if fatal and out.exists():  # what can be read is reported all the same
        report = json.loads(out.read_text())
        wrong = [each for each in report["problems"] if each["fatal"]]
        where = " ".join(f"error: {each['text']}: {each['places']}" for each in wrong)
        assert wrong and page.stat().st_size > 1000
        assert "cannot be used as it is" in error
    assert bool(error) == fatal, error
    assert re.search(wanted, where if fatal else said), (where, said)
    assert "Traceback" not in said and capfd.readouterr().err == ""
    if not fatal:
        assert said.count("warning: ") == (0 if wanted == spoiled.CLEAN or "without a box" in wanted else 1), said


def test_there_are_enough_kinds() -> None:
    assert len(spoiled.SURVIVED) >= 30 and len(spoiled.FATAL) >= 25


def test_headers_alone_show_what_they_can(tmp_path: Path) -> None:
    root = spoiled.good(tmp_path)
    spoiled.SURVIVED["zero bytes"].spoil(root)
    (root / "images/train/2.jpg").write_bytes(spoiled.truncated())
    said, _ = run(root, "--quick")
    assert "2 images cannot be read" in said and "train/2.jpg " in said and "premature end" in said


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("whole", [False, True])
def test_a_look_gives_the_size_that_decoding_gives(orientation: int, whole: bool, tmp_path: Path) -> None:
    from support import media

    path = tmp_path / "a.jpg"
    path.write_bytes(media.jpeg(spoiled.synthetic_image(0), orientation))
    seen, image = inspection.read_image(str(path))
    assert image is not None and seen.hw == image.shape[:2] == ((64, 96) if orientation < 5 else (96, 64))
    again = inspection.inspect_image(str(path), whole)
    assert (again.hw, again.digest) == (seen.hw, seen.digest) and (again.shade is not None) == whole


def shown(page: str) -> List[Array]:
    """The images of a page."""
    found: List[Array] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            for name, value in attrs:
                assert name not in ("href", "srcset", "onload") and not (name == "src" and "//" in value[:20])
                if tag == "img" and name == "src":
                    data = base64.b64decode(value.split("base64,")[1])
                    found.append(cv2.imdecode(np.frombuffer(data, np.uint8), 1))

    Reader().feed(page)
    return found


def test_the_page_shows_labelled_images_in_the_colours_of_their_classes(tmp_path: Path) -> None:
    root = spoiled.good(tmp_path / "data")
    (root / "classes.txt").write_text("<script>\ndisc\n")
    run(root, "--html", tmp_path / "page.html", "--sheet", 3)
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page and "http:" not in page and "https:" not in page
    made = shown(page)
    assert len(made) == 3 and all(each.shape == (64, 96, 3) for each in made)
    for first, x in ((0xE69F00, 12), (0x4477FF, 60)):  # the left edges of the boxes
        rgb = np.array([first >> 16, first >> 8 & 255, first & 255])
        assert np.abs(made[0][34:44, x - 1 : x + 2, ::-1].astype(int) - rgb).sum(2).min() < 90
    run(root, "--html", tmp_path / "all.html")
    assert len(shown((tmp_path / "all.html").read_text())) == 6


def test_standard_output_is_the_report_alone(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "check", str(spoiled.good(tmp_path)), "--json", "-", "--quiet"])
    assert json.loads(done.output)["layout"] == "text labels beside images"


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sheet 0: must be at least 1 image"):
        CliRunner().invoke(app, ["data", "check", str(tmp_path), "--sheet", "0"], catch_exceptions=False)
    with pytest.raises(SourceError, match=r"there is no .*nothing; data is COCO's"):
        CliRunner().invoke(app, ["data", "check", str(tmp_path / "nothing")], catch_exceptions=False)


def test_all_of_a_coco_file_is_one_part(tmp_path: Path) -> None:
    parts = check.read_parts(labelled.coco(tmp_path))
    assert list(parts) == ["all"]
    report = check.check(parts)
    assert report.parts[0][1:6] == (3, 1, 0, 4, 0) and report.crowded[0] == (parts["all"].images[0].path, 3)
    assert report.lines()[0] == "all: 3 images, 1 of them without a box; 4 boxes of 3 classes"


def test_a_report_that_was_broken_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise SourceError("broken off")

    monkeypatch.setattr(check, "check", fail)
    root = spoiled.good(tmp_path / "data")
    (tmp_path / "out").mkdir()
    assert run(root, "--json", tmp_path / "out" / "report.json")[1] == "broken off"
    assert list((tmp_path / "out").iterdir()) == []


def test_the_tick_comes_once_an_image(tmp_path: Path) -> None:
    bar = RecordedProgress()
    check.check(check.read_parts(spoiled.good(tmp_path)), progress=bar)
    assert bar.steps[-1][0] == 6
