"""Darknet cfgs of the public models, written from the section lists of the public files.

Nothing here reads `edgecsp.zoo`: layer numbers (61, 36, -1,-28 ...) stand as they do in the public cfgs, so a
wrong wiring in the zoo and the same wrong wiring here are two mistakes, not one.
"""

from __future__ import annotations

from typing import Any

A6 = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"
A9 = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
A9_V4 = "12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401"


class Cfg:
    """A cfg text being written; `heads` are the layer numbers of the convolutions in front of [yolo] or [softmax]."""

    def __init__(self, **net: object) -> None:
        self.text = ""
        self.count = -1
        self.heads: list[int] = []
        self.act = "leaky"
        self.section("net", width=416, height=416, channels=3, **net)

    def section(self, kind: str, **options: object) -> None:
        lines = [f"{key}={value}" for key, value in options.items()]
        self.text += "\n".join([f"[{kind}]", *lines, "", ""])
        self.count += 1

    def conv(self, filters: int, size: int = 1, stride: int = 1, act: str = "", **more: object) -> None:
        self.section(
            "convolutional",
            batch_normalize=1,
            filters=filters,
            size=size,
            stride=stride,
            pad=1,
            activation=act or self.act,
            **more,
        )

    def maxpool(self, size: int, stride: int) -> None:
        self.section("maxpool", size=size, stride=stride)

    def route(self, layers: str, **more: object) -> None:
        self.section("route", layers=layers, **more)

    def shortcut(self, position: int, act: str = "linear") -> None:
        self.section("shortcut", **{"from": position, "activation": act})

    def upsample(self) -> None:
        self.section("upsample", stride=2)

    def yolo(self, mask: str, anchors: str, act: str = "linear", classes: int = 80, **more: object) -> None:
        filters = len(mask.split(",")) * (5 + classes)
        self.section("convolutional", size=1, stride=1, pad=1, filters=filters, activation=act)
        self.heads.append(self.count - 1)
        num = len(anchors.split(",")) // 2
        self.section("yolo", mask=mask, anchors=anchors, classes=classes, num=num, **more)

    def classifier(self) -> None:
        self.section("avgpool")
        self.section("convolutional", filters=1000, size=1, stride=1, pad=1, activation="linear")
        self.heads.append(self.count - 1)
        self.section("softmax", groups=1)

    def spp(self) -> None:
        self.maxpool(5, 1)
        self.route("-2")
        self.maxpool(9, 1)
        self.route("-4")
        self.maxpool(13, 1)
        self.route("-1,-3,-5,-6")


# -- YOLOv3 ------------------------------------------------------------------------------------------------


def _trunk() -> Cfg:
    cfg = Cfg()
    for filters in (16, 32, 64, 128, 256):
        cfg.conv(filters, 3)
        cfg.maxpool(2, 2)
    cfg.conv(512, 3)
    cfg.maxpool(2, 1)
    return cfg


def yolov3_tiny() -> Cfg:
    cfg = _trunk()
    cfg.conv(1024, 3)
    cfg.conv(256)
    cfg.conv(512, 3)
    cfg.yolo("3,4,5", A6)
    cfg.route("-4")
    cfg.conv(128)
    cfg.upsample()
    cfg.route("-1, 8")
    cfg.conv(256, 3)
    cfg.yolo("1,2,3", A6)
    return cfg


def yolov3_tiny_prn() -> Cfg:
    cfg = _trunk()
    cfg.conv(512, 3)
    cfg.shortcut(-3, "leaky")
    cfg.conv(256)
    cfg.conv(256, 3)
    cfg.shortcut(-2, "leaky")
    cfg.yolo("3,4,5", A6)
    cfg.route("-4")
    cfg.conv(128)
    cfg.upsample()
    cfg.shortcut(8, "leaky")
    cfg.conv(128, 3)
    cfg.shortcut(-3, "leaky")
    cfg.shortcut(8, "leaky")
    cfg.yolo("1,2,3", A6)
    return cfg


def _yolov3(spp: bool) -> Cfg:
    cfg = Cfg()
    cfg.conv(32, 3)
    for filters, units in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        cfg.conv(filters, 3, 2)
        for _ in range(units):
            cfg.conv(filters // 2)
            cfg.conv(filters, 3)
            cfg.shortcut(-3)
    for filters, mask, tap in ((512, "6,7,8", 61), (256, "3,4,5", 36), (128, "0,1,2", 0)):
        cfg.conv(filters)
        cfg.conv(2 * filters, 3)
        if spp and filters == 512:
            cfg.conv(filters)
            cfg.spp()
        for _ in range(2):
            cfg.conv(filters)
            cfg.conv(2 * filters, 3)
        cfg.yolo(mask, A9)
        if tap:
            cfg.route("-4")
            cfg.conv(filters // 2)
            cfg.upsample()
            cfg.route(f"-1, {tap}")
    return cfg


def yolov3() -> Cfg:
    return _yolov3(spp=False)


def yolov3_spp() -> Cfg:
    return _yolov3(spp=True)


# -- PANet -------------------------------------------------------------------------------------------------


def _panet(cfg: Cfg, taps: tuple[int, int], anchors: str, **more: Any) -> Cfg:
    scales = more.pop("scales", (None, None, None))
    cfg.conv(512)
    cfg.conv(1024, 3)
    cfg.conv(512)
    cfg.spp()
    cfg.conv(512)
    cfg.conv(1024, 3)
    cfg.conv(512)
    for filters, tap in zip((256, 128), taps):
        cfg.conv(filters)
        cfg.upsample()
        cfg.route(str(tap))
        cfg.conv(filters)
        cfg.route("-1, -3")
        for _ in range(2):
            cfg.conv(filters)
            cfg.conv(2 * filters, 3)
        cfg.conv(filters)
    for filters, mask, back, scale in zip((128, 256, 512), ("0,1,2", "3,4,5", "6,7,8"), (0, -16, -37), scales):
        if back:
            cfg.route("-4")
            cfg.conv(filters, 3, 2)
            cfg.route(f"-1, {back}")
            for _ in range(2):
                cfg.conv(filters)
                cfg.conv(2 * filters, 3)
            cfg.conv(filters)
        cfg.conv(2 * filters, 3)
        options: dict[str, Any] = {"scale_x_y": scale} if scale else {}
        cfg.yolo(mask, anchors, **options, **more)
    return cfg


def _resnext(cfg: Cfg) -> None:
    cfg.conv(64, 7, 2)
    cfg.maxpool(2, 2)
    for filters, units, back, split in (
        (128, 3, -16, "leaky"),
        (256, 3, -16, "linear"),
        (512, 5, -24, "linear"),
        (1024, 2, -12, "leaky"),
    ):
        if filters > 128:
            cfg.conv(filters, 3, 2, groups=32)
        cfg.conv(filters, act=split)
        cfg.route("-2")
        cfg.conv(64 if filters == 128 else filters, act=split)
        for _ in range(units):
            cfg.conv(filters)
            cfg.conv(filters, 3, groups=32)
            cfg.conv(filters, act="linear")
            cfg.shortcut(-4, "leaky")
        cfg.conv(filters)
        cfg.route(f"-1,{back}")
        cfg.conv(2 * filters)


def cspresnext50_panet_spp() -> Cfg:
    cfg = Cfg()
    _resnext(cfg)
    return _panet(cfg, (65, 38), A9)


def _csp_stage(cfg: Cfg, filters: int, part: int, inner: int, units: int, back: int) -> None:
    cfg.conv(part)
    cfg.route("-2")
    cfg.conv(part)
    for _ in range(units):
        cfg.conv(inner)
        cfg.conv(part, 3)
        cfg.shortcut(-3)
    cfg.conv(part)
    cfg.route(f"-1,{back}")
    cfg.conv(filters)


def _cspdarknet53(cfg: Cfg, first: bool = True) -> None:
    cfg.conv(32, 3)
    cfg.conv(64, 3, 2)
    if first:
        _csp_stage(cfg, 64, 64, 32, 1, -7)
    else:
        cfg.conv(32)
        cfg.conv(64, 3)
        cfg.shortcut(-3)
    for filters, units, back in ((128, 2, -10), (256, 8, -28), (512, 8, -28), (1024, 4, -16)):
        cfg.conv(filters, 3, 2)
        _csp_stage(cfg, filters, filters // 2, filters // 2, units, back)


def cspdarknet53_panet_spp() -> Cfg:
    cfg = Cfg()
    _cspdarknet53(cfg)
    return _panet(cfg, (85, 54), A9)


def yolov4() -> Cfg:
    cfg = Cfg()
    cfg.act = "mish"
    _cspdarknet53(cfg)
    cfg.act = "leaky"
    return _panet(cfg, (85, 54), A9_V4, scales=(1.2, 1.1, 1.05), nms_kind="greedynms", beta_nms=0.6)


def yolov4_csp() -> Cfg:
    cfg = Cfg(letter_box=1)
    cfg.act = "mish"
    _cspdarknet53(cfg, first=False)
    cfg.conv(512)
    cfg.route("-2")
    cfg.conv(512)
    cfg.conv(512, 3)
    cfg.conv(512)
    cfg.spp()
    cfg.conv(512)
    cfg.conv(512, 3)
    cfg.route("-1, -13")
    cfg.conv(512)
    for filters, tap in ((256, 79), (128, 48)):
        cfg.conv(filters)
        cfg.upsample()
        cfg.route(str(tap))
        cfg.conv(filters)
        cfg.route("-1, -3")
        _csp_neck(cfg, filters)
    for filters, mask, back in ((128, "0,1,2", 0), (256, "3,4,5", -20), (512, "6,7,8", -49)):
        if back:
            cfg.route("-4")
            cfg.conv(filters, 3, 2)
            cfg.route(f"-1, {back}")
            _csp_neck(cfg, filters)
        cfg.conv(2 * filters, 3)
        cfg.yolo(mask, A9_V4, "logistic", scale_x_y=2.0, new_coords=1, nms_kind="diounms", beta_nms=0.6)
    return cfg


def _csp_neck(cfg: Cfg, filters: int) -> None:
    cfg.conv(filters)
    cfg.conv(filters)
    cfg.route("-2")
    for _ in range(2):
        cfg.conv(filters)
        cfg.conv(filters, 3)
    cfg.route("-1, -6")
    cfg.conv(filters)


def yolov4_tiny() -> Cfg:
    cfg = Cfg()
    cfg.conv(32, 3, 2)
    cfg.conv(64, 3, 2)
    for filters in (64, 128, 256):
        cfg.conv(filters, 3)
        cfg.route("-1", groups=2, group_id=1)
        cfg.conv(filters // 2, 3)
        cfg.conv(filters // 2, 3)
        cfg.route("-1,-2")
        cfg.conv(filters)
        cfg.route("-6,-1")
        cfg.maxpool(2, 2)
    options: dict[str, Any] = {"scale_x_y": 1.05, "nms_kind": "greedynms", "beta_nms": 0.6}
    cfg.conv(512, 3)
    cfg.conv(256)
    cfg.conv(512, 3)
    cfg.yolo("3,4,5", A6, **options)
    cfg.route("-4")
    cfg.conv(128)
    cfg.upsample()
    cfg.route("-1, 23")
    cfg.conv(256, 3)
    cfg.yolo("1,2,3", A6, **options)
    return cfg


# -- classifiers -------------------------------------------------------------------------------------------


def darknet_ref() -> Cfg:
    cfg = Cfg()
    for filters in (16, 32, 64, 128, 256, 512):
        cfg.conv(filters, 3)
        cfg.maxpool(2, 2)
    cfg.conv(1024, 3)
    cfg.classifier()
    return cfg


def cspresnext50() -> Cfg:
    cfg = Cfg()
    _resnext(cfg)
    cfg.classifier()
    return cfg


# -- small detectors of dog-qiuqiu ---------------------------------------------------------------------------

FASTEST = "12, 18,  37, 49,  52,132, 115, 73, 119,199, 242,238"
FASTEST_1_0 = "26, 48,  67, 84,  72,175, 189,126, 137,236, 265,259"
GREEDY: dict[str, Any] = {"scale_x_y": 1.0, "nms_kind": "greedynms", "beta_nms": 0.6}


def _inverted(cfg: Cfg, wide: int, out: int, stride: int = 1, shortcut: int = 0, dropout: bool = False) -> None:
    cfg.conv(wide)
    cfg.conv(wide, 3, stride, groups=wide)
    cfg.conv(out, act="linear")
    if dropout:
        cfg.section("dropout", probability=0.15)
    if shortcut:
        cfg.shortcut(shortcut)


def _fastest_backbone(times: int) -> Cfg:
    """Layers 0 to 108."""
    cfg = Cfg()
    cfg.conv(8 * times, 3, 2)
    for wide, out, stride, repeated in (
        (8, 4, 1, 0), (8, 4, 1, 1), (24, 8, 2, 0), (32, 8, 1, 2), (32, 8, 2, 0), (48, 8, 1, 2), (48, 16, 1, 0),
        (96, 16, 1, 4), (96, 24, 2, 0), (136, 24, 1, 4), (136, 48, 2, 0), (224, 48, 1, 5),
    ):  # fmt: skip
        for _ in range(max(1, repeated)):
            _inverted(cfg, wide * times, out * times, stride, -5 if repeated else 0, dropout=repeated > 0)
    assert cfg.count == 109
    return cfg


def _separable(cfg: Cfg, width: int, after: int) -> None:
    for filters, out in ((width, after), (after, after)):
        cfg.conv(filters, 5, groups=filters)
        cfg.conv(out, act="linear")


def _small_spp(cfg: Cfg) -> None:
    cfg.maxpool(3, 1)
    cfg.route("-2")
    cfg.maxpool(5, 1)
    cfg.route("-4")
    cfg.maxpool(9, 1)
    cfg.route("-1,-3,-5,-6")


def _fastest(times: int, anchors: str = FASTEST, classes: int = 80) -> Cfg:
    cfg = _fastest_backbone(times)
    _small_spp(cfg)
    cfg.conv(96)
    _separable(cfg, 96, 96)
    cfg.yolo("3,4,5", anchors, classes=classes, **GREEDY)
    cfg.route("-7")
    cfg.upsample()
    cfg.route("-1,80")
    _separable(cfg, 96 + 24 * times, 96 + 24 * times)
    cfg.yolo("0,1,2", anchors, classes=classes, **GREEDY)
    return cfg


def yolo_fastest() -> Cfg:
    return _fastest(1)


def yolo_fastest_xl() -> Cfg:
    return _fastest(2)


def yolo_fastest_body() -> Cfg:
    return _fastest(1, "7, 17,  20, 50,  45, 99,  64,187, 123,211, 227,264", 1)


def yolo_fastest_1_0_xl() -> Cfg:
    cfg = _fastest_backbone(2)
    cfg.conv(96)
    _separable(cfg, 96, 128)
    cfg.yolo("3,4,5", FASTEST_1_0, **GREEDY)
    cfg.route("-7")
    cfg.upsample()
    cfg.route("-1,81")
    cfg.conv(96)
    _separable(cfg, 96, 96)
    cfg.yolo("0,1,2", FASTEST_1_0, **GREEDY)
    return cfg


def _nano(anchors: str, classes: int) -> Cfg:
    cfg = Cfg()
    cfg.act = "relu"
    cfg.conv(16, 3, 2)
    cfg.conv(16, 3, groups=16)
    cfg.conv(8, act="linear")
    for wide, out, stride, repeated in (
        (48, 12, 2, 0), (72, 12, 1, 1), (72, 16, 2, 0), (96, 16, 1, 2), (96, 32, 2, 0), (192, 32, 1, 3),
        (192, 48, 1, 0), (288, 48, 1, 2), (288, 80, 2, 0), (480, 80, 1, 2),
    ):  # fmt: skip
        for _ in range(max(1, repeated)):
            _inverted(cfg, wide, out, stride, -4 if repeated else 0)
    _small_spp(cfg)
    cfg.conv(288)
    cfg.conv(288, 3, groups=288)
    cfg.conv(96)
    cfg.conv(384)
    cfg.yolo("3,4,5", anchors, classes=classes, **{**GREEDY, "scale_x_y": 1.1})
    cfg.route("64")
    cfg.upsample()
    cfg.route("-1,47")
    cfg.conv(80)
    cfg.conv(288)
    cfg.conv(288, 3, groups=288)
    cfg.conv(192)
    cfg.conv(288)
    cfg.yolo("0,1,2", anchors, classes=classes, **{**GREEDY, "scale_x_y": 1.05})
    return cfg


def nano() -> Cfg:
    return _nano("12, 18,  37, 49,  52,132, 115, 74, 119,199, 243,238", 80)


def nano_voc() -> Cfg:
    return _nano("26, 48,  67, 84,  72,175, 189,126, 137,236, 265,259", 20)


def yoloface_50k() -> Cfg:
    cfg = Cfg()
    cfg.conv(8, 3, 2)
    cfg.conv(8, 3, groups=8)
    cfg.conv(4, act="linear")
    _inverted(cfg, 18, 6, 2)
    _inverted(cfg, 36, 6, 1, -4)
    cfg.conv(18)
    cfg.route("-8")
    cfg.maxpool(8, 2)
    cfg.route("-1,10")
    _inverted(cfg, 24, 8, 2)
    _inverted(cfg, 40, 8, 1, -4)
    _inverted(cfg, 40, 8, 1, -4)
    cfg.conv(24)
    cfg.route("-12")
    cfg.maxpool(4, 2)
    cfg.route("-1,25")
    cfg.conv(40)
    cfg.conv(40, 3, groups=40)
    cfg.conv(32)
    cfg.yolo("0,1,2", "9, 14,  12, 17,  22, 21", classes=1)
    return cfg


def yoloface_500k() -> Cfg:
    cfg = Cfg()
    cfg.act = "relu"
    cfg.conv(8, 3, 2)
    cfg.conv(8, 3, groups=8)
    cfg.conv(4, act="linear")
    for wide, out, inner, repeated, back, tap in (
        (18, 6, 36, 1, -8, 10), (24, 8, 48, 2, -12, 25), (48, 16, 96, 3, -16, 44), (96, 24, 144, 2, -12, 59),
    ):  # fmt: skip
        _inverted(cfg, wide, out, 2)
        for _ in range(repeated):
            _inverted(cfg, inner, out, 1, -4)
        cfg.conv(wide)
        cfg.route(str(back))
        cfg.maxpool(2, 2)
        cfg.route(f"-1,{tap}")
    anchors = "4,  6,   7, 10,  11, 15,  16, 24,  33, 25,  26, 41,  47, 60,  83, 97, 141,149"
    for filters, out, mask, tap in ((72, 48, "6,7,8", 48), (48, 36, "3,4,5", 29), (24, 30, "0,1,2", 0)):
        cfg.conv(filters)
        cfg.section("avgpool")
        cfg.section("convolutional", filters=filters // 2, size=1, stride=1, activation="relu")
        cfg.section("convolutional", filters=filters, size=1, stride=1, activation="logistic")
        cfg.section("scale_channels", **{"from": -4})
        cfg.conv(filters, 3, groups=filters)
        cfg.conv(out)
        cfg.yolo(mask, anchors, classes=1, scale_x_y=1.0, nms_kind="greedynms", beta_nms=0.2)
        if tap:
            cfg.route("-9")
            cfg.upsample()
            cfg.route(f"-1,{tap}")
    return cfg


def resnet10() -> Cfg:
    cfg = Cfg()
    cfg.conv(64, 7, 2)
    cfg.maxpool(2, 2)
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        cfg.conv(filters, 3, stride)
        cfg.conv(filters, 3, act="linear")
        cfg.shortcut(-3, "leaky")
    cfg.classifier()
    return cfg


def resnext50() -> Cfg:
    cfg = Cfg()
    cfg.conv(64, 7, 2)
    cfg.maxpool(2, 2)
    for filters, units in ((128, 3), (256, 4), (512, 6), (1024, 3)):
        for unit in range(units):
            cfg.conv(filters)
            cfg.conv(filters, 3, 2 if filters > 128 and unit == 0 else 1, groups=32)
            cfg.conv(2 * filters, act="linear")
            cfg.shortcut(-4, "leaky")
    cfg.classifier()
    return cfg


def efficientnet_b0() -> Cfg:
    cfg = Cfg()
    cfg.act = "swish"
    cfg.conv(32, 3, 2)
    for wide, out, size, stride, squeeze, dropped in (
        (32, 16, 3, 1, 8, 0), (96, 24, 3, 2, 16, 0), (144, 24, 3, 1, 8, 1), (144, 40, 5, 2, 8, 0),
        (192, 40, 5, 1, 16, 1), (192, 80, 3, 1, 16, 0), (384, 80, 3, 1, 24, 1), (384, 80, 3, 1, 24, 1),
        (384, 112, 5, 2, 24, 0), (576, 112, 5, 1, 32, 1), (576, 112, 5, 1, 32, 1), (576, 192, 5, 2, 32, 0),
        (960, 192, 5, 1, 64, 1), (960, 192, 5, 1, 64, 1), (960, 192, 5, 1, 64, 1), (960, 320, 3, 1, 64, 0),
    ):  # fmt: skip
        cfg.conv(wide)
        cfg.conv(wide, size, stride, groups=wide)
        cfg.section("avgpool")
        cfg.section("convolutional", filters=squeeze, size=1, stride=1, activation="swish")
        cfg.section("convolutional", filters=wide, size=1, stride=1, activation="logistic")
        cfg.section("scale_channels", **{"from": -4})
        cfg.conv(out, act="linear")
        if dropped:
            cfg.section("dropout", probability=0.2)
            cfg.shortcut(-9)
    cfg.conv(1280)
    cfg.section("avgpool")
    cfg.section("dropout", probability=0.2)
    cfg.section("convolutional", filters=1000, size=1, stride=1, pad=0, activation="linear")
    cfg.heads.append(cfg.count - 1)
    cfg.section("softmax", groups=1)
    return cfg


PUBLIC = {
    "yolov3-tiny": yolov3_tiny,
    "yolov3-tiny-prn": yolov3_tiny_prn,
    "yolov3": yolov3,
    "yolov3-spp": yolov3_spp,
    "cspresnext50-panet-spp": cspresnext50_panet_spp,
    "cspdarknet53-panet-spp": cspdarknet53_panet_spp,
    "yolov4-tiny": yolov4_tiny,
    "yolov4": yolov4,
    "yolov4-csp": yolov4_csp,
    "darknet-ref": darknet_ref,
    "cspresnext50": cspresnext50,
    "resnet10": resnet10,
    "resnext50": resnext50,
    "efficientnet-b0": efficientnet_b0,
    "yolo-fastest-1.1": yolo_fastest,
    "yolo-fastest-1.1-xl": yolo_fastest_xl,
    "yolo-fastest-1.1-body": yolo_fastest_body,
    "yolo-fastest-1.0-xl": yolo_fastest_1_0_xl,
    "mobilenetv2-yolov3-nano": nano,
    "mobilenetv2-yolov3-nano-voc": nano_voc,
    "yoloface-50k": yoloface_50k,
    "yoloface-500k-v2": yoloface_500k,
}
