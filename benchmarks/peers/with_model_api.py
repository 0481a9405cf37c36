"""OpenVINO's Model API: its wrapper of YOLOv8 on the ONNX file as it is.

Its wrapper of darknet's raw heads (YOLOV4) does not work in 0.4.7: it ends with an AttributeError, first for its
anchors, then in its NMS.
"""

from __future__ import annotations

from typing import Any, List

import numpy as np
import openvino
from model_api.adapters import OpenvinoAdapter
from model_api.models import DetectionModel
from serve import Box, read_request, serve

request = read_request()
core = openvino.Core()
requests = 0  # its own default: as many as it finds best
if request["threads"]:
    # fp32 as edgecsp's: where the CPU has bf16 OpenVINO would compute in that, and pin its threads.
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": request["threads"], "NUM_STREAMS": 1})
    requests = 1
adapter = OpenvinoAdapter(core, request["files"]["onnx"], device="CPU", max_num_requests=requests)
how = {"confidence_threshold": request["conf"], "iou_threshold": request["iou"]}
model = DetectionModel.create_model(adapter, model_type="YOLOv8", configuration=how, preload=True)


def boxes(result: Any) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    return [(c, s, *box) for c, s, box in zip(result.labels, result.scores, result.bboxes)]


serve(model, boxes, np.load(request["images"]), openvino.__version__.split("-")[0])
