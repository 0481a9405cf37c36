"""The record of a model besides its layers: the published numbers, where it comes from, its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

from ..errors import UsageError
from ..graph.anchors import A6, A9
from ..graph.layers import Net
from ..types import Input, Result
from ._heads import Classify, Detect, MultiBox, Output, Wh

PUBLIC_DOMAIN = "darknet's: public domain; the weights carry no notice of their own"
"""What can be said of the licence of weights that darknet's authors put beside their code."""

COARSE_FIRST = ((6, 7, 8), (3, 4, 5), (0, 1, 2))
FINE_FIRST = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
# The official weights were trained with 1,2,3 at stride 16; cfgs that say 0,1,2 lose a third of the AP50.
TINY = ((3, 4, 5), (1, 2, 3))
TWO_COARSE_FIRST = ((3, 4, 5), (0, 1, 2))
Build = Callable[[Net, Output], None]


@dataclass(frozen=True)
class PublishedRow:
    """A published row: what a model costs and does at one input size.

    `bflops` and `params_m` (millions) as printed; `count` says what the latter counts: "weights", those of
    convolutions alone, or "floats", everything a `.weights` file stores. `ap` is (AP, AP50, AP75) and `top1`
    ImageNet accuracy, in percent, None where nothing is printed; `data` the images of `ap`. `fps` is by device:
    "gpu" a GTX 1080 Ti, "cpu" a Core i9-9900K with OpenCV, "mgpu" a Jetson TX2, "xeon" a Xeon E5-2682 v4, "a76"
    four Cortex-A76 at 2.4 GHz with ncnn (Tencent/ncnn, benchmark/README: milliseconds of the network alone). `miss`
    says why a number is not met.
    """

    table: str
    size: int
    bflops: Optional[float] = None
    params_m: Optional[float] = None
    count: str = "weights"
    ap: Tuple[Optional[float], Optional[float], Optional[float]] = (None, None, None)
    top1: Optional[float] = None
    fps: Mapping[str, float] = field(default_factory=dict)
    miss: str = ""
    data: str = "COCO"


class Cost(NamedTuple):
    """BFLOPs of one image; convolution weights; every float that is stored."""

    bflops: float
    weights: int
    floats: int


@dataclass(frozen=True)
class PublicWeights:
    """Public weights: a darknet `.weights` file at an https `url`.

    Whichever digests are known are pinned; with none (`pinned` False) the first download is recorded and a
    later change refused. `size` is in bytes. `licence` is what the authors say of it.
    """

    url: str
    size: Optional[int] = None
    sha256: str = ""
    sha512: str = ""
    sha1: str = ""
    licence: str = "none stated"

    @property
    def digest(self) -> Tuple[str, str]:
        """The strongest pinned digest as (algorithm, hex), ("", "") when there is none."""
        for kind in ("sha512", "sha256", "sha1"):
            if getattr(self, kind):
                return kind, getattr(self, kind)
        return "", ""

    @property
    def is_pinned(self) -> bool:
        """Whether a digest is known beforehand."""
        return bool(self.digest[1])


@dataclass(frozen=True)
class Trained:
    """Weights trained by edgecsp: the `data` they learned from, their AP50 (0..1) `on` which images, and the `command`.

    The weights themselves are the entry's `shipped` ones or those at its `weights`' url.
    """

    data: str
    ap50: float
    on: str
    command: str

    @classmethod
    def of_packed(cls, record: Mapping[str, Any]) -> Trained:
        """Read it from the record in a packed file (`_packed`)."""
        test = record["test"]
        on = str(test.get("on") or f"{test['scenes']:,} unseen scenes")
        data = str(record.get("data") or f"synthetic scenes: {record['scenes']}")
        return cls(data, float(test["ap50"]), on, str(record.get("command", "see calib/README.md")))


@dataclass(frozen=True)
class Entry:
    """One model of the zoo: a record of facts and a `build(net, head)` that lays its layers.

    `size` is the default input side. `provenance` is "published" (layers from the authors' own cfg or code) or
    "reconstructed" (no cfg was ever published: layers chosen so that every related row's cost is met);
    `forced` names what the tables leave no choice about, `fitted` what they do. `anchors` is the whole list,
    `masks` which of them each head has. An SSD has `priors` in their place, the default boxes of each head at `size`.
    A detector of two stages has none but a `second`, which lays the graph that judges one of its `rois` proposals.
    None of these: a classifier. `least` is the smallest side that the layers take. `resize` is OpenCV's stretch, the
    way the paper's CPU column was timed and the cheapest there is; darknet's own is `run --resize darknet`. `labels`
    when they are not COCO's or ImageNet's; `start` names a model with weights of the same backbone, with which
    training begins; `shipped` are weights that come with the package
    (`_packed`), `trained` how weights were made that are edgecsp's own.
    """

    name: str
    title: str
    build: Build
    size: int
    rows: Tuple[PublishedRow, ...] = ()
    source: str = ""
    provenance: str = "published"
    forced: Tuple[str, ...] = ()
    fitted: Tuple[str, ...] = ()
    anchors: Tuple[Wh, ...] = ()
    masks: Tuple[Tuple[int, ...], ...] = ()
    scale_xy: Tuple[float, ...] = ()
    new_coords: bool = False
    priors: Tuple[Tuple[Wh, ...], ...] = ()
    second: Optional[Callable[[int], Net]] = None
    rois: int = 0
    start: str = ""
    conf: float = 0.25
    iou: float = 0.45
    nms_beta: float = 0.0
    resize: str = "stretch"
    scale: float = 1 / 255
    mean: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    weights: Optional[PublicWeights] = None
    labels: Tuple[str, ...] = ()
    bundled: Optional[Path] = None
    trained: Optional[Trained] = None
    stride: int = 32
    least: int = 0

    @property
    def task(self) -> str:
        """ "detect" or "classify"."""
        return self.result.task

    @property
    def result(self) -> Type[Result]:
        """The class of its results."""
        return self._end.result

    @property
    def _end(self) -> Type[Union[Classify, Detect, MultiBox]]:
        if self.priors:
            return MultiBox
        return Detect if self.anchors or self.second else Classify

    @property
    def classes(self) -> int:
        """Number of classes that it was published with: its own labels', COCO's 80 or ImageNet's 1000."""
        if self.labels:
            return len(self.labels)
        return self._end.published_classes

    @property
    def sizes(self) -> Tuple[int, ...]:
        """Input sides: the default, then the others that were published."""
        return (self.size, *sorted({row.size for row in self.rows} - {self.size}))

    def net(
        self,
        hw: Optional[Tuple[int, int]] = None,
        classes: Optional[int] = None,
        anchors: Optional[Sequence[Wh]] = None,
        masks: Optional[Sequence[Sequence[int]]] = None,
        scale_xy: Optional[Sequence[float]] = None,
    ) -> Net:
        """The layers over an input of `hw` (height, width), with their costs.

        `classes`, `anchors`, `masks` and `scale_xy` replace the published ones. Raises `UsageError`.
        """
        hw = hw or (self.size, self.size)
        if any(side < max(self.stride, self.least) or side % self.stride for side in hw):
            least = f" from {self.least} on" if self.least else ""
            sides = f"multiples of {self.stride}{least}"
            raise UsageError(f"{self.name} cannot take images of {hw[1]}x{hw[0]}: both sides must be {sides}")
        classes = self.classes if classes is None else classes
        if classes < 1:
            raise UsageError(f"{self.name} with {classes} classes: at least 1")
        net = Net(3, *hw)
        self.build(net, self._output(net, classes, anchors, masks, scale_xy))
        return net

    def _output(
        self,
        net: Net,
        classes: int,
        anchors: Optional[Sequence[Wh]],
        masks: Optional[Sequence[Sequence[int]]],
        scale_xy: Optional[Sequence[float]],
    ) -> Output:
        if not self.anchors and (anchors or masks):
            raise UsageError(f"{self.name} has no YOLO heads: anchors cannot be given")
        if self.priors:
            return MultiBox(net, classes, self.priors, self.size)
        if self._end is Classify:
            return Classify(net, classes)
        masks = self.masks if masks is None else masks
        anchors = self.anchors if anchors is None else anchors
        if len(masks) != len(self.masks):
            raise UsageError(f"{self.name} has {len(self.masks)} heads; {len(masks)} masks were given")
        return Detect(net, classes, anchors, masks, scale_xy or self.scale_xy, self.new_coords)

    def input(self, net: Net) -> Input:
        """The input of this model's `net`, and how an image becomes it."""
        return Input((net.input.h, net.input.w), self.resize, "rgb", self.scale, self.mean, self.std)

    def cost(self, hw: Optional[Tuple[int, int]] = None) -> Cost:
        """Cost of the published model at `hw`, by the paper's rules, all its proposals judged."""
        first = self.net(hw)
        bflops, weights, floats = first.bflops, first.weights, first.floats
        if self.second is not None:
            judge = self.second(self.classes)
            # ThunderNet's tables count the multiplications and additions of convolutions alone.
            pools = sum(layer.flops for layer in first.layers if layer.op == "maxpool") / 1e9
            bflops += self.rois * judge.bflops - pools
            weights, floats = weights + judge.weights, floats + judge.floats
        return Cost(bflops, weights, floats)

    def origin(self) -> Dict[str, str]:
        """Origin that an exported model states."""
        return {"zoo": self.name, "provenance": self.provenance}


def reconstructed(name: str, title: str, build: Build, *rows: PublishedRow, levels: int = 0, **facts: Any) -> Entry:
    """The record of a model whose layers were never published, at the size of its last row.

    `levels` says how many YOLO heads it has, 2 or 3; without any it is a classifier, which sees the middle of images.
    """
    heads: Dict[int, Dict[str, Any]] = {
        0: {"resize": "crop"},
        2: {"anchors": A6, "masks": TINY},
        3: {"anchors": A9, "masks": COARSE_FIRST},
    }
    return Entry(name, title, build, rows[-1].size, rows, provenance="reconstructed", **heads[levels], **facts)
