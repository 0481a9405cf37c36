"""Heads behind an NMS have as many rows as there are boxes: they are compared where that number agrees."""

from __future__ import annotations

import numpy as np
import pytest

from edgecsp.bench.comparison import Comparison


def test_rows_of_another_number_are_left_to_the_boxes() -> None:
    compared = Comparison()
    rows = np.ones((1, 3, 6), np.float32)
    compared.add_heads([rows], [rows[:, :2]])
    compared.add_heads([rows[:, :0]], [rows[:, :0]])
    assert (compared.images, compared.largest, compared.errors) == (2, 0.0, [])
    compared.add_heads([rows], [rows * np.float32(0.5)])
    assert compared.largest == pytest.approx(0.5) and compared.mean == pytest.approx(0.5)


def test_maps_of_another_shape_are_no_such_heads() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        Comparison().add_heads([np.ones((1, 6, 4, 4))], [np.ones((1, 6, 3, 4))])
