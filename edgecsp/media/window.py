"""A window of OpenCV's on the screen."""

from __future__ import annotations

import os
import sys

from ..errors import UsageError
from ..types import Array


def show(image: Array, title: str, *, wait_ms: int = 0) -> bool:
    """Show an image, (H, W, 3) uint8 BGR, until a key is pressed or for `wait_ms`; return False to end.

    Escape, q and a closed window are the end. Raises `UsageError` without a display, or where OpenCV has no windows.
    """
    check_display()
    import cv2

    try:
        cv2.imshow(title, image)
        while True:
            key = cv2.waitKey(wait_ms or 100)
            is_open = cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
            if wait_ms or key >= 0 or not is_open:
                return is_open and key not in (27, ord("q"))
    except cv2.error as error:
        raise UsageError("this OpenCV has no windows; type: pip install opencv-python, or save the image") from error


def close() -> None:
    """Close all windows."""
    import cv2

    cv2.destroyAllWindows()


def check_display() -> None:
    """Raise `UsageError` where no window can be shown."""
    # Qt ends the process without one.
    needs_server = sys.platform not in ("darwin", "win32")
    if needs_server and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError("there is no display here (DISPLAY is not set); write files instead: --out, or Result.save")
