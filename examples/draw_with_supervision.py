"""Draw boxes and labels with supervision's annotators (pip install supervision)."""

import argparse

import cv2
import supervision as sv

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image")
parser.add_argument("out")
parser.add_argument("--model", default="codes")
args = parser.parse_args()

with edgecsp.load(args.model) as detector:
    result = detector(args.image)
detections = result.to_supervision()
image = sv.BoxAnnotator().annotate(result.image.copy(), detections)
labels = [f"{each.label} {each.score:.2f}" for each in result]
cv2.imwrite(args.out, sv.LabelAnnotator().annotate(image, detections, labels))
print(len(detections), "boxes")
