"""Names and numbers that options and other modules share."""

from __future__ import annotations

BUNDLED_MODEL = "codes"  # the model whose weights come with the package
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
REQUESTED_PRECISIONS = ("auto", *PRECISIONS)
RESIZES = ("darknet", "stretch", "letterbox", "crop")
MAX_PIXELS = 200_000_000  # of one image: 600 MB once decoded
