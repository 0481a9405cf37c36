"""Run one image on every engine that works here: number of boxes, and milliseconds of the fastest of ten calls."""

import argparse
import time

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image")
parser.add_argument("--model", default="codes")
args = parser.parse_args()

for engine in edgecsp.engines():
    with edgecsp.load(args.model, engine, precision="fp32") as detector:
        result = detector(args.image)
        times = []
        for _ in range(10):
            begun = time.perf_counter()
            detector(result.image)
            times.append(time.perf_counter() - begun)
        print(f"{engine:10} {len(result):3} boxes  {min(times) * 1000:6.1f} ms  {result.counts()}")
