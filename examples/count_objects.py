"""Count the objects of a camera or a video: each track id once. Ctrl-C ends a camera."""

import argparse
from collections import defaultdict

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", help="a camera's number, a URL, or a video")
parser.add_argument("--model", default="codes")
parser.add_argument("--classes", help="count these alone: person,car")
args = parser.parse_args()

ids = defaultdict(set)
classes = args.classes.split(",") if args.classes else None
with edgecsp.load(args.model, classes=classes) as detector:
    try:
        for _, result in detector.stream(args.source, track=True):
            for each in result:
                if each.track_id not in ids[each.label]:
                    ids[each.label].add(each.track_id)
                    print({label: len(known) for label, known in ids.items()}, flush=True)
    except KeyboardInterrupt:
        pass
print("total:", {label: len(known) for label, known in ids.items()})
