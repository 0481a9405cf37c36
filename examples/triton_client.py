"""Ask `edgecsp serve` for boxes with Triton's own client (pip install 'tritonclient[http]')."""

import argparse

import numpy as np
import tritonclient.http as triton

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", help="a JPEG or PNG file")
parser.add_argument("--server", default="localhost:8080")
parser.add_argument("--model", default="codes")
args = parser.parse_args()

with open(args.image, "rb") as file:
    encoded = file.read()
image = triton.InferInput("image", [1], "BYTES")
image.set_data_from_numpy(np.array([encoded], np.object_))
client = triton.InferenceServerClient(args.server)
names = ("boxes", "scores", "labels")
answer = client.infer(args.model, [image], outputs=[triton.InferRequestedOutput(name) for name in names])
for box, score, label in zip(*(answer.as_numpy(name) for name in names)):
    print(label.decode(), round(float(score), 3), [round(float(value), 1) for value in box])
client.close()
