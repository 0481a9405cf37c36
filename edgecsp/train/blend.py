"""Mixtures of a fine-tuned network's weights with those that it began with.

Between the two lie networks that keep what the first ones knew and have what was learned: WiSE-FT (Wortsman et al.,
2022). Both must be of one origin and know the same classes, or what lies between is neither.
"""

from __future__ import annotations

import copy
from typing import Mapping

from torch import Tensor

from .network import Network

SHARES = (0.3, 0.5, 0.7)  # of the initial weights


def mix(like: Network, initial: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> Network:
    """Return a network as `like` with `share` of the initial weights and the rest of the trained ones."""
    network = copy.deepcopy(like)
    network.load_state_dict(
        {
            name: value if not value.is_floating_point() else share * initial[name].to(value) + (1 - share) * value
            for name, value in trained.items()
        }
    )
    return network
