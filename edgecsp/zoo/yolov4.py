"""The family's later members. Every layer is from a public cfg (AlexeyAB/darknet,
WongKinYiu/CrossStagePartialNetworks).
"""

from __future__ import annotations

from typing import Tuple

from ..graph.anchors import A6, A9, A9_V4
from ..graph.layers import Net, Tensor
from ._blocks import cspdarknet53, pool
from ._heads import Output, panet
from ._record import FINE_FIRST, PUBLIC_DOMAIN, TINY, Entry, PublicWeights, PublishedRow


def tiny(net: Net, head: Output) -> None:
    """YOLOv4-tiny."""
    x = net.conv(net.conv(net.input, 32, 3, stride=2), 64, 3, stride=2)
    for n in (64, 128, 256):
        x, mixed = _tiny_stage(net, x, n)
    x = net.conv(net.conv(x, 512, 3), 256, 1)
    head(net.conv(x, 512, 3))
    x = net.upsample(net.conv(x, 128, 1), 2)
    head(net.conv(net.concat(x, mixed), 256, 3))


def _tiny_stage(net: Net, x: Tensor, n: int) -> Tuple[Tensor, Tensor]:
    """A dense stage on half of the channels, joined with the whole: the stage pooled, and its last mix."""
    x = net.conv(x, n, 3)
    first = net.conv(net.slice(x, n // 2, n), n // 2, 3)
    second = net.conv(first, n // 2, 3)
    mixed = net.conv(net.concat(second, first), n, 1)
    return pool(net, net.concat(x, mixed)), mixed


def yolov4(net: Net, head: Output) -> None:
    """YOLOv4."""
    panet(net, cspdarknet53(net, "mish"), head)


def yolov4_csp(net: Net, head: Output) -> None:
    """YOLOv4-CSP (Scaled-YOLOv4)."""
    panet(net, cspdarknet53(net, "mish", partial_first=False), head, partial=True)


def cspdarknet53_panet_spp(net: Net, head: Output) -> None:
    """CSPDarknet53-PANet-SPP."""
    panet(net, cspdarknet53(net, "leaky"), head)


_RELEASE = "https://github.com/AlexeyAB/darknet/releases/download/"
_README = "AlexeyAB/darknet, README"

MODELS = (
    Entry(
        "yolov4-tiny",
        "YOLOv4-tiny",
        tiny,
        416,
        (PublishedRow(_README, 416, 6.9, ap=(None, 40.2, None), fps={"gpu": 371, "a76": 18.9}),),
        source="AlexeyAB/darknet, cfg/yolov4-tiny.cfg",
        anchors=A6,
        masks=TINY,
        scale_xy=(1.05, 1.05),
        nms_beta=0.6,
        weights=PublicWeights(
            _RELEASE + "yolov4/yolov4-tiny.weights",
            24_251_276,
            sha1="451caaab22fb9831aa1a5ee9b5ba74a35ffa5dcb",
            licence=PUBLIC_DOMAIN,
        ),
    ),
    Entry(
        "yolov4",
        "YOLOv4",
        yolov4,
        608,
        (
            PublishedRow(_README, 608, 128.5, ap=(43.5, 65.7, None)),
            PublishedRow(_README, 512, 91.1, ap=(43.0, 64.9, None)),
            PublishedRow(_README, 416, 60.1, ap=(41.2, 62.8, None)),
            PublishedRow(_README, 320, 35.5, ap=(38.0, 60.0, None)),
        ),
        source="AlexeyAB/darknet, cfg/yolov4.cfg",
        anchors=A9_V4,
        masks=FINE_FIRST,
        scale_xy=(1.2, 1.1, 1.05),
        nms_beta=0.6,
        weights=PublicWeights(
            _RELEASE + "yolov4/yolov4.weights",
            257_717_640,
            sha1="0143deb6c46fcc7f74dd35bf3c14edc3784e99ee",
            licence=PUBLIC_DOMAIN,
        ),
    ),
    Entry(
        "yolov4-csp",
        "YOLOv4-CSP",
        yolov4_csp,
        640,
        (PublishedRow(_README, 640, 120, ap=(48.7, 67.4, None)), PublishedRow(_README, 512, 77, ap=(46.2, 64.8, None))),
        source="AlexeyAB/darknet, cfg/yolov4-csp.cfg",
        anchors=A9_V4,
        masks=FINE_FIRST,
        scale_xy=(2.0, 2.0, 2.0),
        new_coords=True,
        nms_beta=0.6,
        resize="letterbox",
        weights=PublicWeights(_RELEASE + "darknet_yolo_v4_pre/yolov4-csp.weights", licence=PUBLIC_DOMAIN),
    ),
    Entry(
        "cspdarknet53-panet-spp",
        "CSPDarknet53-PANet-SPP",
        cspdarknet53_panet_spp,
        416,
        (PublishedRow("authors' repository", 512, ap=(38.7, 61.3, 41.7), fps={"gpu": 51}),),
        source="WongKinYiu/CrossStagePartialNetworks, cfg/csdarknet53-panet-spp.cfg",
        anchors=A9,
        masks=FINE_FIRST,
        weights=PublicWeights("https://drive.google.com/uc?export=download&id=1ezwtlTmQ1woHGZNtmKUdmyx-jqFElafA"),
    ),
)
