"""Any network of darknet's layers: import + onnxruntime gives what the slow interpreter gives."""

from __future__ import annotations

import onnx
from hypothesis import given

from edgecsp.importers.darknet.layers import _STEPS
from support.darknet_nets import Case, assert_close, cases, run
from support.effort import examples


@examples(150)
@given(cases())
def test_import_equals_the_slow_interpreter(case: Case) -> None:
    imported = case.load()
    proto = onnx.load_model_from_string(imported.model.onnx)
    onnx.checker.check_model(proto, full_check=True)
    assert [o.version for o in proto.opset_import] == [13]
    assert imported.net.floats * 4 + 20 == len(case.weights)
    outputs = run(imported.model, case.batch)
    assert len(outputs) == len(case.heads)
    for got, wanted in zip(outputs, case.heads):
        assert_close(got[0], wanted)


def test_the_cases_reach_every_section() -> None:
    seen = set()

    @examples(150)
    @given(cases())
    def look(case: Case) -> None:
        seen.update(case.kinds)

    look()
    assert seen >= set(_STEPS) - {"cost", "empty"}
