"""Where decoded images wait: all stores give the same images, and what does not fit is said. No torch."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from edgecsp import zoo
from edgecsp.errors import OutputError, UsageError
from edgecsp.system import memory
from edgecsp.train import cache, resources
from edgecsp.train.progress import LoggedProgress, TrainingProgress, duration, waiting

IMAGES = [np.random.default_rng(i).integers(0, 256, (3 + i, 5, 3), np.uint8) for i in range(4)]


@pytest.mark.parametrize("wanted", ["ram", "disk"])
def test_a_store_gives_back_what_was_put(wanted: str, tmp_path: Path) -> None:
    store = cache.open_store(wanted, 4, 8, tmp_path)
    assert store is not None
    kept = [store.put(image) for image in IMAGES]
    store.seal()
    for key, image in zip(kept, IMAGES):
        np.testing.assert_array_equal(store.get(key), image)
    store.get(kept[0])[:] = 0  # what is done to an image
    if wanted == "disk":
        np.testing.assert_array_equal(store.get(kept[0]), IMAGES[0])
        assert (tmp_path / cache.FILE).stat().st_size == sum(image.nbytes for image in IMAGES)
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_another_process_maps_the_file_and_leaves_it(tmp_path: Path) -> None:
    store = cache.open_store("disk", 4, 8, tmp_path)
    assert store is not None
    kept = store.put(IMAGES[1])
    store.seal()
    other = pickle.loads(pickle.dumps(store))  # as a spawned worker gets it
    np.testing.assert_array_equal(other.get(kept), IMAGES[1])
    del other
    gc.collect()
    child = os.fork()
    if not child:  # as a forked worker has it; what it holds goes when it ends
        good = bool((store.get(kept) == IMAGES[1]).all())
        del store
        gc.collect()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / cache.FILE).exists()
    del store
    gc.collect()
    assert not (tmp_path / cache.FILE).exists(), "an error on the way leaves no file"


def test_what_was_left_by_a_killed_run_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / cache.FILE).write_bytes(b"x" * 100_000)
    store = cache.open_store("disk", 1, 8, tmp_path)
    assert store is not None
    kept = store.put(IMAGES[0])
    store.seal()
    assert (tmp_path / cache.FILE).stat().st_size == IMAGES[0].nbytes
    np.testing.assert_array_equal(store.get(kept), IMAGES[0])


def test_a_disk_that_is_full_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 << 30))
    with pytest.raises(OutputError, match=r"up to 3\.0 GB and 1\.1 GB must stay free, but .* has 2\.1 GB; use --cache"):
        cache.open_store("disk", 1000, 1000, tmp_path)
    assert list(tmp_path.iterdir()) == []

    class Full:
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = cache.open_store("disk", 4, 8, tmp_path)
    assert isinstance(store, cache.DiskStore)
    store._file.close()
    store._file = Full()
    with pytest.raises(OutputError, match="No space left on device; use --cache none"):
        store.put(IMAGES[0])
    assert list(tmp_path.iterdir()) == []


def test_memory_is_taken_where_the_images_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: memory.Memory(1000 * 64 * 64 * 3, 0))
    assert isinstance(cache.open_store(None, 300, 64, tmp_path), cache.MemoryStore)
    assert cache.open_store(None, 500, 64, tmp_path) is None, "more than a share of what is free"
    assert isinstance(cache.open_store("ram", 500, 64, tmp_path), cache.MemoryStore), "but asked for it fits"
    with pytest.raises(UsageError, match=r"take up to 12\.3 MB, and 12\.3 MB of memory is free; use --cache disk"):
        cache.open_store("ram", 1000, 64, tmp_path)
    assert cache.open_store("none", 1, 64, tmp_path) is None
    with pytest.raises(UsageError, match="--cache tape: ram, disk, none"):
        cache.open_store("tape", 1, 64, tmp_path)


@pytest.mark.parametrize(
    ("device", "cores", "processes", "expected"),
    [("cpu", 1, 1, 0), ("cpu", 2, 1, 1), ("cpu", 4, 1, 1), ("cpu", 16, 1, 4), ("cpu", 16, 4, 1), ("cuda", 2, 1, 1),
     ("cuda:1", 8, 1, 7), ("cuda", 64, 1, 16), ("cuda", 64, 8, 7)],
)  # fmt: skip
def test_workers_follow_from_the_cores(
    device: str, cores: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert resources.pick_workers("auto", device, cores) == expected
    assert resources.pick_workers("3", device, cores) == resources.pick_workers(3, device, cores) == 3
    for wrong in ("-1", "many", "1.5"):
        with pytest.raises(UsageError, match=r"--workers .*: auto, or a whole number from 0 on"):
            resources.pick_workers(wrong, device, cores)


def test_a_batch_follows_from_the_memory() -> None:
    net = zoo.net("cspdensenetb-ref-prn", (320, 320), 3)
    sizes = [resources.pick_batch(net, 10_000, "cpu", free) for free in (10**9, 2 * 10**9, 10**10, 10**12)]
    assert sizes == sorted(sizes) and 1 <= sizes[0] < sizes[1] and sizes[-1] == 64
    assert resources.pick_batch(net, 100, "cpu", 10**12) == 12, "an epoch has some steps"
    assert resources.pick_batch(net, 5, "cpu", 10**12) == 1
    with pytest.raises(UsageError, match=r"a batch of 1 image needs about .* GB .* take a smaller --imgsz"):
        resources.pick_batch(net, 100, "cpu", 10**6)


@pytest.mark.parametrize(("asked", "had", "images", "expected"), [
    (0, 24, 500, 24), (16, 16, 500, 16), (16, 12, 12, 12), (16, 12, 500, 16), (8, 16, 500, 8), (64, 12, 14, 12),
])  # fmt: skip
def test_a_run_that_goes_on_has_the_batch_it_had(asked: int, had: int, images: int, expected: int) -> None:
    record: Dict[str, Any] = {"settings": {"batch": had}, "data": {"train_images": images}}
    assert resources.batch_of(asked, record) == expected


def test_progress_is_told_in_lines() -> None:
    at = TrainingProgress(3, 100, 40, 1200, 4.21, 54.3, 0.02, 0.5, 3.2 * 3600)
    assert at.line() == "epoch 3 of 100: loss 4.210, 54.3 images/s, 3 h 12 min left"
    assert [duration(s) for s in (0, 89, 90, 750, 5400)] == ["0 s", "89 s", "2 min", "12 min", "1 h 30 min"]
    assert waiting(0.02) == "waited 2% of the time for images"
    assert "more --workers or --cache" in waiting(0.11) and "--workers" not in waiting(0.1)


def test_a_long_reading_is_told_twice_a_minute(log_lines: List[str]) -> None:
    now = [0.0]
    progress = LoggedProgress("read", 1000, clock=lambda: now[0])
    for _ in range(126):
        now[0] += 1
        progress.advance(8)
    assert log_lines == [f"read {count} of 1,000 images" for count in (240, 480, 720, 960)]
