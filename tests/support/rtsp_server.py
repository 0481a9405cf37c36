"""A real RTSP server with a login, for tests and benchmarks of RTSP; run by the system's Python, which has GStreamer.

    rtsp_server.py USER PASSWORD [PORT [FILE.mp4]]

Prints its port, then serves the H.264 file, or a moving test image at 30 frames per second, until it is killed.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - a version must be chosen first

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 )"
)
LAUNCH_FILE = "( filesrc location=%s ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"


def main(user: str, password: str, port: str = "0", video: str = "") -> None:
    Gst.init(None)
    for element in (
        ("filesrc", "qtdemux", "h264parse", "rtph264pay") if video else ("videotestsrc", "x264enc", "rtph264pay")
    ):
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"GStreamer has no {element}")
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH_FILE % video if video else LAUNCH)
    factory.set_shared(True)
    factory.add_role_from_structure(_may_watch())
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.set_auth(auth)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _may_watch() -> "Gst.Structure":
    role = Gst.Structure.new_empty("viewer")
    role.set_value("media.factory.access", True)
    role.set_value("media.factory.construct", True)
    return role


main(*sys.argv[1:])
