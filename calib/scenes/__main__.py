"""Look at scenes, or time them: `python -m calib.scenes --sheet out.png --seed 0 --count 36`, or `--bench`."""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from . import CLASSES, scene

COLOURS = ((0, 0, 255), (0, 200, 0), (255, 80, 0), (255, 0, 255), (0, 200, 255), (255, 255, 0))


def sheet(seed: int, count: int, side: int, natural: bool = False) -> np.ndarray:
    """`count` scenes side by side, with their boxes and classes."""
    columns = int(np.ceil(np.sqrt(count * 1.5)))
    cells = []
    for i in range(count):
        image, boxes, ids = scene(seed + i, side, natural)
        for (x0, y0, x1, y1), class_id in zip(boxes.round().astype(int).tolist(), ids.tolist()):
            cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), COLOURS[class_id], 1)
            at = (max(0, x0), max(10, y0 - 2))
            cv2.putText(image, CLASSES[class_id], at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, COLOURS[class_id], 1)
        cell = np.zeros((side, side, 3), np.uint8)
        cell[: image.shape[0], : image.shape[1]] = image
        cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-count % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def bench(seed: int, count: int, side: int) -> str:
    """Milliseconds a scene on this core, once the banks are filled, and what the scenes hold."""
    for i in range(count):
        scene(seed + i, side)
    begin = time.perf_counter()
    ids_by_scene = [scene(seed + count + i, side)[2] for i in range(count)]
    each = (time.perf_counter() - begin) / count * 1e3
    ids = np.concatenate(ids_by_scene)
    classes = ", ".join(f"{name} {n}" for name, n in zip(CLASSES, np.bincount(ids, minlength=len(CLASSES))))
    empty = sum(not len(f) for f in ids_by_scene) / count
    return f"{each:.1f} ms a scene of {side} px; {len(ids) / count:.2f} codes each, {empty:.0%} without; {classes}"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m calib.scenes", description=__doc__)
    parser.add_argument("--sheet", metavar="PNG", help="write a contact sheet with boxes")
    parser.add_argument("--bench", action="store_true", help="print the time of a scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=0, help="scenes (36 on a sheet, 600 to time)")
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--natural", action="store_true", help="keep each scene's aspect ratio")
    a = parser.parse_args()
    if a.sheet:
        cv2.imwrite(a.sheet, sheet(a.seed, a.count or 36, a.side, a.natural))
    if a.bench:
        print(bench(a.seed, a.count or 600, a.side))


if __name__ == "__main__":
    main()
