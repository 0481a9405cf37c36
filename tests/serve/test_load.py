"""Many callers: nobody gets another's answer, nothing grows, and what the server adds to the session's work is little.

How it compares with the session in full is benchmarks/serve.py's to measure; here are bounds that no machine should
miss.
"""

from __future__ import annotations

import json
import time
from typing import List

import numpy as np

from benchmarks import serve as bench
from edgecsp import pipeline
from edgecsp.media.sinks.rows import to_dict
from edgecsp.serve.live import StreamState
from edgecsp.types import Frame, Stream
from support import served
from support.processes import resident_bytes
from support.tiny import Tiny


def drawn(count: int) -> List[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8) for seed in range(count)]


def test_32_callers_get_their_own_answers_and_memory_is_flat(tiny: Tiny) -> None:
    images = drawn(16)
    with pipeline.load(tiny.model, "ort", threads=1) as detector:
        expected = [json.dumps(to_dict(Frame(image, Stream("picture")), detector(image))).encode() for image in images]
    taken = [served.encoded(image) for image in images]
    with served.served(tiny.model, threads=2, at_once=2) as site:
        sizes, count = [], 0
        for _ in range(3):
            said = bench.measure_requests(site.port, taken, expected, 32, 1.5)
            assert said["wrong"] == 0
            count += int(said["count"])
            sizes.append(resident_bytes())
        assert count > 100 and sizes[2] - sizes[0] < 20 << 20, sizes
        assert site.pool.restarts == 0


def test_what_the_server_adds_to_a_picture(tiny: Tiny) -> None:
    """CPU of all threads of this process, callers included: less than four milliseconds a request (here it is one)."""
    taken = [served.encoded(image, ".jpg") for image in drawn(8)]
    # Untrained, it finds a hundred things in noise: none is kept, and the server's own work is what remains.
    with served.served(tiny.model, open_detector=lambda: pipeline.load(tiny.model, "ort", threads=1, conf=1.0)) as site:
        bench.measure_requests(site.port, taken, [b""] * 8, 4, 0.5)
        used = time.process_time()
        said = bench.measure_requests(site.port, taken, [b""] * 8, 4, 2.0)
        assert (time.process_time() - used) / said["count"] < 0.004


def test_ten_lookers_cost_little_more_than_one(tiny: Tiny) -> None:
    """Each picture is encoded once; CPU of the encoder is told by the view."""
    view = StreamState("0", "door")
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    with served.served(tiny.model, [view]) as site:
        spent: List[float] = []
        view.observe = lambda stage, seconds: spent.append(seconds)
        held = [site.raw(b"GET /api/streams/door/video HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] for _ in range(10)]
        with served.Camera(view, site.pool, lambda number: image, 10):
            seen, end = [0] * 10, time.monotonic() + 3
            while time.monotonic() < end:
                for at, each in enumerate(held):
                    seen[at] += each.recv(1 << 18).count(b"Content-Type: image/jpeg")
        assert min(seen) >= 5, seen
        assert len(spent) <= view.frames + 2, "once a frame, however many look"
        for each in held:
            each.close()
