"""MobileNetV2-YOLOv3-Nano and yoloface: small detectors with public weights.

Every layer is from their author's cfgs (dog-qiuqiu/MobileNet-Yolo). A URL names the commit that holds the weights, so
what it gives cannot change.
"""

from __future__ import annotations

from ..graph.labels import VOC
from ..graph.layers import Net, Tensor
from ._blocks import project, squeeze_excite
from ._heads import Output, spp
from ._record import COARSE_FIRST, TWO_COARSE_FIRST, Entry, PublicWeights, PublishedRow
from .yolo_fastest import Units, units

_FINE: Units = (
    (48, 12, 2), (72, 12, 1), (72, 16, 2), *[(96, 16, 1)] * 2, (96, 32, 2), *[(192, 32, 1)] * 3, (192, 48, 1),
    *[(288, 48, 1)] * 2,
)  # fmt: skip


def nano(net: Net, head: Output) -> None:
    """MobileNetV2-YOLOv3-Nano."""
    x = project(net, net.conv(net.input, 16, 3, stride=2, act="relu"), 8, act="relu")
    wide = net.conv(units(net, x, _FINE, act="relu"), 288, 1, act="relu")
    x = units(net, project(net, wide, 80, 2, act="relu"), ((480, 80, 1),) * 2, act="relu")
    x = net.conv(spp(net, x, (3, 5, 9)), 288, 1, act="relu")
    head(_mixed(net, x, 96, 384))
    x = net.conv(net.concat(net.upsample(x, 2), wide), 80, 1, act="relu")
    head(_mixed(net, net.conv(x, 288, 1, act="relu"), 192, 288))


def _mixed(net: Net, x: Tensor, *widths: int) -> Tensor:
    x = net.conv(x, x.c, 3, groups=x.c, act="relu")
    for width in widths:
        x = net.conv(x, width, 1, act="relu")
    return x


def face_50k(net: Net, head: Output) -> None:
    """yoloface-50k: one head at stride 8."""
    x = project(net, net.conv(net.input, 8, 3, stride=2), 4)
    x = _beside(net, net.conv(x, 18, 1), 6, ((36, 6, 1),), 8, "leaky")
    x = _beside(net, net.conv(x, 24, 1), 8, ((40, 8, 1),) * 2, 4, "leaky")
    x = net.conv(x, 40, 1)
    head(net.conv(net.conv(x, 40, 3, groups=40), 32, 1))


def face_500k(net: Net, head: Output) -> None:
    """yoloface-500k-v2: heads at 32, 16 and 8, each behind a squeeze and excitation."""
    x = project(net, net.conv(net.input, 8, 3, stride=2, act="relu"), 4, act="relu")
    maps = []
    for n, out, widths in ((18, 6, (36,)), (24, 8, (48,) * 2), (48, 16, (96,) * 3), (96, 24, (144,) * 2)):
        maps.append(net.conv(x, n, 1, act="relu"))
        x = _beside(net, maps[-1], out, [(width, out, 1) for width in widths], 2, "relu")
    for n, out, finer in ((72, 48, maps[3]), (48, 36, maps[2]), (24, 30, None)):
        x = net.conv(x, n, 1, act="relu")
        head(_mixed(net, squeeze_excite(net, x, n // 2, "relu"), out))
        if finer is not None:
            x = net.concat(net.upsample(x, 2), finer)


def _beside(net: Net, x: Tensor, out: int, widths: Units, size: int, act: str) -> Tensor:
    """Units at half the size, beside the map that they began with, pooled over `size` places."""
    y = units(net, project(net, x, out, 2, act=act), widths, act=act)
    return net.concat(net.maxpool(x, size, 2), net.conv(y, x.c, 1, act=act))


_REPOSITORY = "dog-qiuqiu/MobileNet-Yolo"
_RAW = f"https://raw.githubusercontent.com/{_REPOSITORY}/"

MODELS = (
    Entry(
        "mobilenetv2-yolov3-nano",
        "MobileNetV2-YOLOv3-Nano",
        nano,
        320,
        (PublishedRow(f"{_REPOSITORY}, COCOmAP", 320, 0.551, ap=(None, 30.13, None)),),
        source=f"{_REPOSITORY}, MobileNetV2-YOLOv3-Nano/COCO/MobileNetV2-YOLOv3-Nano-coco.cfg",
        anchors=((12, 18), (37, 49), (52, 132), (115, 74), (119, 199), (243, 238)),
        masks=TWO_COARSE_FIRST,
        scale_xy=(1.1, 1.05),
        nms_beta=0.6,
        weights=PublicWeights(
            _RAW + "72593c3b231d6e1bc188cef31ce1d47b70d69d52/"
            "MobileNetV2-YOLOv3-Nano/COCO/MobileNetV2-YOLOv3-Nano-coco.weights"
        ),
    ),
    Entry(
        "mobilenetv2-yolov3-nano-voc",
        "MobileNetV2-YOLOv3-Nano (VOC)",
        nano,
        320,
        (PublishedRow(f"{_REPOSITORY}, VOCmAP", 320, 0.495, ap=(None, 65.27, None), data="VOC 2007"),),
        source=f"{_REPOSITORY}, darknet2caffe/MobileNetV2-YOLOv3-Nano-voc.cfg",
        anchors=((26, 48), (67, 84), (72, 175), (189, 126), (137, 236), (265, 259)),
        masks=TWO_COARSE_FIRST,
        scale_xy=(1.1, 1.05),
        nms_beta=0.6,
        weights=PublicWeights(
            _RAW + "8ac35ef7c8bd64a15a4a7dc0a665533d33dd9423/darknet2caffe/MobileNetV2-YOLOv3-Nano-voc.weights"
        ),
        labels=VOC,
    ),
    Entry(
        "yoloface-50k",
        "yoloface-50k",
        face_50k,
        56,
        source=f"{_REPOSITORY}, yoloface-50k/yoloface-50k.cfg",
        anchors=((9, 14), (12, 17), (22, 21)),
        masks=((0, 1, 2),),
        weights=PublicWeights(_RAW + "b5604ecd3db8a912908abedb14b705eb0832370c/yoloface-50k/yoloface-50k.weights"),
        labels=("face",),
        stride=8,
    ),
    Entry(
        "yoloface-500k-v2",
        "yoloface-500k-v2",
        face_500k,
        320,
        source=f"{_REPOSITORY}, yoloface-500k/yoloface-500k-v2.cfg",
        anchors=((4, 6), (7, 10), (11, 15), (16, 24), (33, 25), (26, 41), (47, 60), (83, 97), (141, 149)),
        masks=COARSE_FIRST,
        nms_beta=0.6,
        weights=PublicWeights(_RAW + "49b3548eff995b6c9c18fd14209afc86f701e6a5/yoloface-500k/yoloface-500k-v2.weights"),
        labels=("face",),
    ),
)
