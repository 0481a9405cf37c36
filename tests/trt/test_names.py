"""Every name of TensorRT's and pycuda's that the adapter touches is there, in each version that it is for."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path

import pytest

from support import bindings
from support.names import Walk
from support.repository import REPO


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    why = bindings.why_not()
    if why:
        pytest.skip(why)
    return bindings.stub(tmp_path_factory.mktemp("stub"))


@pytest.mark.slow
@pytest.mark.parametrize("version", bindings.WHEELS)
def test_real_bindings_have_them(version: str, libraries: Path, tmp_path: Path) -> None:
    why = bindings.install(version, tmp_path)
    if why:
        pytest.skip(why)
    surface = bindings.look(tmp_path, libraries)
    walk = bindings.walked(surface)
    assert walk.unclear == []
    assert sorted(name for name in walk.needed if not bindings.has(surface)(name)) == []
    seen = bindings.mentioned(surface)
    if os.environ.get("EDGECSP_WRITE_GOLDEN"):
        said = json.loads(bindings.TABLE.read_text())
        said["names"][version] = seen
        bindings.TABLE.write_text(json.dumps(said, indent=1) + "\n")
    # What was seen once is what the rest of the tests, and the double, go by.
    assert bindings.table()[version] == seen, "look at the difference, then: EDGECSP_WRITE_GOLDEN=1"


@pytest.mark.parametrize("version", sorted({*bindings.table()} - {"pycuda"}))
def test_the_table_has_them(version: str) -> None:
    surface = bindings.table()[version]
    walk = bindings.walked(surface)
    assert walk.unclear == []
    assert sorted(name for name in walk.needed if not bindings.has(surface)(name)) == []
    assert len(walk.needed) > 60


def needed(version: str) -> set:
    return bindings.walked(bindings.table()[version]).needed


def test_each_version_is_driven_its_own_way() -> None:
    old, both, new, typed = (needed(version) for version in ("8.2", "8.6.1", "10.3.0", "11.4.0.106"))
    workspace, pool = ("trt.IBuilderConfig", "max_workspace_size"), ("trt.MemoryPoolType", "WORKSPACE")
    assert workspace in old and pool not in old
    assert all(pool in later and workspace not in later for later in (both, new, typed))
    v2, v3 = ("trt.IExecutionContext", "execute_async_v2"), ("trt.IExecutionContext", "execute_async_v3")
    assert v2 in old and v3 not in old
    assert all(v3 in later and v2 not in later for later in (both, new, typed))
    flag = ("trt.BuilderFlag", "FP16")
    assert all(flag in version for version in (old, both, new)) and flag not in typed


def test_the_jetpack_page_has_the_versions_that_are_looked_at() -> None:
    page = (REPO / "docs" / "reference" / "jetpack.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in page.splitlines() if line.startswith("| ")]
    drives = [row for row in rows if len(row) == 6 and row[0] != "TensorRT"]
    versions = {version: row for row in drives for version in re.findall(r"`([\d.]+)`", row[1])}
    assert set(versions) == {*bindings.table()} - {"pycuda"}
    for version, row in versions.items():
        assert version.startswith(tuple(row[0].split(", "))), f"{version} is no {row[0]}"
        names = needed(version)
        assert (("trt.BuilderFlag", "FP16") in names) == ("BuilderFlag.FP16" in row[2]), version
        kind, name = row[3].strip("`").split(".")
        assert (f"trt.{kind}", name) in names, version
        assert ("trt.IExecutionContext", row[4].strip("`")) in names, version
    boards = {(row[0], row[1]): row for row in rows if len(row) == 8 and row[0] != "board"}
    known = [version for row in drives for version in row[0].split(", ")]
    expected = {("TX2", "4.6"): "8.2", ("Xavier", "5.1"): "8.5", ("Orin", "5.1"): "8.5", ("Orin", "6"): "10.3"}
    assert {key: row[4] for key, row in boards.items() if key[0] != "PC with a GPU"} == expected
    for row in boards.values():
        assert all(each.strip().startswith(tuple(known)) for each in row[4].split(",")), row
        image, recipe = row[6].strip("`"), row[7].strip("`")
        if image:
            file = (REPO / "docker" / f"{image}.Dockerfile").read_text("utf-8")
            assert f"TensorRT {row[4]}" in file and f"CUDA {row[3]}" in file, image
        if recipe:
            text = (REPO / "engines" / f"{recipe}.toml").read_text("utf-8")
            (wanted,) = re.findall(r'^tensorrt = "(.*?)"', text, re.MULTILINE) or [row[4]]
            assert wanted == row[4], recipe


def walk_of(source: str, tmp_path: Path, version: str = "10.3.0") -> Walk:
    path = tmp_path / "adapter.py"
    path.write_text(textwrap.dedent(source))
    walk = Walk(bindings.has(bindings.table()[version]))
    walk.modules([path])
    return walk


def test_a_typing_error_would_be_seen(tmp_path: Path) -> None:
    walk = walk_of("import tensorrt as trt\ndef f(config: trt.IBuilderConfig):\n    config.set_flg(1)\n", tmp_path)
    assert ("trt.IBuilderConfig", "set_flg") in walk.needed and not walk.has(("trt.IBuilderConfig", "set_flg"))
    walk = walk_of("import tensorrt as trt\nx = trt.BuilderFlag.FP61\n", tmp_path)
    assert ("trt.BuilderFlag", "FP61") in walk.needed


def test_what_has_no_annotation_is_not_passed_over(tmp_path: Path) -> None:
    head = "import tensorrt as trt\nbuilder: trt.Builder = trt.Builder(0)\n"
    assert walk_of(head + "builder.create_network(0).get_input(0)\n", tmp_path).unclear
    assert walk_of(head + "network = builder.create_network(0)\nnetwork.num_layers\n", tmp_path).unclear
    assert walk_of(head + "for each in builder.create_network(0):\n    each.name\n", tmp_path).unclear
    fine = "network: trt.INetworkDefinition = builder.create_network(0)\nnetwork.num_layers\n"
    assert not walk_of(head + fine, tmp_path).unclear


def test_the_branch_that_is_not_taken_is_not_needed(tmp_path: Path) -> None:
    source = """\
        import tensorrt as trt

        def f(config: trt.IBuilderConfig):
            if hasattr(config, "set_memory_pool_limit"):
                config.set_memory_pool_limit(1)
                return
            config.max_workspace_size = 1
    """
    name = ("trt.IBuilderConfig", "max_workspace_size")
    assert name not in walk_of(source, tmp_path).needed
    assert name in walk_of(source, tmp_path, "8.2").needed
