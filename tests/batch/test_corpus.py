"""What a user calls a corpus: folders, patterns, lists, tables, URIs. A table is data, whatever it claims to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from support.repository import REPO

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (edgecsp[ray])")

from edgecsp import batch  # noqa: E402 - it is skipped where it cannot be tested
from edgecsp.batch.shards import IMAGE, VIDEO  # noqa: E402
from edgecsp.errors import SourceError  # noqa: E402


@pytest.fixture
def videos(tmp_path: Path) -> List[str]:
    """Three videos in two folders, and what is none."""
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    (tmp_path / "in" / ".hidden").mkdir()
    names = ["in/v2.mp4", "in/v10.mkv", "in/deeper/v1.mp4"]
    for name in [*names, "in/.hidden/v3.mp4", "in/._v2.mp4", "in/notes.txt"]:
        (tmp_path / name).write_bytes(b"x")
    return [str(tmp_path / name) for name in (names[2], names[0], names[1])]  # deeper/ is before v2, v2 before v10


@pytest.mark.parametrize("form", ["folder", "txt", "csv", "parquet", "glob", "file uri", "one"])
def test_every_way_to_name_a_corpus(form: str, videos: List[str], tmp_path: Path) -> None:
    from pyarrow import parquet

    given = tmp_path / f"list.{form}"
    expected = videos
    if form == "txt":
        given.write_text("# a comment\n\n" + "\n".join(videos) + "\n")
    elif form == "csv":
        given.write_text("id,path\n" + "".join(f"{n},{path}\n" for n, path in enumerate(videos)))
    elif form == "parquet":
        parquet.write_table(pyarrow.table({"id": [1, 2, 3], "source": videos}), given)
    elif form == "glob":
        given, expected = tmp_path / "in" / "**" / "v*.mp4", videos[:2]
    elif form == "one":
        given, expected = Path(videos[0]), videos[:1]
    word = (tmp_path / "in").as_uri() if form == "file uri" else str(tmp_path / "in" if form == "folder" else given)
    found = batch.read(word)
    assert [item.place for item in found] == expected
    assert {item.kind for item in found} == {VIDEO}


def test_paths_of_a_list_are_beside_it_and_each_counts_once(videos: List[str], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("in/v2.mp4\nin/v2.mp4\nin/gone.jpg\ns3://bucket/a%20b.mp4\n")
    found = batch.read(str(tmp_path / "list.txt"))
    assert [item.place for item in found] == [videos[1], str(tmp_path / "in" / "gone.jpg"), "s3://bucket/a%20b.mp4"]
    assert [item.kind for item in found] == [VIDEO, IMAGE, VIDEO]


def test_a_password_stays_out_of_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("s3://key:hush@bucket/v.mp4\n")
    (item,) = batch.read(str(tmp_path / "list.txt"))
    assert "hush" in item.place and "hush" not in item.source


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("list.csv", b"id,video\n1,x.mp4\n", "columns id, video; one of source, path, uri, file"),
        ("list.csv", b"", "columns none"),
        ("list.parquet", b"no Parquet", "is not a Parquet file"),
        ("list.txt", b"# nothing\n", "no path or URI"),
    ],
)
def test_a_list_that_is_none_is_told(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=said):
        batch.read(str(tmp_path / name))


HOSTILE = """
import sys, pickle, pyarrow as pa
from pyarrow import parquet
import ray.data                                       # registers Ray's extension types, as a run with --ray does
from edgecsp import batch

class Harm:
    def __reduce__(self):
        return open, (sys.argv[2], "w")

payload = pickle.dumps(Harm())
for name in (b"ray.data.arrow_tensor", b"ray.data.arrow_tensor_v2", b"ray.data.arrow_pickled_object"):
    meta = {b"ARROW:extension:name": name, b"ARROW:extension:metadata": payload}
    storage = pa.binary() if b"object" in name else pa.list_(pa.int64())
    value = payload if b"object" in name else [1]
    field = pa.field("harm", storage, metadata=meta)
    schema = pa.schema([pa.field("source", pa.string()), field])
    table = pa.table([pa.array(["v.mp4"]), pa.array([value], storage)], schema=schema)
    parquet.write_table(table, sys.argv[1])
    try:
        print([item.source for item in batch.read(sys.argv[1])])
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_nothing_in_a_table_is_unpickled(tmp_path: Path) -> None:
    """Ray before 2.55 ran what the metadata of a column of its types said, as soon as the file was opened."""
    pytest.importorskip("ray", reason="Ray is not installed (edgecsp[ray]; it wants Python 3.10)")
    harm = tmp_path / "harm"
    command = [sys.executable, "-W", "ignore", "-c", HOSTILE, str(tmp_path / "list.parquet"), str(harm)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPO)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert not harm.exists()
