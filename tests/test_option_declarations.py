"""The options of a detector are declared once: every entry point has them, under one name, with one default."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import typer

import edgecsp
from benchmarks.options import PAGE, page
from edgecsp import batch, options, pipeline
from edgecsp.cli import app
from edgecsp.errors import HTTPRequestError, UsageError
from edgecsp.options import OPTIONS, Options, Thresholds
from edgecsp.options.declaration import Option
from edgecsp.options.uses import USES, list_used_options
from support.commands import list_commands
from support.repository import REPO, child_environment

NO_COMMANDS = ("load", "up", "stream", "request")


COMMANDS: Dict[str, Any] = dict(list_commands(typer.main.get_command(app)))
FLAGS = {option.flags[0] for option in OPTIONS.values()}


@pytest.mark.parametrize("use", [use for use in USES if use not in NO_COMMANDS])
def test_each_command_has_the_options_of_the_declaration(use: str) -> None:
    parameters = {parameter.name: parameter for parameter in COMMANDS[use].params}
    for name, option in list_used_options(use).items():
        assert set(parameters[name].opts) == set(option.flags), name
        if name not in USES[use].several:
            assert parameters[name].default == option.default, name
            assert option.help in (parameters[name].help or ""), name
            assert option.default is not None or option.default_help in (parameters[name].help or ""), name


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_has_an_option_of_a_detector_on_its_own(name: str) -> None:
    use = name.replace("models import", "import")
    if use in (
        "import",
        "train",
        "models recommend",
    ):  # theirs are others under the same names, which their entry in USES says
        assert USES[use].only is not None and USES[use].reason
        return
    allowed = {flag for option in list_used_options(use).values() for flag in option.flags} if use in USES else set()
    own = {flag for each in COMMANDS[name].params for flag in each.opts}
    assert (own & FLAGS) - allowed == set()


@pytest.mark.parametrize("use", USES)
def test_what_is_missing_has_a_reason(use: str) -> None:
    declared = USES[use]
    assert set(declared.without) | set(declared.only or ()) | set(declared.changes) | set(declared.several) <= set(
        OPTIONS
    )
    assert all(len(reason) > 10 for reason in declared.without.values())
    assert declared.only is None or len(declared.reason) > 10
    assert set(list_used_options(use)) | set(declared.without) == set(OPTIONS) or declared.only is not None


def test_load_takes_all_as_keywords() -> None:
    parameters = inspect.signature(edgecsp.load).parameters
    assert list(parameters) == list(OPTIONS) and list(parameters)[:2] == ["model", "engine"]
    assert {name: each.default for name, each in parameters.items()} == {n: o.default for n, o in OPTIONS.items()}
    assert {each.kind for each in list(parameters.values())[2:]} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError, match=r"load\(\): got an unexpected keyword argument 'cnf'"):
        edgecsp.load(cnf=0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"load\(\): too many positional"):
        edgecsp.load("codes", "ort", "random")


def test_the_site_file_and_its_streams_have_the_options() -> None:
    pytest.importorskip("starlette")
    from edgecsp.serve.site_keys import KEYS, schema

    for use, table in (("up", KEYS[""]), ("stream", KEYS["streams"])):
        for option in list_used_options(use).values():
            key = table[option.key]
            assert (key.kind, key.least, key.most, key.choices) == (
                option.kind, option.least, option.most, option.choices,
            ), option.name  # fmt: skip
            assert key.default == (option.default if use == "up" else None), option.name
        others = {option.key for option in OPTIONS.values()} - {o.key for o in list_used_options(use).values()}
        assert not others & set(table)
    assert schema()["properties"]["max_det"]["default"] == 300
    assert schema()["properties"]["resize"]["enum"] == list(options.choices.RESIZES)


def test_requests_and_their_description_have_the_options() -> None:
    pytest.importorskip("starlette")
    from edgecsp.serve import openapi

    document = openapi.document("codes")
    keys = [option.key for option in list_used_options("request").values()]
    assert keys == ["conf", "iou", "classes", "max_det", "agnostic_nms", "plain_nms"]
    query = {each["name"]: each["schema"] for each in document["paths"]["/v1/detect"]["post"]["parameters"]}
    schemas = document["components"]["schemas"]
    assert list(query) == list(schemas["Settings"]["properties"]) == keys
    assert set(schemas["InferRequest"]["properties"]["parameters"]["properties"]) == {*keys, "binary_data_output"}
    assert query["conf"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert query["max_det"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert query["agnostic_nms"] == {"type": "boolean"}


def test_what_requests_set() -> None:
    pytest.importorskip("starlette")
    from edgecsp.serve import request_options

    model = pipeline.load().model
    base = Thresholds(conf=0.4, max_det=10)
    query = {"iou": "0.6", "max_det": "7", "agnostic_nms": "true", "classes": "qr,2", "conf": ""}
    expected = Thresholds(conf=0.4, iou=0.6, classes=(0, 2), max_det=7, agnostic=True)
    assert request_options.override(model, base, query) == expected
    assert request_options.change(model, base, {"max_det": None, "classes": ["qr"], "plain_nms": True}) == Thresholds(
        conf=0.4, classes=(0,), plain_nms=True
    )
    for key, value in (
        ("max_det", "1001"),
        ("max_det", "many"),
        ("agnostic_nms", "maybe"),
        ("conf", "nan"),
        ("iou", "2"),
    ):
        with pytest.raises(HTTPRequestError, match=f"{key}=.*: must be"):
            request_options.override(model, base, {key: value})
    for key, value in (("max_det", 1.5), ("agnostic_nms", 1), ("conf", "0.5"), ("classes", "qr"), ("plain_nms", [])):
        with pytest.raises(HTTPRequestError, match=f"{key} must be .*, or null"):
            request_options.change(model, base, {key: value})
    with pytest.raises(HTTPRequestError, match="unknown setting 'cnf'; known: conf, iou"):
        request_options.change(model, base, {"cnf": 1})


def test_batch_takes_the_options_and_its_rows_depend_on_them(tmp_path: Path) -> None:
    keywords = {"resize": "letterbox", "conf": 0.3, "classes": ["qr"], "max_det": 5, "agnostic": True, "threads": 1}
    task, settings = batch.build_task("codes", "ort", out=tmp_path, **keywords)
    assert (task.options.conf, task.options.classes, task.options.max_det) == (0.3, (0,), 5)
    assert (task.options.threads, task.options.resize, task.options.device) == (1, "letterbox", "cpu")
    for option in list_used_options("stream").values():
        key = "class_ids" if option.name == "classes" else option.key
        assert key in settings
    with pytest.raises(UsageError, match="--threads 2: workers of --ray"), batch.executor("local", threads=2):
        pass


def test_values_out_of_range_are_refused_at_once() -> None:
    for name, value, words in (
        ("conf", 1.5, "conf 1.5: a number from 0 to 1"), ("conf", float("nan"), "conf nan: a number"),
        ("max_det", 0, "max_det 0: at least 1"), ("max_det", 2.5, "max_det 2.5: an integer"),
        ("threads", 0, "threads 0: an integer from 1 to 1024"), ("imgsz", (0, 64), r"imgsz \(0, 64\): one side or"),
        ("classes", {"qr"}, "classes {.qr.}: a list of names"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            edgecsp.load(**{name: value})  # type: ignore[arg-type]
    assert Thresholds(conf=np.float32(0.5), classes=(np.int32(1),)).conf == 0.5  # type: ignore[arg-type]


def test_an_image_may_have_thresholds_of_its_own_with_names() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    with edgecsp.load("codes", "ort", conf=0.0, classes=["qr", 3]) as detector:
        assert detector.settings.classes == (0, 3)
        assert set(detector(image).class_ids) <= {0, 3}
        assert set(detector(image, Thresholds(conf=0.0, classes=("marker",), max_det=2)).class_ids) <= {5}


def test_old_names_still_work_and_say_the_new_ones() -> None:
    with pytest.warns(DeprecationWarning, match=r"load\(at_once=\).*0\.3; use concurrency="):
        detector = edgecsp.load("codes", "ort", threads=2, at_once=2)  # type: ignore[call-arg]
    assert detector.session.concurrency == 2
    with pytest.warns(DeprecationWarning, match=r"load\(pixels=\).*use accepts_uint8="):
        detector = edgecsp.load("codes", "ort", pixels=False)  # type: ignore[call-arg]
    assert not detector.session.accepts_uint8
    with pytest.warns(DeprecationWarning, match=r"pipeline.Settings .*use options.Thresholds"):
        old = pipeline.Settings(0.3, class_ids=(1,))
    assert old == Thresholds(conf=0.3, classes=(1,))
    with pytest.warns(DeprecationWarning, match=r"Thresholds.class_ids .*use Thresholds.classes"):
        assert old.class_ids == (1,)


def test_the_reference_is_that_of_the_declaration() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m benchmarks.options"


def test_keys_and_names_are_unique() -> None:
    for values in ([o.key for o in OPTIONS.values()], [flag for o in OPTIONS.values() for flag in o.flags]):
        assert len(set(values)) == len(values)
    assert [each.name for each in dataclasses.fields(Options)] == list(OPTIONS)
    assert all(isinstance(each, Option) and (each.about or each.help) for each in OPTIONS.values())


ADDED = {
    "EngineOptions": (
        "    device: str = option(",
        '    tiles: int = option(1, "tiles of an image", least=1, most=9)\n',
    ),
    "Thresholds": (
        "    max_det: int = option(",
        '    area: float = option(0.5, "share of an image", least=0, most=1)\n',
    ),
}
REPORT = """
import importlib.util, inspect, json, sys, typer
place = sys.argv[1] + "/edgecsp/options"
spec = importlib.util.spec_from_file_location("edgecsp.options", sys.argv[2], submodule_search_locations=[place])
module = importlib.util.module_from_spec(spec)
sys.modules["edgecsp.options"] = module
spec.loader.exec_module(module)
import edgecsp
from benchmarks.options import page
from edgecsp import batch
from edgecsp.cli import app
from edgecsp.serve import openapi, site_keys
group = typer.main.get_command(app)
found = {name: sorted(each.name for each in command.params) for name, command in group.commands.items()
         if not hasattr(command, "commands")}
name, value = sys.argv[3], json.loads(sys.argv[4])
task, settings = batch.build_task("codes", "ort", out=sys.argv[5], **{name: value})
print(json.dumps({
    **found, "load": list(inspect.signature(edgecsp.load).parameters), "up": list(site_keys.KEYS[""]),
    "stream": list(site_keys.KEYS["streams"]), "schema": list(site_keys.schema()["properties"]),
    "request": list(openapi.document("x")["components"]["schemas"]["Settings"]["properties"]),
    "page": f"| `{name}` |" in page(),
    "task": getattr(task.options, name), "settings": settings.get(name),
}))
"""


@pytest.mark.parametrize("group", ADDED)
def test_one_line_adds_an_option_everywhere(group: str, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    before, line = ADDED[group]
    name = line.split(":")[0].strip()
    source = (REPO / "edgecsp" / "options" / "__init__.py").read_text("utf-8")
    assert source.count(before) == 1
    changed = tmp_path / "options.py"
    changed.write_text(source.replace(before, line + before), "utf-8")
    value = {"tiles": 4, "area": 0.25}[name]
    words = [sys.executable, "-c", REPORT, str(REPO), str(changed), name, json.dumps(value), str(tmp_path / "rows")]
    done = subprocess.run(words, cwd=REPO, env=child_environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)
    everywhere = {"load", "run", "serve", "up", "schema", "batch", "val"}
    expected = everywhere | ({"tune", "bench"} if name == "tiles" else {"stream", "request"})
    assert {place for place, names in places.items() if isinstance(names, list) and name in names} == expected
    assert places["page"] and places["task"] == value
    assert places["settings"] == (0.25 if name == "area" else None)
