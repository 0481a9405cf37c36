"""Recipes: the shipped ones, files of the user's, and what is said about wrong ones."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgecsp.backends import recipes
from edgecsp.errors import SourceError, UnknownName, UsageError
from support.repository import REPO
from support.tiny import Tiny


def test_the_shipped_ones() -> None:
    assert recipes.names() == ("jetson-orin", "jetson-tx2", "jetson-xavier", "x86-cuda")
    tx2 = recipes.load("jetson-tx2")
    assert (tx2.compute_capability, tx2.precision, tx2.tensorrt, tx2.shared_memory) == (("6.2",), "fp16", "8.2", True)
    assert recipes.load("jetson-orin").compute_capability == ("8.7",)
    assert recipes.load("x86-cuda").precision == "fp32" and not recipes.load("x86-cuda").tf32
    assert [recipes.for_chip(chip).name for chip in ("6.2", "7.2", "8.7", "8.6", "9.0")] == [
        "jetson-tx2", "jetson-xavier", "jetson-orin", "x86-cuda", "x86-cuda",
    ]  # fmt: skip


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "kiosk.toml"
    path.write_text(
        'board = "the kiosk"\ncompute_capability = ["8.7"]\n[build]\nprecision = "int8"\nworkspace_mb = 300\n'
        "[profile]\nbatch = 2\nimgsz = [352, 640]\n[dla]\ncore = 1\ngpu_fallback = false\n"
    )
    assert recipes.load(path) == recipes.Recipe(
        "kiosk", board="the kiosk", compute_capability=("8.7",), precision="int8", workspace_mb=300, batch=2,
        imgsz=(352, 640), dla_core=1, gpu_fallback=False,
    )  # fmt: skip
    path.write_text("[profile]\nimgsz = 416\n")
    assert recipes.load(path).imgsz == (416, 416)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("precision", r"kiosk\.toml is not valid TOML: "),
        ("bord = 'x'", r"kiosk\.toml, line 1: bord: no key is called 'bord'\. Did you mean 'board'\?"),
        ("[biuld]\nworkspace_mb = 1", r"line 1: biuld: no key is called 'biuld'\. Did you mean 'build'\?"),
        (
            "[build]\nworkspace = 1",
            r"line 2: build\.workspace: no key is called 'workspace'\. Did you mean 'workspace_mb'\?",
        ),
        ("[build]\nprecision = 'fp61'", r"no precision is called 'fp61'\. Did you mean 'fp16'\?"),
        ("[build]\nprecision = 16", r"line 2: build\.precision: 16 is invalid: must be a string"),
        ("[build]\nworkspace_mb = 1.5", r"workspace_mb: 1\.5 is invalid: must be an integer"),
        ("[build]\nworkspace_mb = 0", r"a workspace of 0 MB: from 1 to"),
        ("[build]\ntf32 = 1", r"tf32: 1 is invalid: must be true or false"),
        ("compute_capability = '8.7'", r"compute_capability: '8\.7' is invalid: must be a list of names"),
        ("compute_capability = ['sm_87']", r"strings like \"8\.7\""),
        ("compute_capability = [8]", r"strings like \"8\.7\""),
        ("build = 3", r"line 1: build: must be a table: \[build\]"),
        ("[profile]\nimgsz = [416]", r"imgsz: \[416\] is invalid: must be one side or \[height, width\] in pixels"),
        ("[profile]\nimgsz = [0, 416]", r"imgsz \[0, 416\]: \[height, width\] in pixels"),
        ("[profile]\nbatch = 0", r"a batch of 0: at least 1"),
        ("[profile]\nbatch = true", r"batch: True is invalid: must be an integer"),
        ("[dla]\ncore = 0", r"works in fp16 or int8"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "kiosk.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        recipes.load(path)
    assert "kiosk.toml" in str(caught.value)


def test_names_and_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no recipe is called 'jetson-tx'\. Did you mean 'jetson-tx2'\?"):
        recipes.load("jetson-tx")
    (tmp_path / "kiosk.toml").write_text("")
    with pytest.raises(SourceError, match=r"no recipe at .*kiosc\.toml; did you mean .*kiosk\.toml\?"):
        recipes.load(tmp_path / "kiosc.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not valid TOML"):
        recipes.load(tmp_path / "binary.toml")


def test_fitted(tiny: Tiny) -> None:
    recipe = recipes.Recipe("x", imgsz=(32, 96))
    assert recipes.fit_model(recipe, tiny.model).input.hw == (32, 96)
    assert recipes.fit_model(recipes.Recipe("x"), tiny.model) is tiny.model
    assert recipes.override(recipe, workspace_mb=7).workspace_mb == 7
    assert recipes.override(recipe) == recipe


@pytest.mark.slow
def test_they_are_in_the_wheel(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(REPO)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"pip cannot make a wheel here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(str(wheel)) as archive:
        archive.extractall(str(tmp_path / "site"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from edgecsp.backends import recipes\n"
    code += "print(recipes.__file__); print(*recipes.names()); print(recipes.load('jetson-tx2').board)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=str(tmp_path), timeout=60)
    lines = said.stdout.splitlines()
    assert lines[0].startswith(str(tmp_path)), said.stderr
    assert lines[1:] == ["jetson-orin jetson-tx2 jetson-xavier x86-cuda", "NVIDIA Jetson TX2"]
