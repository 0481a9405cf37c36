"""Images that mislead or are damaged, sent to the server: refused by their header, or answered with a warning."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import pytest

from edgecsp.serve.openapi import document
from support import images, media, served
from support.tiny import Tiny


@pytest.fixture(scope="module")
def site(tiny: Tiny) -> Iterator[served.Site]:
    with served.served(tiny.model) as running:
        yield running


def test_a_size_behind_a_stuffed_marker_is_refused(site: served.Site) -> None:
    said = site.ask("/v1/detect", images.stuffed_jpeg(32000))
    assert said.status == 413 and "32000x32000, 1024 megapixels" in said.json["error"]
    form, headers = served.multipart(image=images.stuffed_jpeg(32000))
    assert site.ask("/v1/vision/detection", form, headers=headers).status == 413
    said = site.ask("/v1/detect", images.stuffed_jpeg(64))
    assert said.status == 400 and "unknown marker FF00" in said.json["error"], "small, and still not to be checked"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * (31 << 20),
        b"\xff\xd8" + b"\xff\xfe\0\2" * (30 << 18),
        images.with_png_chunks(images.chunk(b"gAMA", b"\0\0\0\0") * 2_000_000),
    ],
    ids=["fill bytes", "comments", "gAMA"],
)
def test_headers_without_end_are_refused_before_a_decoder_sees_them(site: served.Site, data: bytes, capfd: Any) -> None:
    said = site.ask("/v1/detect", data)
    assert said.status == 400 and "more than" in said.json["error"]
    assert len(capfd.readouterr().err) < 1000, "no line of libpng for each chunk"


def test_a_damaged_image_is_answered_with_a_warning(site: served.Site) -> None:
    said = site.ask("/v1/detect", images.damaged_jpeg())
    assert said.status == 200 and "damaged" in said.json["warnings"][0]
    said = site.ask("/v1/detect", images.encoded(".jpg", media.noise(2))[:-2])
    assert said.status == 200 and "end marker is missing" in said.json["warnings"][0]
    said = site.ask("/v1/detect", images.animated_webp(3))
    assert said.json["warnings"] == ["only the first of 3 frames was read"]
    said = site.ask("/v1/detect", images.encoded(".jpg", np.zeros((20, 20, 3), np.uint8)))
    assert said.status == 200 and "warnings" not in said.json
    assert document("tiny")["components"]["schemas"]["Result"]["properties"]["warnings"]["items"] == {"type": "string"}
