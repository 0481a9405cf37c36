"""OpenCV: the DNN module of OpenCV 4 and 5, which is here anyway."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List

import numpy as np

from ..errors import BuildFailed
from ..types import Array, Model
from .base import EngineInfo, Session, SessionOptions


class OpenCvSession(Session):
    """A network of cv2.dnn on the CPU.

    OpenCV has one number of threads for the whole process, resizing included. A session sets its own before it runs,
    and on closing gives back the number that it found.
    """

    info = EngineInfo(
        "opencv",
        "the DNN module of OpenCV 4 and 5, which is here anyway.",
        requires=("cv2",),
        devices=("cpu",),
        # Of a quantized graph OpenCV 5.0 makes something else (yolov3-tiny's heads are off by twice their scale), and
        # 4.14 what is right but in no less time than fp32 takes.
        precisions=("fp32",),
        auto_rank=40,
        auto_reason="the one that is always there",
    )

    def __init__(self, model: Model, options: SessionOptions) -> None:
        super().__init__(model, options)
        import cv2

        self._cv2, self._threads, self._found_threads = cv2, options.threads, cv2.getNumThreads()
        self._outputs = [head.name for head in model.heads]
        try:
            with _quiet(cv2):
                self._net = self._open_network(model)
        except Exception as error:
            message = " ".join(str(error).split())
            raise BuildFailed(f"OpenCV {cv2.__version__} cannot build {model.name}: {message}") from error

    def _open_network(self, model: Model) -> Any:
        """The network after its first run, in which OpenCV 5 finds what it cannot do."""
        batch = np.zeros((1, model.input.channels, *model.input.hw), np.float32)
        try:
            net = self._read(model.onnx)
            self._forward(net, batch)
        except self._cv2.error:
            # OpenCV 5.0 adds maps of two sizes only where an Expand says to which: ThunderNet has such a sum.
            net = self._read(_expand_sums(model.onnx))
            self._forward(net, batch)
        return net

    def _read(self, onnx: bytes) -> Any:
        # OpenCV 5 has two engines, the classic one of OpenCV 4 and a new one. We take its default, the new one: it was
        # faster on all 30 one-stage graphs of the zoo (1.5 times, geometric mean), and whatever one asks of it, 5.0
        # reads a graph from memory into the new one alone.
        return self._cv2.dnn.readNetFromONNX(np.frombuffer(onnx, np.uint8))

    def _forward(self, net: Any, batch: Array) -> List[Array]:
        if self._cv2.getNumThreads() != self._threads:  # setting it stops and starts them all
            self._cv2.setNumThreads(self._threads)
        net.setInput(np.ascontiguousarray(batch))
        return list(net.forward(self._outputs))

    def run(self, batch: Array) -> List[Array]:
        """(N, C, h, w) float32 -> one array a head."""
        return self._forward(self._net, batch)

    def close(self) -> None:
        """Drop the network; once more does nothing."""
        if vars(self).pop("_net", None) is not None:
            self._cv2.setNumThreads(self._found_threads)


@contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """No lines of OpenCV's on stderr: what they say is in the exception too."""
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _expand_sums(data: bytes) -> bytes:
    """The same graph with both sides of every sum brought to the size of the sum."""
    from onnx import helper, load_model_from_string, numpy_helper, shape_inference

    proto = load_model_from_string(data)
    known = shape_inference.infer_shapes(proto).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*known.value_info, *known.output)}
    nodes = []
    for node in proto.graph.node:
        expected = shapes.get(node.output[0])
        for i, name in enumerate(node.input if node.op_type == "Add" and expected else ()):
            if shapes.get(name, expected) != expected:
                wide = f"{node.output[0]}.wide{i}"
                proto.graph.initializer.append(numpy_helper.from_array(np.array(expected, np.int64), f"{wide}.shape"))
                nodes.append(helper.make_node("Expand", [name, f"{wide}.shape"], [wide], name=wide))
                node.input[i] = wide
        nodes.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    expanded: bytes = proto.SerializeToString()
    return expanded
