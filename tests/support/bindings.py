"""The bindings of real TensorRTs, imported without a GPU and without TensorRT, and what was seen of them.

NVIDIA's binding wheels hold the Python names; the libraries behind them (gigabytes, and a GPU) are not needed to
look. Their loader is content with a stub that has the few entry points they link to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional

from edgecsp import backends
from support.names import Name, Walk
from support.repository import TESTS

TABLE = TESTS / "data" / "tensorrt.json"
ADAPTER = sorted(Path(backends.__file__).parent.glob("*trt*.py"))
WHEELS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1.11": "tensorrt-cu12-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu12-bindings==11.4.0.106",
}
Surface = Dict[str, List[str]]  # "" for the module's own names, "Builder" for that class's

_ENTRIES = """
    createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL createNvOnnxParser_INTERNAL
    createNvOnnxParserRefitter_INTERNAL getBuilderPluginRegistry getPluginRegistry getNvOnnxParserVersion
    initLibNvInferPlugins _ZN11nvuffparser15createUffParserEv _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi
    _ZN14nvcaffeparser117createCaffeParserEv _ZN14nvcaffeparser123shutdownProtobufLibraryEv
"""
_LOOK = """
import json, sys
import tensorrt_bindings as trt
found = {"": dir(trt)}
for name in dir(trt):
    kind = getattr(trt, name)
    if isinstance(kind, type):
        found[name] = [each for each in dir(kind) if not each.startswith("_")]
json.dump(found, open(sys.argv[1], "w"))
"""


def stub(folder: Path) -> Path:
    """A folder of libraries that satisfy the bindings' loader: every factory gives NULL."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in _ENTRIES.split())
    (folder / "stub.c").write_text(code)
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers"):
        for major in (8, 10, 11):
            name = f"lib{library}.so.{major}"
            words = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(folder / "stub.c")]
            subprocess.run(words, check=True, capture_output=True, timeout=60)
    return folder


def why_not() -> Optional[str]:
    """The reason why this machine cannot look at bindings at all."""
    if sys.platform != "linux":
        return "the stub of TensorRT's libraries is made for Linux"
    return None if shutil.which("cc") else "no C compiler (cc) to make the stub of TensorRT's libraries with"


def install(version: str, folder: Path) -> Optional[str]:
    """Put a version's bindings into a folder; the reason when the registry does not give them."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*words, "--target", str(folder), WHEELS[version]], capture_output=True, text=True, timeout=600
    )
    return None if done.returncode == 0 else f"pip cannot install {WHEELS[version]}: {done.stderr.strip()[-300:]}"


def look(folder: Path, libraries: Path) -> Surface:
    """Read the names of the bindings in a folder."""
    out = folder / "surface.json"
    env = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-c", _LOOK, str(out)], check=True, env=env, timeout=120)
    surface: Surface = json.loads(out.read_text())
    return surface


def table() -> Dict[str, Surface]:
    """Names of each version, of those that the adapter mentions; for 8.2, and for pycuda, what was read."""
    names: Dict[str, Surface] = json.loads(TABLE.read_text())["names"]
    return names


def has(surface: Surface) -> Callable[[Name], bool]:
    """Whether a version has a name; pycuda's are looked up in the table, whatever the TensorRT."""
    pycuda = table()["pycuda"]

    def known(name: Name) -> bool:
        kind, attribute = name
        root, _, cls = kind.partition(".")
        return attribute.startswith("__") or attribute in (pycuda if root == "cuda" else surface).get(cls, ())

    return known


def walked(surface: Surface) -> Walk:
    """Names that the adapter touches when it runs on a version."""
    walk = Walk(has(surface))
    walk.modules(ADAPTER)
    return walk


def mentioned(surface: Surface) -> Surface:
    """A version's names, of those that the adapter mentions for any version."""
    names = {name for known in table().values() for walk in [walked(known)] for name in walk.needed | walk.probed}
    used: Surface = {}
    for kind, attribute in sorted(names):
        root, _, cls = kind.partition(".")
        if root == "trt" and has(surface)((kind, attribute)) and not attribute.startswith("__"):
            used.setdefault(cls, []).append(attribute)
    return used
