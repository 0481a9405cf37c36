"""What an encoded picture says of itself, checked before it is decoded: its kind and its size."""

from __future__ import annotations

from ..errors import HTTPRequestError
from ..media.sources import decoding
from ..media.sources.image_probe import probe

TAKEN = ("JPEG", "PNG", "WebP", "BMP")
KINDS = "JPEG, PNG, WebP and BMP"
SCANS = 100  # of a progressive JPEG: each one is a pass over the whole picture, and a file may hold thousands


def check(data: bytes, most_pixels: int) -> None:
    """Refuse what is no picture that we take, or is too large, by its header. Raises `HTTPRequestError`.

    A header that its decoder may read otherwise is refused, too: what is checked must be what is decoded.
    """
    if not data:
        raise HTTPRequestError(
            400, "the body is empty; send a picture: curl --data-binary @dog.jpg -H 'Content-Type: image/jpeg'"
        )
    header = probe(data, TAKEN)
    if header is None:
        raise HTTPRequestError(415, f"the picture {decoding.looks_like(data)}; {KINDS} are taken")
    width, height = header.width, header.height
    if header.doubt and header.kind == "JPEG":
        width, height = max((width, height), decoding.jpeg_size(data), key=lambda sides: sides[0] * sides[1])
    if width * height > most_pixels:
        raise HTTPRequestError(
            413,
            f"the picture is {width}x{height}, {width * height / 1e6:.0f} megapixels; {most_pixels / 1e6:g} are taken",
        )
    if header.doubt:
        raise HTTPRequestError(
            400, f"the picture is a {header.kind} that cannot be checked: {header.doubt}; save it anew"
        )
    if width < 1 or height < 1:
        raise HTTPRequestError(400, f"the picture says of itself that it is {width}x{height}")
    if header.scans > SCANS:
        raise HTTPRequestError(413, f"the picture is a JPEG of more than {SCANS} scans")
