"""Run a GStreamer pipeline that contains a secret: its words come through a pipe and not as arguments.

    python _gst_child.py FD < words.json

Process arguments are readable by every user, and gst-launch takes a pipeline only as arguments. This program uses
GStreamer's library through ctypes instead: it writes frames to the file descriptor FD, and to stdout the lines of
`gst-launch-1.0 -v` that `_gst_launch` parses. It imports no other module of the package, to start fast.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_uint64, c_void_p
from typing import Any, List

NULL, PAUSED, PLAYING = 1, 3, 4  # GstState
FAILURE, ASYNC, NO_PREROLL = 0, 2, 3  # GstStateChangeReturn
EOS, ERROR, BUFFERING, CLOCK_LOST, LATENCY = 1 << 0, 1 << 1, 1 << 5, 1 << 10, 1 << 19  # GstMessageType
TURN_NS = 50_000_000
SINK = "! videoconvert ! video/x-raw,format=BGR ! fdsink name=edgecsp fd="


class Error(ctypes.Structure):
    """GError."""

    _fields_ = (("domain", c_uint), ("code", c_int), ("message", c_char_p))


class MiniObject(ctypes.Structure):
    """GstMiniObject, as GStreamer 1.0 has fixed it."""

    _fields_ = (
        ("gtype", ctypes.c_size_t), ("refcount", c_int), ("lockstate", c_int), ("flags", c_uint), ("copy", c_void_p),
        ("dispose", c_void_p), ("free", c_void_p), ("priv_uint", c_uint), ("priv_pointer", c_void_p),
    )  # fmt: skip


class BusMessage(ctypes.Structure):
    """GstMessage, up to the element that it is from."""

    _fields_ = (("mini_object", MiniObject), ("type", c_int), ("timestamp", c_uint64), ("src", c_void_p))


def library() -> Any:
    """Load GStreamer's library and declare its functions. Raises `OSError` when it is not installed."""
    gst = ctypes.CDLL("libgstreamer-1.0.so.0")
    calls = {
        "gst_init": (None, c_void_p, c_void_p),
        "gst_parse_launchv": (c_void_p, POINTER(c_char_p), POINTER(POINTER(Error))),
        "gst_element_set_state": (c_int, c_void_p, c_int),
        "gst_element_get_state": (c_int, c_void_p, c_void_p, c_void_p, c_uint64),
        "gst_element_get_bus": (c_void_p, c_void_p),
        "gst_bus_timed_pop_filtered": (c_void_p, c_void_p, c_uint64, c_uint),
        "gst_bin_get_by_name": (c_void_p, c_void_p, c_char_p),
        "gst_bin_recalculate_latency": (c_int, c_void_p),
        "gst_element_get_static_pad": (c_void_p, c_void_p, c_char_p),
        "gst_pad_get_current_caps": (c_void_p, c_void_p),
        "gst_caps_to_string": (c_char_p, c_void_p),
        "gst_object_get_path_string": (c_char_p, c_void_p),
        "gst_message_parse_error": (None, c_void_p, POINTER(POINTER(Error)), POINTER(c_char_p)),
        "gst_message_parse_buffering": (None, c_void_p, POINTER(c_int)),
        "gst_mini_object_unref": (None, c_void_p),
    }
    for name, (result, *arguments) in calls.items():
        call = getattr(gst, name)
        call.restype, call.argtypes = result, arguments
    return gst


def say(*lines: str) -> None:
    """Write lines to stdout, unbuffered."""
    os.write(1, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))


class ChildPipeline:
    """A pipeline that writes raw BGR to a file descriptor; `play` it. Its words are never printed."""

    def __init__(self, gst: Any, element: int) -> None:
        self._gst, self._element = gst, element
        self._bus = gst.gst_element_get_bus(element)
        self._is_live = self._is_buffering = self._is_playing = False
        self._callback = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)(self._say_caps)
        connect = ctypes.CDLL("libgobject-2.0.so.0").g_signal_connect_data
        connect.argtypes = [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_int]
        pad = gst.gst_element_get_static_pad(gst.gst_bin_get_by_name(element, b"edgecsp"), b"sink")
        connect(pad, b"notify::caps", ctypes.cast(self._callback, c_void_p), None, None, 0)

    def _say_caps(self, pad: int, parameter: int, data: int) -> None:
        """Print new caps; called in the pipeline's thread before the first frame with them."""
        caps = self._gst.gst_pad_get_current_caps(pad)
        if caps:
            text = self._gst.gst_caps_to_string(caps).decode("utf-8", "replace")
            say(f"/GstPipeline:pipeline0/GstFdSink:edgecsp.GstPad:sink: caps = {text}")
            self._gst.gst_mini_object_unref(caps)

    def play(self, stopped: List[int]) -> None:
        """Run until the end, the first error, or until `stopped` is not empty."""
        if self._set(PAUSED) == NO_PREROLL:
            self._say_live()
        is_over = False
        while not is_over and not stopped:
            self._begin()
            kinds = EOS | ERROR | BUFFERING | CLOCK_LOST | LATENCY
            message = self._gst.gst_bus_timed_pop_filtered(self._bus, TURN_NS, kinds)
            if message:
                is_over = self._take(message)
                self._gst.gst_mini_object_unref(message)
        self._set(NULL)

    def _set(self, state: int) -> int:
        done: int = self._gst.gst_element_set_state(self._element, state)
        return done

    def _say_live(self) -> None:
        self._is_live = True
        say("Pipeline is live and does not need PREROLL ...")

    def _begin(self) -> None:
        """Set PLAYING as soon as the pipeline is prerolled and not buffering."""
        if self._is_playing or self._is_buffering:
            return
        state = self._gst.gst_element_get_state(self._element, None, None, 0)
        if state == NO_PREROLL and not self._is_live:
            self._say_live()
        if state not in (FAILURE, ASYNC):
            self._is_playing = True
            self._set(PLAYING)

    def _take(self, message: int) -> bool:
        """Handle a bus message; return whether it was the last."""
        kind = ctypes.cast(message, POINTER(BusMessage)).contents.type
        if kind == EOS:
            say('Got EOS from element "pipeline0".')
            return True
        if kind == ERROR:
            self._say_error(message)
            return True
        if kind == LATENCY:
            self._gst.gst_bin_recalculate_latency(self._element)
        elif kind == CLOCK_LOST:
            self._set(PAUSED)
            self._set(PLAYING)
        elif not self._is_live:
            percent = c_int()
            self._gst.gst_message_parse_buffering(message, byref(percent))
            is_buffering, self._is_buffering = self._is_buffering, percent.value < 100
            if self._is_buffering and not is_buffering:
                self._is_playing = False
                self._set(PAUSED)
        return False

    def _say_error(self, message: int) -> None:
        error, debug = POINTER(Error)(), c_char_p()
        self._gst.gst_message_parse_error(message, byref(error), byref(debug))
        source = ctypes.cast(message, POINTER(BusMessage)).contents.src
        path = self._gst.gst_object_get_path_string(source).decode("utf-8", "replace") if source else "/pipeline0"
        words = error.contents.message.decode("utf-8", "replace")
        more = (debug.value or b"").decode("utf-8", "replace")
        say(f"ERROR: from element {path}: {words}", "Additional debug info:", more)


def main() -> None:
    """Read the words of the pipeline from stdin and run it."""
    words = [word.encode("utf-8", "surrogateescape") for word in json.load(sys.stdin)]
    words += f"{SINK}{int(sys.argv[1])}".encode().split()
    stopped: List[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))
    try:
        gst = library()
    except OSError as missing:
        say(f"ERROR: pipeline could not be constructed: {missing}")
        return
    gst.gst_init(None, None)
    error = POINTER(Error)()
    element = gst.gst_parse_launchv((c_char_p * (len(words) + 1))(*words, None), byref(error))
    if error or not element:
        reason = error.contents.message.decode("utf-8", "replace") if error else "there is none"
        kind = "WARNING: erroneous pipeline" if element else "ERROR: pipeline could not be constructed"
        say(f"{kind}: {reason}")
        return
    ChildPipeline(gst, element).play(stopped)


if __name__ == "__main__":
    main()
