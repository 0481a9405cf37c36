"""YOLOv8n, which ultralytics and OpenVINO's Model API read, at a size that costs what another network costs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Tuple

import onnx
from onnx import shape_inference

AT_640 = 8.75  # BFLOPs by `bflops_of`; ultralytics' own figure is 8.7
STEP = 32  # its coarsest stride


def nearest(bflops: float) -> Tuple[int, int]:
    """The input (height, width) whose BFLOPs are nearest: a square, or a step wider. They go with the area."""
    sizes = [(side, side + more) for side in range(STEP, 1281, STEP) for more in (0, STEP)]
    return min(sizes, key=lambda hw: abs(AT_640 * hw[0] * hw[1] / 640**2 - bflops))


def exported(peer: Any, target: Path, images: Path, hw: Tuple[int, int], boxes: int, how: Tuple[float, float]) -> float:
    """Let ultralytics export it to `target` so that it finds about so many boxes; returns its BFLOPs."""
    words = [str(target), str(images), *map(str, hw), str(boxes), *map(str, how)]
    command = [peer.python, str(Path(__file__).with_name(peer.script)), "--make", *words]
    folder = target.parent
    env = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ultralytics exported nothing: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return bflops_of(target)


def bflops_of(path: Path) -> float:
    """BFLOPs of an ONNX file by the paper's rule: its convolutions' and max-pools' (see `edgecsp.graph.layers`)."""
    graph = shape_inference.infer_shapes(onnx.load(str(path))).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    kernels = {each.name: list(each.dims) for each in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "MaxPool"):
            continue
        _, channels, height, width = shapes[node.output[0]]
        if node.op_type == "Conv":
            _, inputs, kh, kw = kernels[node.input[1]]
            total += 2 * inputs * kh * kw * channels * height * width
        else:
            kh, kw = next(each.ints for each in node.attribute if each.name == "kernel_shape")
            total += kh * kw * channels * height * width
    return total / 1e9
