"""Find codes in images or a video, and read each cut-out with zxing-cpp (pip install zxing-cpp)."""

import argparse

import numpy as np
import zxingcpp

import edgecsp

MARGIN = 0.15  # of the box's size: readers want a quiet zone around the code

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source")
parser.add_argument("--every", type=int, default=1, help="process every Nth frame of a video")
args = parser.parse_args()

texts = {}
with edgecsp.load("codes") as detector:
    for frame, result in detector.stream(args.source, stride=args.every):
        height, width = frame.image.shape[:2]
        for each in result:
            left, top, right, bottom = each.xyxy
            pad = MARGIN * max(right - left, bottom - top)
            x1, y1 = int(max(left - pad, 0)), int(max(top - pad, 0))
            x2, y2 = int(min(right + pad, width)), int(min(bottom + pad, height))
            for code in zxingcpp.read_barcodes(np.ascontiguousarray(frame.image[y1:y2, x1:x2])):
                if code.text not in texts:
                    texts[code.text] = each.label
                    print(f"{frame.stream.name} frame {frame.index}: {each.label}: {code.text}")
print(f"{len(texts)} codes read")
