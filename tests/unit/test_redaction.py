"""No login, key or token in what is shown of a URL; and names stay readable."""

from __future__ import annotations

import base64
import random
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgecsp.serve import address
from edgecsp.system.redaction import redact, redact_text

SECRET = "hunter2"
COMMIT = "0a" * 20


@pytest.mark.parametrize(
    "name",
    [
        "accessKey", "access_key", "AWSAccessKeyId", "sessionid", "session_id", "JSESSIONID", "PHPSESSID", "session",
        "code", "auth_code", "sig", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sid", "passphrase",
        "streamid", "apikey", "api-key", "key", "token", "password", "user", "auth",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["rtsp", "https", "srt"])
def test_parameters(scheme: str, name: str) -> None:
    url = f"{scheme}://cam:8554/live?n=1&{name}={SECRET}&channel=2"
    wanted = f"{scheme}://cam:8554/live?n=1&{name}=***&channel=2"
    assert redact(url) == wanted
    assert address.redact_source(url) == wanted
    assert address.redact_source(f"cannot open {url}: refused") == f"cannot open {wanted}: refused"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsps://nvr:7441/Ab3dEf9h1JkLmN0p", "rtsps://nvr:7441/***"),
        ("rtmp://a.rtmp.youtube.com/live2/abcd-ef12-gh34-ij56", "rtmp://a.rtmp.youtube.com/live2/***"),
        ("https://hooks.slack.com/services/T00000000/B00000000/XyZ1abC2dEf3GhI4jKl5MnO6",
         "https://hooks.slack.com/services/T00000000/B00000000/***"),
        ("https://api.telegram.org/bot123456:ABC-DEF1234ghIkl/send", "https://api.telegram.org/***/send"),
        (f"https://github.com/a/b/{COMMIT}/x.cfg", f"https://github.com/a/b/{COMMIT}/x.cfg"),
        (f"https://git.example.com/a/b/{COMMIT}/x.cfg", "https://git.example.com/a/b/***/x.cfg"),
        ("https://cdn/hls/9f8a7b6c5d4e3f2a/index.m3u8", "https://cdn/hls/***/index.m3u8"),
        ("https://cdn/123e4567-e89b-12d3-a456-426614174000/x.m3u8", "https://cdn/***/x.m3u8"),
        ("http://cam/token/short/live", "http://cam/token/***/live"),
        ("http://cam/api/key/k/live.mjpg", "http://cam/api/key/***/live.mjpg"),
        ("http://eve:hunter2@cam/token/short?sig=abc", "http://cam/token/***?sig=***"),
    ],
)  # fmt: skip
def test_secrets_in_a_path(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert redact_text(f"{url} broke off") == f"{shown} broke off"


@pytest.mark.parametrize(("size", "missed"), [(12, 0.03), (16, 0.006), (24, 0.001), (32, 0.0003)])
def test_random_keys_in_a_path(size: int, missed: float) -> None:
    """A key may look like a name by chance: how seldom depends on its bytes."""
    bits = random.Random(size)
    keys = [
        base64.urlsafe_b64encode(bits.getrandbits(8 * size).to_bytes(size, "big")).rstrip(b"=").decode()
        for _ in range(10_000)
    ]
    shown = [key for key in keys if key in redact(f"rtsp://nvr/live/{key}")]
    assert len(shown) <= missed * len(keys), shown[:5]


@settings(deadline=None)
@given(key=st.binary(min_size=12, max_size=32))
def test_hex_keys_in_a_path(key: bytes) -> None:
    assume(re.search("[0-9]", key.hex()) and re.search("[a-f]", key.hex()))
    assert key.hex() not in redact(f"rtsp://nvr/live/{key.hex()}")


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam:554/Streaming/Channels/101", "rtsp://cam/h264Preview_01_main", "rtsp://cam/axis-media/media.amp",
        "rtsp://cam/cam/realmonitor?channel=1&subtype=0", "rtsp://cam/live/ch00_0", "http://cam/video.mjpg",
        "http://cam/cgi-bin/snapshot.cgi?channel=1", "https://host/datasets/coco/val2017/000000000139.jpg",
        "https://host/2026-11-29/front-door_0800.mp4", "https://host/demo/9f8a7b6c5d4e3f2a9f8a7b6c5d4e3f2a.jpg",
        "s3://bucket/9f8a7b6c5d4e3f2a/code=49/clip.mp4", "rtsp://cam/front-door-main-stream", "http://cam/decode?codec=h264",
        "http://[fe80::1]/a", "rtsp://cam/StreamingChannels101", "rtsp://192.168.1.20:8554/driveway_camera_north",
    ],
)  # fmt: skip
def test_names_stay(url: str) -> None:
    assert redact(url) == url


def test_the_name_of_a_method_is_no_secret() -> None:
    text = "start it with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN="
    assert redact_text(f"{text}{SECRET}") == f"{text}***"


def test_a_pipelines_fields() -> None:
    line = f"gst:rtspsrc location=rtsp://eve:{SECRET}@cam/live?sig={SECRET} user-pw={SECRET} sessionid='{SECRET}' ! x"
    assert SECRET not in address.redact_source(line)
    assert "location=rtsp://cam/live?sig=***" in address.redact_source(line)
    assert address.redact_source("gst:videotestsrc ! x264enc pass=qual ! decodebin").endswith("! decodebin")


def test_a_long_text_is_no_work() -> None:
    begun = time.process_time()
    for text in ("rtsp://" + "_user" * 20_000, *(word * 50_000 for word in ("_", "/a=", "http://h/", "a1", "a"))):
        redact(text)
        redact_text(text)
    assert time.process_time() - begun < 20
