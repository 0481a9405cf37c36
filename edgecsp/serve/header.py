"""Check an encoded image's format and size from its header, before it is decoded."""

from __future__ import annotations

from ..errors import HTTPRequestError
from ..media.sources import decoding
from ..media.sources.image_probe import probe

TAKEN = ("JPEG", "PNG", "WebP", "BMP")
KINDS = "JPEG, PNG, WebP, BMP"
SCANS = 100  # of a progressive JPEG: each is a pass over the whole image, and a file may hold thousands


def check(data: bytes, most_pixels: int) -> None:
    """Refuse unsupported formats and images that are too large, by the header. Raises `HTTPRequestError`.

    A header that the decoder may read differently is refused too: the checked size must be the decoded one.
    """
    if not data:
        raise HTTPRequestError(
            400, "the body is empty; send an image: curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg'"
        )
    header = probe(data, TAKEN)
    if header is None:
        raise HTTPRequestError(415, f"the image {decoding.looks_like(data)}; supported formats: {KINDS}")
    width, height = header.width, header.height
    if header.doubt and header.kind == "JPEG":
        width, height = max((width, height), decoding.jpeg_size(data), key=lambda sides: sides[0] * sides[1])
    if width * height > most_pixels:
        raise HTTPRequestError(
            413,
            f"the image is {width}x{height}, {width * height / 1e6:.0f} megapixels; the limit is {most_pixels / 1e6:g}",
        )
    if header.doubt:
        raise HTTPRequestError(400, f"the {header.kind} header is invalid: {header.doubt}; save the image again")
    if width < 1 or height < 1:
        raise HTTPRequestError(400, f"the image has an invalid size: {width}x{height}")
    if header.scans > SCANS:
        raise HTTPRequestError(413, f"the JPEG has more than {SCANS} scans")
