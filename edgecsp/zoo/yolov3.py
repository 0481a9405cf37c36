"""YOLOv3 and its tiny relatives. Every layer is from a public cfg (pjreddie/darknet, AlexeyAB/darknet,
WongKinYiu/PartialResidualNetworks).
"""

from __future__ import annotations

from typing import Tuple

from ..graph.anchors import A6, A9
from ..graph.layers import Net, Tensor
from ._blocks import darknet53, plain
from ._heads import Output, fpn, prn
from ._record import COARSE_FIRST, PUBLIC_DOMAIN, TINY, Entry, PublicWeights, PublishedRow


def trunk(net: Net) -> Tuple[Tensor, Tensor]:
    """YOLOv3-tiny's trunk: 256 channels at 16 and 512 at 32."""
    fine, x = plain(net, net.input, (16, 32, 64, 128, 256))
    return fine, net.conv(x, 512, 3)


def tiny(net: Net, head: Output) -> None:
    """YOLOv3-tiny."""
    fine, x = trunk(net)
    x = net.conv(net.conv(net.maxpool(x, 2, 1), 1024, 3), 256, 1)
    head(net.conv(x, 512, 3))
    x = net.upsample(net.conv(x, 128, 1), 2)
    head(net.conv(net.concat(x, fine), 256, 3))


def tiny_prn(net: Net, head: Output) -> None:
    """YOLOv3-tiny-PRN."""
    fine, x = trunk(net)
    top = net.conv(net.maxpool(x, 2, 1), 512, 3)
    prn(net, net.shortcut(top, x, "leaky"), fine, head=head)


def yolov3(net: Net, head: Output) -> None:
    """YOLOv3."""
    fpn(net, darknet53(net), head)


def yolov3_spp(net: Net, head: Output) -> None:
    """YOLOv3-SPP."""
    fpn(net, darknet53(net), head, pyramid=True)


_MEDIA = "https://pjreddie.com/media/files/"
_DRIVE = "https://drive.google.com/uc?export=download&id="
_TINY_AP = (None, 33.1, None)

MODELS = (
    Entry(
        "yolov3-tiny",
        "YOLOv3-tiny",
        tiny,
        416,
        (PublishedRow("Tables 4, 5", 416, 5.57, 8.86, "floats", _TINY_AP, fps={"gpu": 330, "cpu": 54, "mgpu": 37}),),
        source="pjreddie/darknet, cfg/yolov3-tiny.cfg; masks of WongKinYiu/PartialResidualNetworks",
        anchors=A6,
        masks=TINY,
        weights=PublicWeights(
            _MEDIA + "yolov3-tiny.weights",
            35_434_956,
            sha256="dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
            licence=PUBLIC_DOMAIN,
        ),
    ),
    Entry(
        "yolov3-tiny-prn",
        "YOLOv3-tiny-PRN",
        tiny_prn,
        416,
        (PublishedRow("Tables 4, 5", 416, 3.47, 4.96, "floats", _TINY_AP, fps={"gpu": 400, "cpu": 71, "mgpu": 49}),),
        source="WongKinYiu/PartialResidualNetworks, cfg/yolov3-tiny-prn.cfg",
        anchors=A6,
        masks=TINY,
        weights=PublicWeights(
            _DRIVE + "18yYZWyKbo4XSDVyztmsEcF9B_6bxrhUY",
            sha512="0be26786103866868751bb8c5cc0b5147b3e8528d0cf5b387f5aefc72807fd7f"
            "1bf8049d5b0a47e9b4445d34e773ea8e3abc95330edb2a3ecd6103e158df2677",
        ),
    ),
    Entry(
        "yolov3",
        "YOLOv3",
        yolov3,
        416,
        (
            PublishedRow("Table 4", 608, 140.7, 62.3, "floats", (33.0, 57.9, 34.4), fps={"gpu": 30}),
            PublishedRow("Table 4", 416, 65.9, 62.3, "floats", (31.0, 55.3, 33.2), fps={"gpu": 46}),
            PublishedRow("Table 4", 320, 39.0, 62.3, "floats", (28.2, 51.5, 29.7), fps={"gpu": 56}),
        ),
        source="pjreddie/darknet, cfg/yolov3.cfg",
        anchors=A9,
        masks=COARSE_FIRST,
        weights=PublicWeights(
            _MEDIA + "yolov3.weights",
            248_007_048,
            sha512="293c70e404ff0250d7c04ca1e5e053fc21a78547e69b5b329d34f25981613e59"
            "b982d93fff2c352915ef7531d6c3b02a9b0b38346d05c51d6636878d8883f2c1",
            licence=PUBLIC_DOMAIN,
        ),
    ),
    Entry(
        "yolov3-spp",
        "YOLOv3-SPP",
        yolov3_spp,
        608,
        (PublishedRow("Table 4", 608, 141.5, 62.9, ap=(36.2, 60.6, 38.2), fps={"gpu": 30}),),
        source="pjreddie/darknet, cfg/yolov3-spp.cfg",
        anchors=A9,
        masks=COARSE_FIRST,
        weights=PublicWeights(_MEDIA + "yolov3-spp.weights", 252_209_544, licence=PUBLIC_DOMAIN),
    ),
)
