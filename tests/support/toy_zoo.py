"""One more model in the zoo, `toy`, small enough to be pulled a hundred times; its weights come from a test's server.

python toy_zoo.py URL [KIND=DIGEST] -- WORDS     is edgecsp WORDS with that model in its zoo
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Mapping, Optional

import numpy as np
import pytest

from edgecsp import zoo
from edgecsp.graph.layers import Net
from edgecsp.zoo import Entry, PublicWeights


def build(net: Net, head: Any) -> None:
    x = net.conv(net.input, 8, 3, stride=2)
    for _ in range(4):
        x = net.conv(x, 32, 3, stride=2)
    head(x)


TOY = Entry("toy", "Toy", build, 64, anchors=((8, 10), (20, 30)), masks=((0, 1),))
REAL = zoo._entries


def entries(weights: Optional[PublicWeights]) -> Mapping[str, Entry]:
    return {**REAL(), "toy": replace(TOY, weights=weights)}


def add(patch: pytest.MonkeyPatch, weights: Optional[PublicWeights] = None) -> None:
    """Have the zoo know the toy as well."""
    patch.setattr(zoo, "_entries", lambda: entries(weights))


def weights_file(classes: int = 80, seed: int = 0) -> bytes:
    """A `.weights` file of the toy: version 0.2.5, all values between 0.1 and 0.2."""
    floats = 0.1 + 0.1 * np.random.default_rng(seed).random(TOY.net(classes=classes).floats, np.float32)
    return np.array([0, 2, 5, 0, 0], "<i4").tobytes() + floats.astype("<f4").tobytes()


def command(weights: PublicWeights, *words: object) -> Any:
    """The command line that knows the toy."""
    digest = ["=".join(weights.digest)] if weights.is_pinned else []
    return [sys.executable, __file__, weights.url, *digest, "--", *map(str, words)]


def main() -> None:
    from edgecsp import cli

    split = sys.argv.index("--")
    digest = dict(word.split("=") for word in sys.argv[2:split])
    toy_entries = entries(PublicWeights(sys.argv[1], licence="a toy's", **digest))  # type: ignore[arg-type]
    zoo._entries = lambda: toy_entries  # type: ignore[assignment]
    del sys.argv[1 : split + 1]
    cli.main()


if __name__ == "__main__":
    main()
