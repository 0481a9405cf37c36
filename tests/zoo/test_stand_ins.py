"""A model that is left out of dear tests has no kind of layer that its stand-ins lack."""

from __future__ import annotations

import pytest

from edgecsp import zoo
from support.zoo_models import STAND_INS, distinct, kinds


@pytest.mark.parametrize("name", STAND_INS)
def test_the_stand_ins_have_every_kind_of_layer(name: str) -> None:
    stand_ins = STAND_INS[name]
    assert not set(stand_ins) & set(STAND_INS), "a stand-in is tested itself"
    assert kinds(name) <= set().union(*map(kinds, stand_ins))


def test_all_others_are_tested_themselves() -> None:
    assert set(distinct()) | set(STAND_INS) == set(zoo.names()) and len(distinct()) > len(STAND_INS)
