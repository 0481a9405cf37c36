"""Run by a Python that has TensorRT-RTX: our own builder code on NVIDIA's own parser and builder, without a GPU.

Reads requests from stdin, a JSON object a line, and answers each with one: {"size": ...} or {"error": ...}.
TensorRT-RTX is the TensorRT 11 of graphics cards: the same interface, always strongly typed. Its libraries come in
another wheel than its bindings.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
import types
from pathlib import Path

spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
assert spec is not None and spec.submodule_search_locations is not None
folder = Path(next(iter(spec.submodule_search_locations)))
for pattern in ("libcudart.so*", "libtensorrt_rtx.so*", "libtensorrt_onnxparser_rtx.so*"):
    for library in folder.glob(pattern):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)

import tensorrt_rtx_bindings as rtx  # noqa: E402


class Builder(rtx.Builder):  # type: ignore[misc]
    """One chip to build for in place of all that there are; without a GPU it would take forty times as long."""

    def create_builder_config(self) -> rtx.IBuilderConfig:
        config = super().create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(rtx.ComputeCapability.SM86, 0)
        return config


named = {name: getattr(rtx, name) for name in dir(rtx) if not name.startswith("__")}
sys.modules["tensorrt"] = types.ModuleType("tensorrt")
vars(sys.modules["tensorrt"]).update(named, Builder=Builder, __version__=rtx.__version__)

from edgecsp.backends import _trt_build  # noqa: E402
from edgecsp.errors import EdgecspError  # noqa: E402

print(json.dumps({"version": rtx.__version__, "strongly_typed": _trt_build.strongly_typed()}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    try:
        graph = Path(request["onnx"]).read_bytes()
        plan, _ = _trt_build.build(graph, request["name"], request["options"], request["timing"])
        print(json.dumps({"size": len(plan)}), flush=True)
    except EdgecspError as error:
        print(json.dumps({"error": str(error)}), flush=True)
