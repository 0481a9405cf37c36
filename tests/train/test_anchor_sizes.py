"""Anchors against the sizes that they are made from."""

from __future__ import annotations

import numpy as np

from edgecsp.train import anchors


def test_anchors_find_the_sizes_that_are_there() -> None:
    sizes = np.array([(10, 12), (30, 20), (60, 60), (40, 160), (160, 40), (250, 240)], float)
    rng = np.random.default_rng(3)
    boxes = sizes.repeat(300, 0) * rng.uniform(0.92, 1.08, (1800, 2))
    found = np.array(anchors.kmeans(boxes))
    assert anchors.shape_iou(sizes, found).max(1).min() > 0.85
    assert (np.diff(found.prod(1)) >= 0).all()
