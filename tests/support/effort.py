"""Number of examples that hypothesis tries: what fits CI, times EDGECSP_EFFORT when you go hunting."""

from __future__ import annotations

import os

from hypothesis import settings

EFFORT = int(os.environ.get("EDGECSP_EFFORT", "1"))


def examples(n: int) -> settings:
    return settings(max_examples=n * EFFORT)
