"""Weights that edgecsp trained are listed as such: the data, the AP50, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from edgecsp import zoo
from edgecsp.cli import models
from edgecsp.cli.render import model


@pytest.fixture(autouse=True)
def at_home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path))


MINE = zoo.Trained(
    "mine/data.yaml: 900 images", 0.8125, "100 images", "edgecsp train yolov4-tiny --data mine/data.yaml"
)
LINE = "mine/data.yaml: 900 images; AP50 0.812 on 100 images; edgecsp train yolov4-tiny --data mine/data.yaml"


@pytest.mark.parametrize("name", zoo.bundled_names())
def test_a_model_in_the_box_was_trained_by_edgecsp(name: str) -> None:
    trained, record = zoo.get(name).trained, zoo.record(name)
    assert trained is not None and trained.ap50 == record["test"]["ap50"]
    assert record.get("data", record.get("scenes")) in trained.data
    assert [name for name in zoo.names() if zoo.get(name).trained and not zoo.get(name).bundled] == []


def test_a_packed_record_may_name_its_command() -> None:
    record = {"scenes": "9", "test": {"scenes": 1000, "ap50": 0.5}, "command": "edgecsp train x --data y"}
    assert zoo.Trained.of_packed(record) == zoo.Trained(
        "synthetic scenes: 9", 0.5, "1,000 unseen scenes", "edgecsp train x --data y"
    )


def test_a_packed_record_may_name_its_data_and_what_it_was_measured_on() -> None:
    record = {"data": "9 photographs", "test": {"on": "3 images", "ap50": 0.5}, "command": "edgecsp train x"}
    assert zoo.Trained.of_packed(record) == zoo.Trained("9 photographs", 0.5, "3 images", "edgecsp train x")


def test_show_names_data_ap50_and_command() -> None:
    lines = list(model.lines(model.full(replace(zoo.get("yolov4-tiny"), trained=MINE), None)))
    assert f"trained      by edgecsp: {LINE}" in lines
    assert not any("by edgecsp" in line for line in model.lines(model.full(zoo.get("yolov4-tiny"), None)))


def test_list_names_them_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    real = zoo.get
    monkeypatch.setattr(
        zoo, "get", lambda name: replace(real(name), trained=MINE) if name == "yolov4-tiny" else real(name)
    )
    shown = CliRunner().invoke(models.app, ["list"])
    assert shown.exit_code == 0 and f"yolov4-tiny: trained by edgecsp: {LINE}" in shown.output.splitlines()
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(models.app, ["list", "--json", "-"]).output)}
    assert rows["yolov4-tiny"]["trained"] == vars(MINE) and rows["yolov3"]["trained"] is None
