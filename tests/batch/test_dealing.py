"""How many parts a worker of Ray's is given, beside a slow oracle: every part dealt out, one after the other."""

from __future__ import annotations

import heapq
from typing import Counter, List, Tuple

import numpy as np

from edgecsp.batch import _ray
from edgecsp.batch.shards import VIDEO, Item, Shard, whole_video


def ended(lengths: List[int], workers: int, most: int) -> int:
    """When the last part is done: each goes to the worker that has fewest, which has no more than `most`."""
    free, queued, now = [0] * workers, [0] * workers, 0
    ends: List[Tuple[int, int]] = []
    for length in lengths:
        while min(queued) == most:
            now, worker = heapq.heappop(ends)
            queued[worker] -= 1
        worker = queued.index(min(queued))
        free[worker] = max(now, free[worker]) + length
        queued[worker] += 1
        heapq.heappush(ends, (free[worker], worker))
    return max(free)


def test_a_part_waits_at_its_worker_only_where_that_delays_nobody() -> None:
    rng, chosen = np.random.default_rng(5), Counter[int]()
    for _ in range(300):
        workers, count = int(rng.integers(1, 9)), int(rng.integers(1, 600))
        spread = rng.choice([0.0, 0.5, 3.0])
        dealt = sorted((int(length) for length in 1 + rng.lognormal(5, spread, count)), reverse=True)
        parts = [Shard(str(number), VIDEO, (), frames=length) for number, length in enumerate(dealt)]
        most = _ray._shards_per_worker(parts, workers)
        chosen[most] += 1
        assert ended(dealt, workers, most) <= 1.1 * ended(dealt, workers, 1)
    assert min(chosen[1], chosen[2]) > 50  # both are tried


def test_parts_of_one_length_wait_at_their_workers() -> None:
    some = [Shard(str(number), VIDEO, (), frames=1800) for number in range(200)]
    assert (_ray._shards_per_worker(some, 4), _ray._shards_per_worker(some, 64)) == (2, 1)
    assert _ray._shards_per_worker([*some, whole_video(Item("a", "a", VIDEO))], 4) == 1  # nobody knows its length
