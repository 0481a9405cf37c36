"""Lines, zones and events in the site file: read whole, refused by line and key, changed in a file beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from edgecsp.cache.toml_file import line_of
from edgecsp.errors import OutputError, UnknownName, UsageError
from edgecsp.serve import site
from edgecsp.serve.event_store import AFTER_S, BEFORE_S, MAX_DAYS, MAX_MB
from edgecsp.serve.site_keys import schema
from edgecsp.track import Line, Zone
from support.commands import edgecsp

WHOLE = """\
[[streams]]
name = "door"
source = "0"

[[streams.lines]]
name = "gate"
points = [[0.1, 0.6], [0.9, 0.6]]
classes = ["qr", 1]
cooldown_s = 0.5

[[streams.zones]]
name = "ramp one"
points = [[0, 0], [320, 0], [320, 240]]
anchor = "center"
dwell_s = 10
max_count = 2

[[streams]]
name = "yard"
source = "1"
editable = true

[[streams.lines]]
name = "gate"
points = [
  [0, 0.5],
  [1, 0.5],
]

[[streams]]
name = "attic"
source = "2"

[events]
folder = "kept"
max_mb = 50
"""


class Detector:
    """What `views` asks of a model."""

    labels = ("qr", "code128")
    conf = 0.3

    def class_ids(self, names: List[str]) -> List[int]:
        for name in names:
            if name not in self.labels and not name.isdigit():
                raise UnknownName("class", name, self.labels)
        return [int(name) if name.isdigit() else self.labels.index(name) for name in names]

    def require_boxes(self, problem: str) -> None:
        """It has them."""


class Classifier(Detector):
    def require_boxes(self, problem: str) -> None:
        raise UsageError(problem)


def load(folder: Path, text: str) -> site.ServerConfig:
    (folder / "site.toml").write_text(text)
    return site.load(folder / "site.toml")


def views(folder: Path, text: str, model: Any = None) -> Any:
    return load(folder, text).views(model or Detector())


def test_lines_zones_and_events_are_read(tmp_path: Path) -> None:
    door, yard, attic = views(tmp_path, WHOLE)
    assert door.areas.lines == (Line("gate", ((0.1, 0.6), (0.9, 0.6)), classes=("qr", "code128"), cooldown_s=0.5),)
    assert door.areas.zones == (
        Zone("ramp one", ((0, 0), (320, 0), (320, 240)), anchor="center", cooldown_s=1, dwell_s=10, max_count=2),
    )
    assert yard.areas.lines == (Line("gate", ((0, 0.5), (1, 0.5)), cooldown_s=1),)
    assert (door.areas.is_editable, yard.areas.is_editable, attic.areas) == (False, True, None)
    assert load(tmp_path, WHOLE).events_config == site.EventsConfig(
        tmp_path / "kept", True, BEFORE_S, AFTER_S, 50, MAX_DAYS
    )
    bare = load(tmp_path, '[events]\nfolder = "/x"\n').events_config
    assert bare is not None and (bare.folder, bare.max_mb) == (Path("/x"), MAX_MB)
    assert load(tmp_path, "").events_config is None
    (tracked,) = views(tmp_path, '[[streams]]\nsource = "0"\ntrack = true\n')
    assert tracked.areas is not None and tracked.areas.lines == ()


# What is changed in WHOLE, the line that is named, and words of the error.
WRONG: Dict[str, Tuple[Tuple[str, str], int, str]] = {
    "a key of a line": (("cooldown_s", "cool_down_s"), 9, r"streams\[1\].lines\[1\].cool_down_s: no key is called"),
    "a key of a zone": (("max_count = 2", "max_cunt = 2"), 16, r"zones\[1\].max_cunt: .* Did you mean 'max_count'"),
    "one point": (
        ("[[0.1, 0.6], [0.9, 0.6]]", "[[0.1, 0.6]]"), 7, r"lines\[1\].points: .* is invalid: must be a list of 2",
    ),
    "no pairs": (
        ("[[0.1, 0.6], [0.9, 0.6]]", "[0.1, 0.6]"), 7, r"lines\[1\].points: .* is invalid: must be two \[x, y\]",
    ),
    "words": (("[0, 0.5]", '["a", 0.5]'), 25, r"streams\[2\].lines\[1\].points: .* is invalid"),
    "no points": (("points = [[0.1, 0.6], [0.9, 0.6]]\n", ""), 5, "points is required"),
    "no name": (('name = "ramp one"\n', ""), 11, "name is required"),
    "a name for a topic": (('"ramp one"', '"a/b"'), 11, r"zones\[1\]: zone 'a/b': a name has letters"),
    "no area": (("[320, 240]", "[160, 0]"), 11, "with an area between them"),
    "a name twice": (('"ramp one"', '"gate"'), 1, r"streams\[1\]: two lines or zones are called 'gate'"),
    "an anchor": (('"center"', '"top"'), 14, "must be one of bottom, center"),
    "a table for many": (
        ("[[streams.zones]]", "[streams.zones]"), 1, r"must be a list of tables: \[\[streams.zones\]\]",
    ),
    "lines and no tracks": (
        ('name = "door"', 'name = "door"\ntrack = false'), 3, "lines, zones and editable need tracks",
    ),
    "no folder": (('folder = "kept"\n', ""), 34, "folder is required"),
    "too much": (("max_mb = 50", "max_mb = 0"), 36, "events.max_mb: 0 is invalid: must be a number from 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_by_line_and_key(tmp_path: Path, name: str) -> None:
    (old, new), line, words = WRONG[name]
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    with pytest.raises(UsageError, match=words) as caught:
        load(tmp_path, text)
    assert f"site.toml, line {line}: " in str(caught.value)


def test_what_the_model_lacks_is_named_by_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 8: streams\[1\].lines\[1\].classes: no class is called 'qrr'"):
        views(tmp_path, WHOLE.replace('"qr"', '"qrr"'))
    with pytest.raises(UsageError, match=r"streams\[1\].track: tracks need boxes"):
        views(tmp_path, WHOLE, Classifier())


def test_the_schema_says_the_same(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    toml: Any = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema(), allow_nan=False)))
    assert list(validator.iter_errors(toml.loads(WHOLE))) == []
    reader_knows = {"a name for a topic", "no area", "a name twice", "lines and no tracks"}
    for name, ((old, new), _, _) in WRONG.items():
        errors = list(validator.iter_errors(toml.loads(WHOLE.replace(old, new, 1))))
        assert bool(errors) == (name not in reader_knows), name


def test_the_line_of_a_key_of_an_inner_table() -> None:
    assert line_of(WHOLE, ("streams", 1, "lines", 0, "name")) == 24
    assert line_of(WHOLE, ("streams", 0, "zones", 0, "dwell_s")) == 15
    assert line_of(WHOLE, ("streams", 1, "lines", 0)) == 23
    assert line_of(WHOLE, ("streams", 2, "lines", 0)) is None


def test_what_is_drawn_is_saved_beside_and_wins(tmp_path: Path) -> None:
    _, yard, _ = views(tmp_path, WHOLE)
    line = Line("new", ((0, 0), (1, 1)), classes=("qr",), cooldown_s=2)
    zone = Zone("small", ((0, 0), (1, 0), (1, 1)), dwell_s=3)
    yard.areas.replace([line], [zone])
    assert (tmp_path / "site.toml").read_text() == WHOLE, "its comments stay"
    assert set(json.loads((tmp_path / "site.areas.json").read_text())) == {"yard"}
    door, yard, _ = views(tmp_path, WHOLE)
    assert (yard.areas.lines, yard.areas.zones) == ((line,), (zone,))
    assert [each.name for each in door.areas.lines] == ["gate"]
    # Only as long as the site file allows it.
    _, fixed, _ = views(tmp_path, WHOLE.replace("editable = true\n", ""))
    assert [each.name for each in fixed.areas.lines] == ["gate"]
    # A folder that cannot be written is an error of the request, and nothing changes.
    (tmp_path / "site.areas.json").unlink()
    (tmp_path / "site.areas.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*site\.areas\.json"):
        yard.areas.replace([], [])
    assert yard.areas.lines == (line,)


def test_beside_a_site_file_in_a_read_only_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test's user may be root, who may write into any folder: the file system's answer stands in for a read-only one.
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "home"))
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != folder)
    _, yard, _ = views(folder, WHOLE)
    yard.areas.replace([Line("new", ((0, 0), (1, 1)))], [])
    assert [each.name for each in folder.iterdir()] == ["site.toml"]
    assert (tmp_path / "home" / "areas" / "site.areas.json").is_file()
    _, yard, _ = views(folder, WHOLE)
    assert [each.name for each in yard.areas.lines] == ["new"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "the file must be a JSON object"),
        ('{"yard": {"lines": [{"name": "x"}]}}', r"lines\[0\].points is required"),
        ('{"yard": {"lines": [{"name": "x", "points": [[0, 0], [0, 0]]}]}}', "stream yard: line x: a line has two"),
        ('{"yard": {"lines": [{"name": "x", "points": [[0, 0], [1, 0]], "classes": ["y"]}]}}', "no class is called"),
    ],
)  # fmt: skip
def test_a_file_that_was_spoiled_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "site.areas.json").write_text(content)
    with pytest.raises(UsageError, match=words) as caught:
        views(tmp_path, WHOLE)
    assert "site.areas.json" in str(caught.value) and "remove it to go back to the site file" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "code", "error"),
    [
        ('classes = ["qr", 1]', 'classes = ["person"]', 2, "streams[1].lines[1].classes: no class of codes is called"),
        ('folder = "kept"', 'folder = "site.toml/x"', 5, "cannot keep events in"),
    ],
)
def test_check_refuses_what_up_refuses(tmp_path: Path, old: str, new: str, code: int, error: str) -> None:
    (tmp_path / "site.toml").write_text('listen = "127.0.0.1:0"\n' + WHOLE.replace(old, new))
    checked, served = (
        edgecsp("up", *words, str(tmp_path / "site.toml"), code=code, timeout=60) for words in (["check"], [])
    )
    assert error in checked.stderr and error in served.stderr
