"""CSPResNeXt50-PANet-SPP, the paper's large detector. Every layer is from the authors' cfg."""

from __future__ import annotations

from ..graph.anchors import A9
from ..graph.layers import Net
from ._blocks import cspresnext50
from ._heads import Output, panet
from ._record import FINE_FIRST, Entry, PublicWeights, PublishedRow


def panet_spp(net: Net, head: Output) -> None:
    """CSPResNeXt50-PANet-SPP."""
    panet(net, cspresnext50(net), head)


MODELS = (
    Entry(
        "cspresnext50-panet-spp",
        "CSPResNeXt50-PANet-SPP",
        panet_spp,
        416,
        (
            PublishedRow("Table 4", 608, 100.6, 56.9, ap=(38.4, 60.6, 41.6), fps={"gpu": 35}),
            PublishedRow("Table 4", 512, 71.3, 56.9, ap=(38.0, 60.0, 40.8), fps={"gpu": 44}),
            PublishedRow("Table 4", 416, 47.1, 56.9, ap=(36.6, 58.1, 39.0), fps={"gpu": 53}),
            PublishedRow("Table 4", 320, 27.9, 56.9, ap=(33.4, 54.0, 35.1), fps={"gpu": 58}),
        ),
        source="WongKinYiu/CrossStagePartialNetworks, cfg/csresnext50-panet-spp.cfg",
        anchors=A9,
        masks=FINE_FIRST,
        weights=PublicWeights("https://drive.google.com/uc?export=download&id=1Y6vJQf-Vu9O0tB10IUYNttktA-DLp5T1"),
    ),
)
