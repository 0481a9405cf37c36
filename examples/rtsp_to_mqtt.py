"""Send what a network camera sees to an MQTT broker: counts by label, when they change (pip install paho-mqtt)."""

import argparse
import json
import time

import paho.mqtt.client as mqtt

import edgecsp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", help="rtsp://user:password@camera/stream, or a camera's number")
parser.add_argument("--model", default="codes")
parser.add_argument("--broker", default="localhost")
parser.add_argument("--port", type=int, default=1883)
parser.add_argument("--username")
parser.add_argument("--password")
parser.add_argument("--topic", default="edgecsp/camera")
args = parser.parse_args()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.username_pw_set(args.username, args.password)
client.will_set(f"{args.topic}/availability", "offline", retain=True)  # the broker says it when this program cannot
client.on_connect = lambda *_: client.publish(f"{args.topic}/availability", "online", retain=True)
client.connect(args.broker, args.port)
client.loop_start()

last = None
try:
    with edgecsp.load(args.model) as detector:
        while True:
            try:
                for _, result in detector.stream(args.source):
                    if result.counts() != last:
                        last = result.counts()
                        client.publish(f"{args.topic}/counts", json.dumps(last), qos=1, retain=True)
            except edgecsp.EdgecspError as error:
                print(error, flush=True)
            time.sleep(1)  # then the camera is opened again
except KeyboardInterrupt:
    client.publish(f"{args.topic}/availability", "offline", retain=True).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()  # the broker has the goodbye then; without one it sends the last will, too
