"""darknet itself, by way of its C interface: Debian's package of pjreddie's darknet, one thread, no SIMD of its own.

It takes images as floats, so that turning bytes into floats is not in its time; its resize is.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_void_p
from typing import Any, List

import numpy as np
from serve import Box, read_request, serve


class Image(Structure):
    """darknet.h: planes of RGB from 0 to 1."""

    _fields_ = [("w", c_int), ("h", c_int), ("c", c_int), ("data", POINTER(c_float))]


class Detection(Structure):
    """darknet.h: a box by its centre and size, and a probability for each class."""

    _fields_ = [
        ("box", c_float * 4), ("classes", c_int), ("prob", POINTER(c_float)), ("mask", POINTER(c_float)),
        ("objectness", c_float), ("sort_class", c_int),
    ]  # fmt: skip


request = read_request()
lib = ctypes.CDLL(request["library"])
lib.load_network.argtypes, lib.load_network.restype = [c_char_p, c_char_p, c_int], c_void_p
lib.set_batch_network.argtypes = [c_void_p, c_int]
lib.resize_image.argtypes, lib.resize_image.restype = [Image, c_int, c_int], Image
lib.free_image.argtypes = [Image]
lib.network_predict.argtypes, lib.network_predict.restype = [c_void_p, POINTER(c_float)], POINTER(c_float)
lib.get_network_boxes.restype = POINTER(Detection)
lib.get_network_boxes.argtypes = [
    c_void_p, c_int, c_int, c_float, c_float, POINTER(c_int), c_int, POINTER(c_int),
]  # fmt: skip
lib.do_nms_sort.argtypes = [POINTER(Detection), c_int, c_int, c_float]
lib.free_detections.argtypes = [POINTER(Detection), c_int]
network = lib.load_network(request["files"]["cfg"].encode(), request["files"]["weights"].encode(), 0)
lib.set_batch_network(network, 1)


def detect(pixels: Any) -> List[Box]:
    """An image's boxes, stretched to the network's size: `network_predict_image` would letterbox."""
    _, height, width = pixels.shape
    image = Image(width, height, 3, pixels.ctypes.data_as(POINTER(c_float)))
    rows, columns = request["hw"]
    small = lib.resize_image(image, columns, rows)
    lib.network_predict(network, small.data)
    lib.free_image(small)
    count = c_int(0)
    detected = lib.get_network_boxes(network, columns, rows, request["conf"], 0.5, None, 1, ctypes.byref(count))
    lib.do_nms_sort(detected, count.value, detected[0].classes if count.value else 0, request["iou"])
    boxes: List[Box] = []
    for each in detected[: count.value]:
        x, y, w, h = each.box
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        probabilities = np.ctypeslib.as_array(each.prob, (each.classes,))
        boxes += [(int(c), float(probabilities[c]), *corners) for c in np.flatnonzero(probabilities)]
    lib.free_detections(detected, count)
    return boxes


inputs = [
    np.ascontiguousarray(each[:, :, ::-1].transpose(2, 0, 1), np.float32) / 255 for each in np.load(request["images"])
]
serve(detect, lambda result: result, inputs, "2018-09 (Debian)")
