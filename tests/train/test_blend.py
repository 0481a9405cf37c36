"""Mixtures of fine-tuned weights with the initial ones: the better is kept, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra train)")

from edgecsp.train import TrainSettings, keeper  # noqa: E402
from edgecsp.train.blend import SHARES, mix  # noqa: E402
from edgecsp.train.run import train  # noqa: E402
from support.shapes import draw_shapes  # noqa: E402

MODEL = "cspdensenetb-ref-prn"
QUICK = TrainSettings(epochs=1, batch=4, imgsz=96, warmup=1, lr=1e-4)


def test_a_mixture_lies_between() -> None:
    network: Any = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    first = {name: value.clone() for name, value in network.state_dict().items()}
    last = {name: value + 1 if value.is_floating_point() else value for name, value in first.items()}
    for share in (0.0, 0.25, 1.0):
        mixed = mix(network, first, last, share).state_dict()
        for name, value in mixed.items():
            torch.testing.assert_close(value, last[name] - share if value.is_floating_point() else first[name])
    assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items()), "not in place"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("shapes"), 8)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Any:
    return train(MODEL, data, settings=QUICK, weights="none", out=tmp_path_factory.mktemp("runs") / "a", workers=0)


def rows(folder: Path) -> List[Dict[str, Any]]:
    return [row for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "blend" in row]


def test_new_heads_are_not_mixed(first: Any) -> None:
    assert rows(first.folder) == [] and not (first.folder / "first.pt").exists()


@pytest.mark.parametrize(("scores", "kept"), [((0.5, 0.9, 0.7), SHARES[1]), ((0.1, 0.2, 0.2), None)])
def test_the_best_is_kept(
    scores: Any, kept: Any, tmp_path: Path, data: Path, first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation's own AP, replaced: 0.3 for what was trained, then one for each share."""
    answers = iter((0.3, *scores))
    measured: List[Any] = []

    def validate(network: Any, *rest: Any) -> Any:
        score = real(network, *rest)
        measured.append({name: value.clone() for name, value in network.state_dict().items()})
        score.averages["AP"] = next(answers)
        return score

    real = keeper.validate
    monkeypatch.setattr(keeper, "validate", validate)
    run = train(MODEL, data, settings=QUICK, weights=str(first.folder), out=tmp_path / "b", workers=0)
    assert [row["blend"] for row in rows(run.folder)] == list(SHARES)
    assert [row["AP"] for row in rows(run.folder)] == list(scores)
    best = torch.load(run.folder / "best.pt", weights_only=True)
    expected = measured[0 if kept is None else 1 + SHARES.index(kept)]
    assert all(torch.equal(best["average"][name], value) for name, value in expected.items())
    assert run.ap == (0.3 if kept is None else 0.9) and json.loads(best["best"]).get("blend") == kept
    (run.folder / "best.onnx").unlink()  # as if the end had been killed: nothing is mixed a second time
    again = train(MODEL, data, settings=QUICK, weights=str(first.folder), resume=run.folder, workers=0)
    assert len(rows(run.folder)) == len(SHARES) and again.ap == run.ap
    state = torch.load(run.folder / "best.pt", weights_only=True)["average"]
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    text = (run.folder / "best.onnx").read_bytes()
    assert (b"mixed with 50% of the initial weights" in text) == (kept is not None)


def test_it_can_be_refused(tmp_path: Path, data: Path, first: Any) -> None:
    settings = TrainSettings(**{**QUICK.__dict__, "blend": False})
    run = train(MODEL, data, settings=settings, weights=str(first.folder), out=tmp_path / "c", workers=0)
    assert rows(run.folder) == []
