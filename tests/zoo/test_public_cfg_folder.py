"""Every public cfg of a folder is imported or refused by name; EDGECSP_CFGS names the folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support.cfg_folder import outcomes

# A line of the file, or what the file lacks as a whole; never a stack trace or an error of another kind.
NAMED = re.compile(r"^line \d+: |ends in no head")


def test_cfgs_are_imported_or_refused_by_name(capsys: pytest.CaptureFixture) -> None:
    folder = os.environ.get("EDGECSP_CFGS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGECSP_CFGS names no folder of public darknet cfgs")
    tried = list(outcomes(Path(folder)))
    assert tried, f"{folder} holds no cfg"
    unnamed = [each for each in tried if each.refused and not NAMED.search(each.refused)]
    with capsys.disabled():
        print(f"\n{sum(not each.refused for each in tried)} of {len(tried)} cfgs of {folder} imported")
    assert not unnamed


def test_the_table_of_a_folder(tmp_path: Path) -> None:
    net = "[net]\nwidth=32\nheight=32\nchannels=3\n"
    conv = "[convolutional]\nfilters=6\nactivation=linear\n"
    (tmp_path / "a.cfg").write_text(net + conv + "[yolo]\nclasses=1\nanchors=3,4\nnum=1\n")
    (tmp_path / "b.cfg").write_text(net + "[lstm]\n")
    (tmp_path / "c.cfg").write_text(net + conv)
    a, b, c = outcomes(tmp_path)
    assert (a.refused, a.heads) == ("", "yolo 32x32x6") and a.floats == 24
    assert b.refused.startswith("line 5: [lstm] is a darknet layer that edgecsp does not support")
    assert NAMED.search(b.refused) and NAMED.search(c.refused)
