"""The child process of test_fuzz_import: mutates, imports, and stops at the first thing that is no clear error.

    python fuzz_import.py SEED CASES FOLDER

Every case's files lie in FOLDER while it runs, so a crash or a hang leaves its evidence. Memory is bounded by the
operating system, time by faulthandler; both end this process, which is what the parent looks for. The last line
printed is a count of outcomes as JSON.
"""

from __future__ import annotations

import collections
import faulthandler
import json
import random
import re
import resource
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import onnx
import onnxruntime

from edgecsp import importers
from edgecsp.errors import BadModel, EdgecspError
from edgecsp.importers import darknet
from edgecsp.importers.darknet.cfg import read
from edgecsp.importers.darknet.layers import build
from edgecsp.processing import decode
from edgecsp.processing.heads.scores import Scores
from edgecsp.types import Model
from support import oracle
from support.tiny import TINY_CFG

SECONDS = 10
GIGABYTES = 3

CLASSIFIER_CFG = """\
[net]
height=24
width=20
channels=3
[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
groups=3
activation=relu6
[maxpool]
maxpool_depth=1
out_channels=3
[convolutional]
filters=3
size=1
activation=logistic
[sam]
from=-2
[local_avgpool]
size=3
stride=2
[route]
layers=-1
[avgpool]
[convolutional]
filters=3
activation=logistic
[scale_channels]
from=4
activation=swish
[dropout]
probability=.5
[convolutional]
filters=5
size=1
dilation=2
activation=linear
[avgpool]
[softmax]
groups=1
"""

OLDER_CFG = """\
[net]
height=28
width=36
channels=3
[crop]
crop_height=24
crop_width=32
[convolutional]
filters=8
size=3
pad=1
activation=leaky
[batchnorm]
[convolutional]
filters=8
size=3
pad=1
stride=2
activation=linear
[shortcut]
from=1
activation=leaky
[reorg]
stride=2
[reorg3d]
stride=2
[convolutional]
filters=4
size=3
pad=1
activation=linear
[convolutional]
filters=4
size=3
pad=1
activation=linear
[convolutional]
filters=4
size=3
pad=1
share_index=-1
activation=leaky
[convolutional]
filters=14
activation=linear
[region]
classes=2
num=2
anchors=1.5,2, 3,1
softmax=1
[route]
layers=-3
[connected]
output=8
batch_normalize=1
activation=leaky
[softmax]
groups=2
temperature=3
[convolutional]
filters=11
activation=linear
[gaussian_yolo]
classes=2
num=1
anchors=10,20
"""

NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "-2147483648",
    "2147483647",
    "2147483648",
    "99999999999999999999",
    "1e309",
    "-1e309",
    "nan",
    "inf",
    "1.5",
    ".5",
    "0x10",
    "1e3",
    "abc",
    "16384",
    "16385",
    "65536",
    "1000000",
    "-16",
    "255",
    "0,0",
    "1,",
    ",",
    "1,2,3",
    "-1,-1",
    "1,-1,2",
    "٣",
    "1_0",
    "+1",
    "--1",
    "-",
    "#",
]
LINES = [
    *[
        "[net]",
        "[yolo]",
        "[convolutional]",
        "[maxpool]",
        "[route]",
        "[shortcut]",
        "[upsample]",
        "[avgpool]",
        "[]",
        "[",
        "[[net]]",
        "[softmax]",
        "[region]",
        "[reorg]",
        "[reorg3d]",
        "[crop]",
        "[connected]",
        "[batchnorm]",
        "[gaussian_yolo]",
    ],
    *[
        "=",
        "=1",
        "filters=",
        "size",
        "stride=0",
        "layers=-1",
        "from=-1",
        "groups=2",
        "groups=0",
        "mask=9",
        "classes=0",
        "anchors=1",
        "num=-1",
    ],
    *[
        "filters=100000000",
        "size=16384",
        "padding=32768",
        "stride=16384",
        "dilation=16384",
        "width=16384",
        "classes=2147483647",
    ],
    *[
        "antialiasing=1",
        "share_index=1",
        "crop_height=16384",
        "output=100000000",
        "temperature=0",
        "softmax=1",
        "activation=elu",
        "activation=mish",
        "pad=1",
        "batch_normalize=1",
        "new_coords=1",
    ],
    "layers=" + ",".join(["-1"] * 3000),
    "from=" + ",".join(["-1"] * 3000),
    "anchors=" + "1," * 20000,
    "mask=" + ",".join(["0"] * 5000),
    "\x00",
    "\ufeff",
    "x" * 5000,
]


def mutate_cfg(rng: random.Random, text: str) -> bytes:
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        lines = lines or [""]
        at = rng.randrange(len(lines))
        kind = rng.randrange(9)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif kind in (2, 3, 4):
            numbered = [i for i, line in enumerate(lines) if re.search(r"\d", line)] or [at]
            at = rng.choice(numbered)
            new = rng.choice(NUMBERS) if rng.random() < 0.9 else rng.choice("19") * 10 ** rng.randrange(1, 6)
            spots = [spot.span() for spot in re.finditer(r"-?\d+", lines[at])] or [(0, 0)]
            first, end = rng.choice(spots)
            lines[at] = lines[at][:first] + new + lines[at][end:]
        elif kind == 5:
            lines.insert(at, rng.choice(LINES))
        elif kind == 6:
            sections = re.split(r"(?m)^(?=\[)", "\n".join(lines))
            i, j = rng.randrange(len(sections)), rng.randrange(len(sections))
            sections[i], sections[j] = sections[j], sections[i]
            lines = "".join(part if part.endswith("\n") else part + "\n" for part in sections).split("\n")
        elif kind == 7:
            lines = lines[: rng.randrange(len(lines)) + 1]
        else:
            sections = re.split(r"(?m)^(?=\[)", "\n".join(lines))
            lines += rng.choice(sections).split("\n") * rng.choice((1, 2, 300))
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if data and rng.random() < 0.2:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def mutate_weights(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    kind = rng.randrange(6)
    if kind == 0:
        del out[rng.randrange(len(out)) :]
    elif kind == 1:
        out += bytes(rng.randrange(1, 5000))
    elif kind == 2:
        out[rng.randrange(20)] = rng.randrange(256)
    elif kind == 3:
        value = rng.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1.0))
        at = 20 + 4 * rng.randrange((len(out) - 20) // 4)
        out[at : at + 4] = np.float32(value).tobytes()
    elif kind == 4:
        for _ in range(rng.randrange(1, 20)):
            out[rng.randrange(len(out))] = rng.randrange(256)
    else:
        at = rng.randrange(len(out))
        del out[at : at + rng.randrange(1, 100)]
    return bytes(out)


def fitting(rng: random.Random, cfg: Path, data: bytes) -> bytes:
    """Weights of the right length for a cfg, when it builds and is small; else the ones given."""
    try:
        floats = build(read(cfg))[0].net.floats
    except EdgecspError:
        return data
    if floats > 2_000_000:
        return data
    values = np.abs(np.random.default_rng(rng.randrange(99)).standard_normal(floats)) * 0.3
    return data[:20] + values.astype("<f4").tobytes()


def judge(model: Model, flops: float) -> str:
    proto = onnx.load_model_from_string(model.onnx)
    onnx.checker.check_model(proto, full_check=True)
    assert importers.parse(model.onnx) == model
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
    if flops > 3e8 or max(model.input.hw) > 1024:
        return "built"
    batch = np.zeros((1, model.input.channels, *model.input.hw), np.float32)
    outputs = session.run(None, {"images": batch})
    for head, out, declared in zip(model.heads, outputs, proto.graph.output):
        assert list(out.shape) == [d.dim_value for d in declared.type.tensor_type.shape.dim]
        assert out.shape[1] == head.shape[1]
    try:
        if isinstance(model.heads[0], Scores):
            model.heads[0].classify(model, outputs)
        else:
            decode.boxes(model.heads, outputs, model.input.hw, 0.25)
    except BadModel:
        assert not all(np.isfinite(out).all() for out in outputs)
        return "ran to NaN"
    return "ran"


def main(seed: int, cases: int, folder: Path) -> None:
    # On Linux the limit is on addresses, not pages: what libraries reserve counts as well.
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
    bases: List[Tuple[str, bytes]] = []
    for text, (h, w) in ((TINY_CFG, (64, 64)), (CLASSIFIER_CFG, (24, 20)), (OLDER_CFG, (28, 36))):
        recorder = oracle.Recorder(seed)
        oracle.darknet(text, np.zeros((3, h, w)), recorder)
        bases.append((text, recorder.data))
    cfg, weights, out = folder / "case.cfg", folder / "case.weights", folder / "case.onnx"
    counts: Dict[str, int] = collections.Counter()
    for number in range(cases):
        rng = random.Random(f"{seed}/{number}")
        text, data = rng.choice(bases)
        which = rng.random()
        cfg.write_bytes(mutate_cfg(rng, text) if which < 0.8 else text.encode())
        if which < 0.5:
            data = fitting(rng, cfg, data)
        weights.write_bytes(mutate_weights(rng, data) if which > 0.7 else data)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            imported = darknet.load(cfg, weights)
            outcome = judge(imported.model, imported.net.bflops * 1e9)
            damaged = bytearray(imported.model.onnx)
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            out.write_bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.3 else damaged)
            try:
                importers.load(out)
                counts["damaged onnx read"] += 1
            except EdgecspError:
                counts["damaged onnx refused"] += 1
        except EdgecspError as error:
            assert str(error) and "\n" not in str(error) and len(str(error)) < 2000, error
            outcome = type(error).__name__
        except BaseException:
            print(f"case {seed}/{number} of {folder}", file=sys.stderr)
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        counts[outcome] += 1
    print(json.dumps({"outcomes": counts, "peak_mb": peak_mb()}))


def peak_mb() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count what the parent held when it forked us
        return int(status.read_text().split("VmHWM:")[1].split()[0]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
