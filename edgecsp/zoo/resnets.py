"""The residual classifiers of the paper's Table 3 beside CSPResNeXt-50, and EfficientNet-B0.

ResNet-10, ResNeXt-50 and EfficientNet-B0 are from the authors' cfgs (WongKinYiu/CrossStagePartialNetworks), ResNet-152
from its paper.
"""

from __future__ import annotations

from ..graph.layers import Net, Tensor
from ._blocks import csp, inverted, pool, project
from ._heads import Output
from ._record import PUBLIC_DOMAIN, Entry, PublicWeights, PublishedRow, reconstructed


def resnet10(net: Net, head: Output) -> None:
    """ResNet-10: one unit of two 3x3 a stage, no projection; the sum takes the channels that both have."""
    x = pool(net, net.conv(net.input, 64, 7, stride=2))
    for n in (64, 128, 256, 512):
        y = net.conv(x, n, 3, stride=1 if n == 64 else 2)
        x = net.shortcut(net.conv(y, n, 3, act="linear"), x, "leaky")
    head(x)


def cspresnet10(net: Net, head: Output) -> None:
    """CSPResNet-10, reconstructed: CSPResNet-50's first stage, then pooled stages whose halves are joined and mixed."""
    x = pool(net, net.conv(net.input, 64, 7, stride=2))
    x = csp(net, x, lambda y: _unit(net, y), part_width=128, through=64, out=128)
    for n in (128, 256, 512):
        x = pool(net, x)
        aside = net.conv(x, x.c, 1)
        x = net.conv(net.concat(_unit(net, net.conv(x, n // 2, 1)), aside), n, 1)
    head(x)


def _unit(net: Net, x: Tensor) -> Tensor:
    """ResNet's unit of two 3x3."""
    return net.shortcut(net.conv(net.conv(x, x.c, 3), x.c, 3, act="linear"), x, "leaky")


def resnext50(net: Net, head: Output) -> None:
    """ResNeXt-50 (32 groups of 4), no projection; a stage's first 3x3 halves the map."""
    x = pool(net, net.conv(net.input, 64, 7, stride=2))
    for n, units in ((128, 3), (256, 4), (512, 6), (1024, 3)):
        for unit in range(units):
            y = net.conv(x, n, 1)
            y = net.conv(y, n, 3, stride=2 if n > 128 and not unit else 1, groups=32)
            x = net.shortcut(net.conv(y, 2 * n, 1, act="linear"), x, "leaky")
    head(x)


def resnet152(net: Net, head: Output) -> None:
    """ResNet-152: a stage's first 1x1 halves the map, and a 1x1 projects its input."""
    x = net.maxpool(net.conv(net.input, 64, 7, stride=2, act="relu"), 3, 2, padding=2)
    for n, units in ((64, 3), (128, 8), (256, 36), (512, 3)):
        for unit in range(units):
            stride = 2 if n > 64 and not unit else 1
            y = net.conv(net.conv(x, n, 1, stride=stride, act="relu"), n, 3, act="relu")
            y = net.conv(y, 4 * n, 1, act="linear")
            x = net.shortcut(y, x if unit else net.conv(x, 4 * n, 1, stride=stride, act="linear"), "relu")
    head(x)


# Of each unit: the width between, the width after, the kernel, the stride, the inner width of its squeeze.
_B0 = (
    (96, 24, 3, 2, 16), (144, 24, 3, 1, 8), (144, 40, 5, 2, 8), (192, 40, 5, 1, 16), (192, 80, 3, 1, 16),
    (384, 80, 3, 1, 24), (384, 80, 3, 1, 24), (384, 112, 5, 2, 24), (576, 112, 5, 1, 32), (576, 112, 5, 1, 32),
    (576, 192, 5, 2, 32), (960, 192, 5, 1, 64), (960, 192, 5, 1, 64), (960, 192, 5, 1, 64), (960, 320, 3, 1, 64),
)  # fmt: skip


def efficientnet_b0(net: Net, head: Output) -> None:
    """EfficientNet-B0 in darknet."""
    x = net.conv(net.conv(net.input, 32, 3, stride=2, act="swish"), 32, 1, act="swish")
    x = project(net, x, 16, act="swish", gate=8)
    for wide, out, size, stride, gate in _B0:
        x = inverted(net, x, wide, out, stride, size=size, act="swish", gate=gate)
    head(net.conv(x, 1280, 1, act="swish"))


_AUTHORS = "WongKinYiu/CrossStagePartialNetworks"
_WEIGHTS = f"https://github.com/{_AUTHORS}/raw/master/weight/"
_CSP10 = "stages: splits, transitions and widths, one of about forty settings within 0.6% of both figures"

MODELS = (
    Entry(
        "resnet10",
        "ResNet-10",
        resnet10,
        256,
        (PublishedRow("Table 3", 256, 2.273, 5.24, top1=63.5),),
        source=f"{_AUTHORS}, cfg/resnet10.cfg",
        resize="crop",
        weights=PublicWeights(_WEIGHTS + "resnet10_final.weights"),
    ),
    reconstructed(
        "cspresnet10",
        "CSPResNet-10",
        cspresnet10,
        PublishedRow("Table 3", 256, 1.905, 2.73, top1=65.3),
        forced=("ResNet-10's stem and classifier; units of two 3x3, as the paper says",),
        fitted=(_CSP10,),
    ),
    Entry(
        "resnext50",
        "ResNeXt-50",
        resnext50,
        256,
        (PublishedRow("Table 3", 256, 10.11, 22.19, top1=77.8),),
        source=f"{_AUTHORS}, cfg/resnext50.cfg",
        resize="crop",
        weights=PublicWeights("https://pjreddie.com/media/files/resnext50.weights", licence=PUBLIC_DOMAIN),
    ),
    Entry(
        "resnet152",
        "ResNet-152",
        resnet152,
        224,
        (PublishedRow("Table 3", 224, 22.6, 60.2, top1=77.8),),
        source="arXiv 1512.03385, Table 1",
        resize="crop",
    ),
    Entry(
        "efficientnet-b0",
        "EfficientNet-B0",
        efficientnet_b0,
        224,
        (PublishedRow("Table 3", 224, 0.915, 4.81, top1=71.3),),
        source=f"{_AUTHORS}, cfg/enetb0.cfg",
        resize="crop",
        weights=PublicWeights(_WEIGHTS + "enetb0_final.weights"),
    ),
)
