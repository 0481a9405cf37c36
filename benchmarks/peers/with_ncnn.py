"""ncnn as its YOLOv3 example has it: its own resize and scaling, and its detection layer behind the network.

The param file is the one that edgecsp's ncnn engine makes of the graph; the layer that ncnn's darknet2ncnn would put
behind it (`Yolov3DetectionOutput`) is added by `add_detection`. That layer's score is 1 / (1 + exp(-o) * (1 + exp(-c)))
of objectness o and class c, which is above the product of the two sigmoids. It knows no scale_x_y: for a model whose
heads have one, numpy decodes the raw heads, as for plain onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import ncnn
import numpy as np
from raw_heads import to_rows
from serve import Box, read_request, serve


def add_detection(param: str, heads: Sequence[str], request: Dict[str, Any]) -> str:
    """A param file whose output "detections" is that of ncnn's own decoder and NMS."""
    magic, counts, *layers = param.strip().splitlines()
    layer_count, blob_count = map(int, counts.split())
    classes = request["classes"]
    anchors = [f"{value:e}" for pair in request["anchors"] for value in pair]
    masks = [f"{index:e}" for mask in request["masks"] for index in mask]
    strides = [f"{stride:e}" for stride in request["strides"]]
    lists = (f"-2330{4 + k}={len(each)},{','.join(each)}" for k, each in enumerate((anchors, masks, strides)))
    options = f"0={classes} 1={len(request['masks'][0])} 2={request['conf']:e} 3={request['iou']:e} {' '.join(lists)}"
    layers.append(f"Yolov3DetectionOutput detections {len(heads)} 1 {' '.join(heads)} detections {options}")
    return "\n".join([magic, f"{layer_count + 1} {blob_count + 1}", *layers, ""])


request = read_request()
net = ncnn.Net()
if request["threads"]:
    net.opt.num_threads = request["threads"]
param = Path(request["files"]["param"])
raw = ncnn.Net()
raw.load_param(str(param))
heads = raw.output_names()
is_plain = all(scale == 1 for scale in request["scale_xy"])
if is_plain:
    own = param.with_suffix(".detect.param")
    own.write_text(add_detection(param.read_text("utf-8"), heads, request))
    param = own
net.load_param(str(param))
net.load_model(request["files"]["bin"])
HEIGHT, WIDTH = request["hw"]
name = net.input_names()[0]


def detect(image: Any) -> Any:
    """(N, 6): class from 1, score, x1, y1, x2, y2 as shares of the image."""
    height, width = image.shape[:2]
    pixels = ncnn.Mat.from_pixels_resize(image, ncnn.Mat.PixelType.PIXEL_BGR2RGB, width, height, WIDTH, HEIGHT)
    pixels.substract_mean_normalize([], [1 / 255] * 3)
    extractor = net.create_extractor()
    extractor.input(name, pixels)
    if not is_plain:
        maps = [np.array(extractor.extract(head)[1])[None] for head in heads]
        classes, scores, xyxy = to_rows(maps, request, image)
        return np.column_stack([classes + 1, scores, xyxy / np.array([width, height] * 2)])
    _, rows = extractor.extract("detections")
    return np.zeros((0, 6)) if rows.empty() else np.array(rows).reshape(-1, 6)


def boxes(rows: Any) -> List[Box]:
    """Boxes in the form that all peers answer with."""
    size = np.array([1280, 720] * 2)
    return [(int(row[0]) - 1, row[1], *(row[2:] * size)) for row in rows]


serve(detect, boxes, np.load(request["images"]), ncnn.__version__)
