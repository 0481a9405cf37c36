"""The options of `edgecsp train`: those that fingers know from other trainers, each with one line of help. No torch."""

from __future__ import annotations

import inspect

import pytest

from edgecsp.cli import train
from edgecsp.errors import UsageError

KNOWN = (
    "--data", "--epochs", "--batch", "--imgsz", "--device", "--workers", "--lr", "--seed", "--freeze", "--patience",
    "--resume", "--name", "--classes", "--single-cls", "--cache", "--val-split", "--weights", "--quiet", "--json",
    "--mosaic", "--mixup", "--scale", "--freeze-bn/--no-freeze-bn", "--distill", "--teacher",
)  # fmt: skip
OPTIONS = {
    name: option.default
    for option in inspect.signature(train.command).parameters.values()
    for name in getattr(option.default, "param_decls", None) or ()
}


@pytest.mark.parametrize("name", KNOWN)
def test_an_option_that_fingers_know_is_there_and_says_what_it_does(name: str) -> None:
    assert name in OPTIONS
    text = OPTIONS[name].help
    assert text and len(text) <= 100 and "\n" not in text


def test_what_is_by_default_is_what_the_help_says() -> None:
    assert OPTIONS["--workers"].default == "auto" and "auto" in OPTIONS["--workers"].help
    assert OPTIONS["--batch"].default == "16" and "auto" in OPTIONS["--batch"].help
    assert OPTIONS["--cache"].default is None and "[default: ram if they fit]" in OPTIONS["--cache"].help


@pytest.mark.parametrize("name", ["mosaic", "mixup", "scale"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_shares_are_from_0_to_1(name: str, value: float) -> None:
    from edgecsp.train import TrainSettings

    with pytest.raises(UsageError, match=f"{name} {value}: a number from 0 to 1"):
        TrainSettings(**{name: value})


def test_auto_is_auto_from_python_as_well() -> None:
    from edgecsp.train import TrainSettings, api

    settings, others = api._sorted({"batch": "auto", "workers": "auto", "cache": "disk"}, {"workers", "cache"})
    assert TrainSettings(**settings).batch == 0 and others == {"workers": "auto", "cache": "disk"}
