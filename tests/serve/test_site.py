"""A site in one file: read whole, or refused by its line and key."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from edgecsp.cache.toml_file import line_of
from edgecsp.errors import EdgecspError, SourceError, UnknownName, UsageError
from edgecsp.options import Thresholds
from edgecsp.serve import site
from edgecsp.serve.site_keys import KEYS, schema
from support import media
from support.commands import edgecsp

WHOLE = """\
model = "codes"
engine = "ort"
threads = 2
precision = "fp32"
imgsz = [256, 320]
conf = 0.3
iou = 0.5
classes = ["code128"]
listen = "0.0.0.0:9000"
token = "file:token"
queue = 8
loop = false

[[streams]]
name = "door"
title = "Front door"
source = "env:DOOR_URL"
conf = 0.6
classes = ["qr"]

[[streams]]
source = "street.mp4"

[mqtt]
url = "mqtts://broker.lan/home"
username = "box"
password = "env:MQTT_PASSWORD"
discovery = ""
every_s = 5

[[webhooks]]
url = "env:HOOK"
secret = "file:secret"
streams = ["door"]
"""
TOKEN = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    media.video(tmp_path / "street.mp4", 3)
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "secret").write_text("swordfish\n")
    for name in ("token", "secret"):
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("DOOR_URL", "rtsp://eve:hunter2@10.0.0.9/live")
    monkeypatch.setenv("MQTT_PASSWORD", "opensesame")
    monkeypatch.setenv("HOOK", "https://hooks.example/services/xyzzy")
    return tmp_path


def load(folder: Path, text: str) -> site.ServerConfig:
    (folder / "site.toml").write_text(text)
    return site.load(folder / "site.toml")


class Labelled:
    """What `views` asks of a model."""

    labels = ("qr", "code128")

    def class_ids(self, names: List[str]) -> List[int]:
        for name in names:
            if name not in self.labels:
                raise UnknownName("class", name, self.labels)
        return [self.labels.index(name) for name in names]


def test_a_whole_site(folder: Path) -> None:
    made = load(folder, WHOLE)
    assert (made.host, made.port, made.token, made["queue"], made["loop"]) == ("0.0.0.0", 9000, TOKEN, 8, False)
    assert (made.model, made["engine"], made["imgsz"], made["threads"]) == ("codes", "ort", (256, 320), 2)
    door, cam2 = made.views(Labelled())  # type: ignore[arg-type]
    assert (door.name, door.title, door.uri) == ("door", "Front door", "rtsp://eve:hunter2@10.0.0.9/live")
    assert (door.settings.conf, door.settings.iou, door.settings.classes) == (0.6, 0.5, (0,))
    assert (cam2.name, cam2.title, cam2.uri) == ("cam2", "street.mp4", str(folder / "street.mp4"))
    assert (cam2.settings.conf, cam2.settings.classes) == (0.3, (1,))
    assert made.broker is not None
    assert (made.broker.username, made.broker.password, made.broker.discovery) == ("box", "opensesame", "")
    assert made.mqtt_every_s == 5
    (hook,) = made.hooks
    assert (hook.target, hook.secret, hook.streams) == ("/services/xyzzy", "swordfish", ("door",))


def test_options_of_the_detector_and_of_its_streams(folder: Path) -> None:
    """All options of a detector are keys, and all thresholds also of a stream, which go before the file's own."""
    own = 'resize = "letterbox"\nmax_det = 50\nagnostic_nms = true\nimgsz = 256\n'
    stream = '[[streams]]\nsource = "street.mp4"\nmax_det = 7\nplain_nms = true\nagnostic_nms = false\n'
    made = load(folder, own + stream + '[[streams]]\nsource = "0"\n')
    options = made.options
    assert (options.model, options.resize, options.max_det, options.hw) == ("codes", "letterbox", 50, (256, 256))
    first, second = made.views(Labelled())  # type: ignore[arg-type]
    assert first.settings == Thresholds(max_det=7, plain_nms=True)
    assert second.settings == Thresholds(max_det=50, agnostic=True)
    assert first.to_dict()["max_det"] == 7 and first.to_dict()["plain_nms"] is True
    for line, words in (
        ("max_det = 0", "line 1: max_det: 0 is invalid: must be at least 1"),
        ("classes = []", "a list"),
    ):
        with pytest.raises(UsageError, match=words):
            load(folder, line)


def test_the_least_site(folder: Path) -> None:
    made = load(folder, "")
    assert (made.host, made.port, made.token, made.model) == ("127.0.0.1", 8080, None, "codes")
    assert (made.stream_configs, made.hooks, made.broker) == ((), (), None)


# What is changed in WHOLE, the line that is named, and words of the error.
WRONG: Dict[str, Any] = {
    "a key that is none": (
        ("threads = 2", "treads = 2"),
        3,
        "treads: no key is called 'treads'. Did you mean 'threads'?",
    ),
    "a table that is none": (("[mqtt]", "[mqt]"), 24, "Did you mean 'mqtt'"),
    "a key of a stream": (("conf = 0.6", "confi = 0.6"), 18, r"streams\[1\].confi: no key .* Did you mean 'conf'"),
    "a number too large": (
        ("conf = 0.6", "conf = 6"),
        18,
        r"streams\[1\].conf: 6 is invalid: must be a number from 0 to 1",
    ),
    "a text for a number": (("iou = 0.5", 'iou = "0.5"'), 7, "iou: '0.5' is invalid: must be a number"),
    "a truth for a number": (("iou = 0.5", "iou = true"), 7, "iou: True is invalid"),
    "nan": (("iou = 0.5", "iou = nan"), 7, "iou: nan is invalid"),
    "half a thread": (("threads = 2", "threads = 1.5"), 3, "threads: 1.5 is invalid: must be an integer from 1"),
    "a precision": (
        ('"fp32"', '"fp23"'),
        4,
        "precision: 'fp23' is invalid: must be one of auto, fp32, fp16, bf16, int8",
    ),
    "sides": (("[256, 320]", "[256]"), 5, "imgsz: .* is invalid"),
    "no list": (('classes = ["qr"]', 'classes = "qr"'), 19, "classes: 'qr' is invalid: must be a list of names"),
    "no port": (("0.0.0.0:9000", "0.0.0.0"), 9, "listen: '0.0.0.0' is invalid: must be HOST:PORT"),
    "a port too high": (("0.0.0.0:9000", "0.0.0.0:90000"), 9, "listen: port 90000 is invalid"),
    "no token": (('token = "file:token"\n', ""), 9, "listen: 0.0.0.0 is reachable by others: set a token"),
    "a token in the file": (
        ('"file:token"', '"0123456789abcdef"'),
        10,
        "token: secrets are not allowed in the site file",
    ),
    "a token too short": (('"file:token"', '"file:secret"'), 10, "token: the token .* has 9 characters"),
    "no such file": (('"file:token"', '"file:tokn"'), 10, "token: cannot read .*did you mean .*token"),
    "no such variable": (("env:DOOR_URL", "env:DOR_URL"), 17, "the environment variable DOR_URL is not set"),
    "no source": (('source = "street.mp4"', ""), 21, r"streams\[2\]: source is required"),
    "a film that is not there": (("street.mp4", "stret.mp4"), 22, r"streams\[2\].source: no such file or folder: .*"),
    "a name for a path": (('name = "door"', 'name = "../door"'), 15, "name: '../door' is invalid: must be letters"),
    "no broker": (("mqtts://broker.lan", "http://broker.lan"), 25, "mqtt.url: .* is not a valid MQTT broker URL"),
    "no webhook": (('"env:HOOK"', '"ftp://eve:hunter2@x/"'), 32, "is not a valid webhook URL"),
    "a stream that is none": (
        ('streams = ["door"]', 'streams = ["dor"]'),
        34,
        "no stream is called 'dor'. Did you mean 'door'",
    ),
    "one table for many": (("[[webhooks]]", "[webhooks]"), 31, r"webhooks: must be a list of tables: \[\[webhooks\]\]"),
    "many tables for one": (("[mqtt]", "[[mqtt]]"), 24, r"mqtt: must be a table: \[mqtt\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_by_line_and_key(folder: Path, name: str) -> None:
    (old, new), line, words = WRONG[name]
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    with pytest.raises(EdgecspError, match=words) as caught:
        load(folder, text)
    assert isinstance(caught.value, UsageError)
    if line:
        assert f"site.toml, line {line}: " in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hunter2", "swordfish", "opensesame", TOKEN))


def test_two_streams_of_one_name(folder: Path) -> None:
    text = '[[streams]]\nname = "a"\nsource = "0"\n\n[[streams]]\nname = "a"\nsource = "1"\n'
    with pytest.raises(UsageError, match=r"line 6: streams\[2\].name: two streams are named 'a'"):
        load(folder, text)


def test_a_class_that_the_model_has_not(folder: Path) -> None:
    made = load(folder, WHOLE.replace('["qr"]', '["qrr"]'))
    with pytest.raises(UsageError, match=r"line 19: streams\[1\].classes: no class is called 'qrr'. Did you mean 'qr'"):
        made.views(Labelled())  # type: ignore[arg-type]


def test_no_file_and_no_toml(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*sit.toml: No such file.*did you mean .*street|cannot read"):
        site.load(folder / "sit.toml")
    with pytest.raises(UsageError, match=r"is not valid TOML: .*line 1"):
        load(folder, "model = \n")
    (folder / "site.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(UsageError, match="is not valid TOML"):
        site.load(folder / "site.toml")


def test_no_secret_in_its_words(folder: Path) -> None:
    made = load(folder, WHOLE)
    told = repr(made) + repr(made.stream_configs) + repr(made.broker) + repr(made.hooks)
    assert not any(secret in told for secret in ("hunter2", "swordfish", "opensesame", "xyzzy", TOKEN))


def test_the_schema_says_what_the_reader_says(folder: Path) -> None:
    """Both take what is right and refuse what is wrong in form; what only the reader can know, it alone refuses."""
    jsonschema = pytest.importorskip("jsonschema")
    toml: Any = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    said = json.loads(json.dumps(schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(said)
    validator = jsonschema.Draft202012Validator(said)
    assert list(validator.iter_errors(toml.loads(WHOLE))) == []
    assert list(validator.iter_errors({})) == []
    knows_more = {
        "nan", "a port too high", "no token", "a token too short", "no such file", "no such variable",
        "a film that is not there", "no broker", "no webhook", "a stream that is none",
    }  # fmt: skip
    for name, ((old, new), _, _) in WRONG.items():
        errors = list(validator.iter_errors(toml.loads(WHOLE.replace(old, new, 1))))
        assert bool(errors) == (name not in knows_more), name


def test_every_key_has_words_and_a_default_that_fits() -> None:
    from edgecsp.serve.schema import describe_mismatch

    for table, keys in KEYS.items():
        for name, what in keys.items():
            assert what.description, (table, name)
            assert what.default is None or not describe_mismatch(what, what.default), (table, name)


def test_lines_are_found() -> None:
    text = 'a = 1\n[[b]]\nc = 2\n[[b]]\n"c" = 3\n[d]\n c=4\n'
    assert [line_of(text, key) for key in (("a",), ("b", 0, "c"), ("b", 1, "c"), ("d", "c"))] == [1, 3, 5, 7]
    assert line_of(text, ("b", 1)) == 4
    assert line_of(text, ("b", 1, "missing")) == 4
    assert line_of(text, ("nowhere",)) is None


def test_the_command_checks_a_site_and_prints_the_schema(folder: Path) -> None:
    printed = edgecsp("up", "schema")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert json.loads(printed.stdout) == json.loads(json.dumps(schema()))
    (folder / "site.toml").write_text(WHOLE)
    good = edgecsp("up", "check", str(folder / "site.toml"))
    assert (good.returncode, good.stdout) == (0, ""), good.stderr
    assert "2 streams" in good.stderr
    (folder / "site.toml").write_text(WHOLE.replace("conf = 0.6", "conf = 6"))
    bad = edgecsp("up", "check", str(folder / "site.toml"))
    assert bad.returncode == 2
    assert "line 18: streams[1].conf" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert "hunter2" not in good.stderr + bad.stderr
    nothing = edgecsp("up")
    assert nothing.returncode == 2
    assert "Traceback" not in nothing.stderr
