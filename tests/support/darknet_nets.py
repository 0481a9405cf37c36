"""Random networks of darknet's layers, drawn by hypothesis, with the heads that the slow oracle computes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import onnxruntime
from hypothesis import strategies as st

from edgecsp.importers import darknet
from edgecsp.types import Model
from support import oracle

ACTIVATIONS = ("linear", "leaky", "relu", "relu6", "mish", "swish", "silu", "logistic", "tanh", "ramp")


@dataclass
class Case:
    cfg: str
    weights: bytes
    batch: np.ndarray
    heads: List[np.ndarray]
    kinds: Tuple[str, ...]

    def load(self, hw: Optional[Tuple[int, int]] = None) -> darknet.DarknetImport:
        with tempfile.TemporaryDirectory() as folder:
            cfg, weights = Path(folder, "net.cfg"), Path(folder, "net.weights")
            cfg.write_text(self.cfg)
            weights.write_bytes(self.weights)
            return darknet.load(cfg, weights, hw=hw)


class Draw:
    """Sections drawn one by one on a running oracle, so that every choice knows the shapes before it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        h, w = draw(st.integers(5, 18), label="height"), draw(st.integers(5, 18), label="width")
        channels = draw(st.sampled_from([3, 3, 3, 1]))
        seed = draw(st.integers(0, 2**16))
        self.recorder = oracle.Recorder(seed)
        self.image = np.random.default_rng(seed).random((channels, h, w), np.float32)
        self.net = oracle.Darknet(self.image, self.recorder)
        self.text = [f"[net]\nheight={h}\nwidth={w}\nchannels={channels}\n"]
        self.kinds: List[str] = []
        self.yolos: List[int] = []
        self.classes = 0

    def add(self, kind: str, **options: object) -> None:
        values: Dict[str, str] = {key: str(value) for key, value in options.items()}
        self.text.append(f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in values.items()))
        self.kinds.append(kind)
        self.net.step(kind, values)

    @property
    def shape(self) -> Tuple[int, int, int]:
        return self.net.x.shape

    def one_of(self, *values: object) -> Any:
        return self.draw(st.sampled_from(values))

    def name(self, index: int) -> int:
        """A layer's index, absolute or relative."""
        return index if self.draw(st.booleans()) else index - len(self.net.outputs)

    def earlier(self, like: Tuple[int, ...] = (), of: slice = slice(None)) -> List[int]:
        """Layers that may be read, whose shape[of] is `like`."""
        shapes = [y.shape for y in self.net.outputs]
        return [i for i, s in enumerate(shapes) if i not in self.yolos and (not like or s[of] == like)]

    # -- one method a section; each returns False when it does not fit here ---------------------------------

    def convolutional(self) -> None:
        c, h, w = self.shape
        options = {"filters": self.draw(st.integers(1, 8)), "activation": self.one_of(*ACTIVATIONS)}
        groups = self.draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
        if groups > 1:
            options.update(groups=groups, filters=groups * self.draw(st.integers(1, 2)))
        size = self.draw(st.sampled_from([k for k in (1, 2, 3, 3, 5) if k <= min(h, w)]))
        options["size"] = size
        how = self.one_of("pad", "padding", "neither")
        if how == "pad":
            options["pad"] = 1
        elif how == "padding":
            options["padding"] = self.draw(st.integers(0, size))
        if self.draw(st.booleans()):
            options["batch_normalize"] = 1
        if how == "pad" and size == 3 and self.draw(st.booleans()):
            options["dilation"] = self.draw(st.integers(2, 3))
        elif self.draw(st.booleans()):
            options["stride"] = self.draw(st.integers(1, 3))
            if self.draw(st.booleans()):
                options[str(self.one_of("stride_x", "stride_y"))] = self.draw(st.integers(1, 3))
        if options["activation"] == "logistic" and self.draw(st.booleans()):
            del options["activation"]  # darknet's default
        self.add("convolutional", **options)

    def _pool(self, kind: str) -> bool:
        _, h, w = self.shape
        size = self.draw(st.integers(1, min(h, w, 5)))
        options: Dict[str, object] = {"size": size, "stride": self.draw(st.integers(1, 3))}
        if self.draw(st.booleans()):
            options["stride_y"] = self.draw(st.integers(1, 2))
        if self.draw(st.booleans()):
            # Up to size - 1 a side: more would pool padding alone, which darknet leaves undefined.
            options["padding"] = self.draw(st.integers(0, 2 * size - 2))
        if options["stride"] == size and self.draw(st.booleans()):
            del options["size"]
        self.add(kind, **options)
        return True

    def maxpool(self) -> bool:
        return self._pool("maxpool")

    def local_avgpool(self) -> bool:
        return self._pool("local_avgpool")

    def maxpool_depth(self) -> None:
        c = self.shape[0]
        self.add("maxpool", maxpool_depth=1, out_channels=self.one_of(*[n for n in range(1, c + 1) if c % n == 0]))

    def route(self) -> bool:
        if not self.earlier():
            return False
        first = self.one_of(*self.earlier())
        fits = self.earlier(self.net.outputs[first].shape[1:], slice(1, None))
        chosen = [first, *self.draw(st.lists(st.sampled_from(fits), max_size=3))]
        options: Dict[str, object] = {"layers": ",".join(str(self.name(i)) for i in chosen)}
        width = int(np.gcd.reduce([len(self.net.outputs[i]) for i in chosen]))
        groups = self.one_of(*[g for g in range(1, width + 1) if width % g == 0])
        if groups != 1:
            options.update(groups=groups, group_id=self.draw(st.integers(0, groups - 1)))
        self.add("route", **options)
        return True

    def shortcut(self) -> bool:
        fits = self.earlier(self.shape[1:], slice(1, None)) if self.net.outputs else []
        if not fits or len(self.net.outputs) - 1 in self.yolos:
            return False
        chosen = self.draw(st.lists(st.sampled_from(fits), min_size=1, max_size=2))
        self.add(
            "shortcut", **{"from": ",".join(str(self.name(i)) for i in chosen)}, activation=self.one_of(*ACTIVATIONS)
        )
        return True

    def sampled_shortcut(self) -> bool:
        """A residual block with a stride: the shortcut reads a map of twice the size."""
        if min(self.shape[1:]) < 2:
            return False
        self.add("route", layers=self.one_of(*self.earlier())) if self.earlier() else None
        if not self.net.outputs or min(self.shape[1:]) < 2:
            return False
        large = len(self.net.outputs) - 1
        filters = self.draw(st.integers(1, 8))
        self.add("convolutional", filters=filters, size=3, pad=1, stride=2, activation="leaky")
        (_, h1, w1), (_, h2, w2) = self.net.outputs[large].shape, self.shape
        if w1 // w2 != h1 // h2:
            return False
        self.add("shortcut", **{"from": self.name(large)}, activation=self.one_of("linear", "relu"))
        return True

    def shared(self) -> bool:
        """Two convolutions of the same weights, the second dilated (a trident)."""
        filters, bn = self.draw(st.integers(1, 6)), self.draw(st.integers(0, 1))
        options = {"filters": filters, "size": 3, "pad": 1, "batch_normalize": bn}
        self.add("convolutional", filters=filters, activation="linear")
        self.add("convolutional", **options, activation=self.one_of(*ACTIVATIONS))
        first = len(self.net.outputs) - 1
        more = {"dilation": 2} if self.draw(st.booleans()) else {}
        self.add("convolutional", **options, **more, share_index=self.name(first), activation="leaky")
        return True

    def connected(self) -> bool:
        if int(np.prod(self.shape)) > 600:
            return False
        more = {"batch_normalize": 1} if self.draw(st.booleans()) else {}
        self.add("connected", output=self.draw(st.integers(1, 8)), activation=self.one_of(*ACTIVATIONS), **more)
        return True

    def batchnorm(self) -> None:
        self.add("batchnorm")

    def crop(self) -> bool:
        _, h, w = self.shape
        more = {"noadjust": 1} if self.draw(st.booleans()) else {}
        self.add("crop", crop_height=self.draw(st.integers(1, h)), crop_width=self.draw(st.integers(1, w)), **more)
        return True

    def reorg(self) -> bool:
        """Either kind of reorg, of a map that the stride divides."""
        kind, stride = self.one_of("reorg", "reorg3d"), self.one_of(1, 2, 2, 3)
        _, h, w = self.shape
        if min(h, w) < stride:
            return False
        if h % stride or w % stride:
            self.add("crop", crop_height=h // stride * stride, crop_width=w // stride * stride, noadjust=1)
        if kind == "reorg":
            self.add("convolutional", filters=stride * stride * self.one_of(1, 2), activation="leaky")
        self.add(kind, stride=stride)
        return True

    def softmax(self) -> None:
        self.add("avgpool")
        groups = self.one_of(*[g for g in range(1, self.shape[0] + 1) if self.shape[0] % g == 0])
        self.add("softmax", groups=groups, **self.one_of({}, {"temperature": "2"}))

    def upsample(self) -> bool:
        factor = self.draw(st.integers(1, 3))
        if max(self.shape[1:]) * factor > 24:
            return False
        options: Dict[str, object] = {"stride": factor}
        if self.draw(st.booleans()):
            options["scale"] = self.one_of("0.5", "2", "-1.25")
        self.add("upsample", **options)
        return True

    def squeeze(self) -> bool:
        """Squeeze and excitation: avgpool, a gate, [scale_channels]."""
        if not self.earlier():
            return False
        x = self.one_of(*self.earlier())
        self.add("route", layers=x)
        self.add("avgpool")
        self.add("convolutional", filters=len(self.net.outputs[x]), activation="logistic")
        self.add("scale_channels", **{"from": self.name(x)}, activation=self.one_of("linear", "leaky"))
        return True

    def sam(self) -> bool:
        fits = self.earlier(self.shape)
        if not fits:
            return False
        self.add("sam", **{"from": self.name(int(self.one_of(*fits)))}, activation=self.one_of("linear", "relu"))
        return True

    def dropout(self) -> None:
        self.add("dropout", probability=".5")

    def yolo(self) -> None:
        anchors, classes = self.draw(st.integers(1, 2)), self.draw(st.integers(1, 3))
        classes = self.classes or classes
        self.classes = classes
        kind = self.one_of("yolo", "yolo", "region", "gaussian_yolo")
        more = {"softmax": 1} if kind == "region" else {}
        chosen = {} if kind == "region" else {"mask": ",".join(map(str, range(anchors)))}
        fields = 9 if kind == "gaussian_yolo" else 5
        self.add("convolutional", filters=anchors * (fields + classes), activation="linear")
        num = 2 if chosen else anchors
        self.add(kind, anchors="4,5,6,7", num=num, **chosen, classes=classes, **more)
        self.yolos.append(len(self.net.outputs) - 1)


STEPS = [
    "convolutional",
    "convolutional",
    "convolutional",
    "maxpool",
    "local_avgpool",
    "maxpool_depth",
    "route",
    "route",
    "shortcut",
    "upsample",
    "squeeze",
    "sam",
    "dropout",
    "sampled_shortcut",
    "shared",
    "connected",
    "batchnorm",
    "crop",
    "reorg",
    "reorg",
    "softmax",
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    drawing = Draw(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=9)):
        getattr(drawing, step)()
    drawing.yolo()
    if draw(st.booleans()):
        drawing.add("route", layers=drawing.one_of(*drawing.earlier()))
        getattr(drawing, draw(st.sampled_from(STEPS)))()
        drawing.yolo()
    elif draw(st.integers(0, 5)) == 0:
        # A classifier: no [yolo], the last map is 1x1.
        drawing.text, drawing.kinds = drawing.text[:-1], drawing.kinds[:-1]
        drawing.net.outputs.pop()
        drawing.net.heads.clear()
        drawing.yolos.clear()
        drawing.add("avgpool")
    heads = drawing.net.heads or [drawing.net.x]
    if not drawing.net.heads:
        drawing.add("softmax")  # left to the head
    return Case("\n".join(drawing.text), drawing.recorder.data, drawing.image[None], heads, tuple(drawing.kinds))


def run(model: Model, batch: np.ndarray) -> List[np.ndarray]:
    session = onnxruntime.InferenceSession(model.onnx, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": batch})


def assert_close(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    assert got.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(got - expected).max() <= tolerance * scale
