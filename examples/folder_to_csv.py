"""Write the boxes of a folder's images as CSV: one row per box."""

import argparse
import csv

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder")
parser.add_argument("csv")
parser.add_argument("--model", default="codes")
parser.add_argument("--conf", type=float, default=0.25)
args = parser.parse_args()

with edgecsp.load(args.model, conf=args.conf) as detector, open(args.csv, "w", newline="", encoding="utf-8") as file:
    rows = csv.writer(file)
    rows.writerow(["image", "label", "score", "left", "top", "right", "bottom"])
    for _, result in detector.stream(args.folder):
        for each in result:
            rows.writerow([result.path, each.label, round(each.score, 4), *(round(float(v), 1) for v in each.xyxy)])
