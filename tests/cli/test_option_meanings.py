"""One name, one meaning: an option that several commands have is of one type and has one help text, or a reason."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Dict, List, Set, Tuple

import typer

from edgecsp.cli import _json, app
from support.commands import list_commands

# Commands whose option has a type or a help text of its own, and why. The other commands must agree.
DIFFERENT = {
    "--batch": (["train"], "the batch size, which training can choose: auto"),
    "--calib": (["quantize"], "images for calibration; required, so that its minimum is named"),
    "--classes": (["train", "val"], "classes to use; of the data, where the others have the model's"),
    "--data": (["bench", "quantize", "train", "tune"], "labelled images; the help says what for"),
    "--device": (
        ["bench", "models recommend", "train", "tune"],
        "the device; the help names those that the command can use",
    ),
    "--duration": (["val"], "seconds of timing; 0 leaves it out"),
    "--engine": (["bench", "tune", "val", "verify"], "an engine, or several where they are compared"),
    "--html": (["data check"], "a page; the help says which"),
    "--images": (["verify"], "images to compare on; at most 64"),
    "--imgsz": (["import", "models import", "train"], "the input size; of a file, and one side where it is square"),
    "--json": (["run"], "a file or - for stdout; JSON Lines, as a stream has no end"),
    "--max-det": (["val"], "maximum number of boxes; COCO counts 100 of each class"),
    "--max-ap-drop": (["build", "quantize"], "how far AP may fall; the help says what is done then, on which images"),
    "--names": (["models pull"], "a file of labels; only for one's own weights"),
    "--out": (["batch", "demo", "export", "run", "val"], "where results are written; for machines that share it a URI"),
    "--precision": (["bench", "build", "tune", "val"], "a precision; several where compared; a plan's own has no auto"),
    "--quiet": (
        ["batch", "bench", "data check", "demo", "quantize", "run", "train", "tune", "val"],
        "what is not printed",
    ),
    "--resize": (["import", "models import"], "how images are resized; instead of the file's way"),
    "--save-json": (["val"], "detections as COCO result JSON; for its test server"),
    "--threads": (["tune"], "number of threads, or several to compare"),
    "--weights": (["batch", "bench", "export", "serve", "train", "verify"], "which weights a model gets"),
    "--workers": (["train"], "number of processes that do the work; sessions in a batch, readers in a training"),
}  # fmt: skip
Kind = Tuple[str, str, str]


def kind(option: Any) -> Kind:
    """How many values, of which type, and the help text without the default."""
    described = getattr(option, "type", None)  # click's; newer versions of typer have a type_descriptor
    name = str(described.name if described is not None else option.type_descriptor.annotation)
    how = "flag" if option.is_flag else "list" if option.multiple else "value"
    return how, name, re.sub(r"\s*\[default: .*?\]", "", option.help or "")


def options(group: Any) -> Dict[str, Dict[str, Kind]]:
    """The kind of each long option, by command."""
    found: Dict[str, Dict[str, Kind]] = defaultdict(dict)
    for command, each in list_commands(group):
        for param in each.params:
            if param.param_type_name == "option":
                for name in (*param.opts, *param.secondary_opts):
                    if name.startswith("--"):
                        found[name][command] = kind(param)
    return found


def disagreements(group: Any) -> Dict[str, Dict[Kind, List[str]]]:
    """Options that mean different things, outside the table: their commands by kind."""
    wrong = {}
    for name, by_command in options(group).items():
        by_kind: Dict[Kind, List[str]] = defaultdict(list)
        for command, each in by_command.items():
            if command not in DIFFERENT.get(name, ([], ""))[0]:
                by_kind[each].append(command)
        if len(by_kind) > 1:
            wrong[name] = dict(by_kind)
    return wrong


def test_an_option_means_the_same_in_every_command() -> None:
    tree = typer.main.get_command(app)
    assert len(options(tree)) > 70
    assert disagreements(tree) == {}


def test_the_table_names_commands_that_have_the_option() -> None:
    found = options(typer.main.get_command(app))
    missing: Set[str] = {
        f"{command} {name}"
        for name, (listed, _) in DIFFERENT.items()
        for command in listed
        if command not in found[name]
    }
    assert missing == set() and all(reason for _, reason in DIFFERENT.values())


def test_an_option_of_another_type_or_meaning_is_found() -> None:
    toy = typer.Typer()
    images = typer.Option([], "--images", help="images to compare on")
    folder = typer.Option("", "--images", help="folder of the images of COCO annotations")

    @toy.command("build")
    def build(images: List[str] = images) -> None: ...

    @toy.command("val")
    def val(images: str = folder) -> None: ...

    assert list(disagreements(typer.main.get_command(toy))) == ["--images"]


def test_json_is_a_file_or_stdout_in_every_command() -> None:
    by_command = options(typer.main.get_command(app))["--json"]
    assert len(by_command) >= 17 and {each[0] for each in by_command.values()} == {"value"}
    assert by_command.pop("run")[2].endswith("a file, or - for stdout")
    assert {each[2] for each in by_command.values()} == {_json.OPTION.help}
