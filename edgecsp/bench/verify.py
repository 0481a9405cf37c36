"""Compare engines and precisions with fp32 on onnxruntime: error of the heads, matching boxes, speed.

for result in verify.measure_rows(model, images.synthetic_images(), others=[int8_model]):
    print(verify.result_to_dict(result))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

import numpy as np

from .. import backends, pipeline
from ..errors import BuildFailed, EngineUnavailable, UsageError
from ..graph import precision
from ..types import Array, Geometry, Model, Result
from . import stats
from .cases import Case
from .comparison import Comparison
from .process import WorkerSession, open_isolated
from .results import CaseResult

WARM = 2
FLOATS = {"accepts_uint8": False}  # the reference's input is given to all


@dataclass
class _Reference:
    """A prepared image and the reference's outputs for it."""

    batch: Array
    geometry: Geometry
    heads: List[Array]
    result: Result


def measure_rows(
    model: Model,
    images: Sequence[Array],
    *,
    others: Sequence[Model] = (),
    engines: Optional[Sequence[str]] = None,
    threads: Optional[int] = None,
) -> Iterator[CaseResult]:
    """Yield a result per engine, device and precision, the reference first. `images` are (H, W, 3) uint8 BGR.

    `others` are the same network in other precisions (`edgecsp quantize` makes int8). `engines`: None for all.
    Raises `UsageError` when `model` is not fp32 or another has other heads.
    """
    own = precision.detect_precision(model)
    if own != "fp32":
        raise UsageError(
            f"{model.name} is a graph in {own}, and the measure is fp32; type: edgecsp verify FP32.onnx THIS.onnx"
        )
    for other in others:
        if other.heads != model.heads or other.input.hw != model.input.hw:
            raise UsageError(f"{other.name} has other heads or another input size than {model.name}")
    for name in engines or ():
        backends.info(name)
    with pipeline.load(
        model, backends.REFERENCE, device="cpu", threads=threads, precision="fp32", accepts_uint8=False
    ) as reference:
        references = [_reference(reference, image) for image in images]
    for case in _list_cases(model, others, engines, threads):
        result = CaseResult(case, failure=backends.unavailable_reason(case.engine, case.device))
        if not result.failure:
            try:
                with open_isolated(case) as detector:
                    _measure(result, detector, references)
            except (BuildFailed, EngineUnavailable) as error:
                result.failure = " ".join(str(error).split())
        yield result


def result_to_dict(result: CaseResult) -> Dict[str, Any]:
    """Convert a result to plain values; if there is a reason `why` it was not compared, the figures are 0.

    `largest` and `mean` are the errors of the heads, `ms` is the median time of inference.
    """
    case, compared = result.case, result.comparison or Comparison()
    return {
        "engine": case.engine, "device": case.device, "precision": case.precision, "model": case.model.name,
        "why": result.failure or "", "largest": compared.largest, "mean": compared.mean, "boxes": compared.boxes,
        "strict": compared.strict, "loose": compared.loose,
        "ms": stats.median(result.timing.ms) if result.timing.rounds else 0.0,
    }  # fmt: skip


def _list_cases(
    model: Model, others: Sequence[Model], engines: Optional[Sequence[str]], threads: Optional[int]
) -> List[Case]:
    """List the cases by precision; onnxruntime on the CPU in fp32 first."""
    graphs = [(precision.detect_precision(other), other) for other in others]
    cases: List[Case] = []
    for name in engines or list(backends.names(with_dummies=False)):
        info = backends.info(name)
        for device in info.devices:
            rounded = ((each, model) for each in backends.PRECISIONS if each != "int8")  # int8 needs ranges
            for each, graph in (*rounded, *graphs):
                if each in info.precisions_on(device):
                    cases.append(Case(graph, name, device, each, threads, options=FLOATS))
    return sorted(
        cases, key=lambda case: (backends.PRECISIONS.index(case.precision), case.engine != backends.REFERENCE)
    )


def _reference(detector: pipeline.Detector, image: Array) -> _Reference:
    batch, geometry = detector.prepare(image)
    heads = detector.infer(batch)
    return _Reference(batch, geometry, heads, detector.finish(heads, geometry))


def _measure(result: CaseResult, detector: pipeline.Detector, references: Sequence[_Reference]) -> None:
    for _ in range(WARM):
        detector.infer(references[0].batch)
    result.comparison = Comparison()
    for reference in references:
        heads = detector.infer(reference.batch)
        result.comparison.add_heads(reference.heads, heads)
        result.comparison.add_boxes(reference.result, detector.finish(heads, reference.geometry))
    assert isinstance(detector.session, WorkerSession)
    result.timing.rounds.append(detector.session.ms[WARM:])


def compare_plan(model: Model, detector: pipeline.Detector, images: Iterable[Array], batch: int) -> Comparison:
    """Compare a detector with onnxruntime; `batch` is the batch size of its graph. Boxes of bad heads do not count."""
    compared = Comparison()
    with pipeline.Detector(model, backends.open(model, backends.REFERENCE)) as reference:
        for image in images:
            single, geometry = reference.prepare(image)
            prepared = np.repeat(single, batch, axis=0)
            expected, actual = reference.infer(prepared), detector.infer(prepared)
            compared.add_heads(expected, actual)
            if np.isfinite(compared.largest):
                firsts = ([out[:1] for out in heads] for heads in (expected, actual))
                compared.add_boxes(*(reference.finish(first, geometry) for first in firsts))
    return compared
