"""`edgecsp batch` without pyarrow says what to install before it begins."""

from __future__ import annotations

from pathlib import Path

from support.commands import edgecsp
from support.repository import child_environment


def test_batch_without_pyarrow_ends_before_anything_is_read(tmp_path: Path) -> None:
    """Whatever the corpus is, and also for JSON Lines, which stand beside the Parquet files."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "pyarrow.py").write_text("raise ImportError('no pyarrow here')\n")
    environment = child_environment(tmp_path / "hidden")
    environment["PYTHONPATH"] = f"{tmp_path / 'hidden'}:{environment['PYTHONPATH']}"
    words = ("batch", "absent", "--out", "rows", "--jsonl", "--model", "absent-model")
    done = edgecsp(*words, code=6, cwd=tmp_path, env=environment)
    assert done.stderr.count("\n") == 1 and "[batch]" in done.stderr, done.stderr
    assert not (tmp_path / "rows").exists()
