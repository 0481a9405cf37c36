"""`last.pt` and `best.pt`: whole or not there, and never what is not a number."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, Mapping

import torch

from ..cache import files
from ..errors import BadWeights


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Save a dictionary of tensors and plain values. Raises `OutputError`; what was there before stays then."""
    # Into memory first: torch's zip writer turns a full disk into an error of its own.
    whole = io.BytesIO()
    torch.save(dict(state), whole)
    with files.atomic(path) as file:
        file.write(whole.getbuffer())


def read(path: Path, device: str = "cpu") -> Dict[str, Any]:
    """A dictionary that `write` saved. Raises `BadWeights` when it is damaged."""
    try:
        state: Dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch, zipfile and pickle each have errors of their own
        raise BadWeights(f"{path} is damaged: {' '.join(str(error).split())[:160]}") from error
    return state
