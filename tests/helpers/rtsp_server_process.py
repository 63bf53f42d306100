"""An RTSP camera with sound, run with /usr/bin/python3, which sees GStreamer. Prints its port when it listens.

usage: rtsp_server_process.py AUDIO [USER PASSWORD]; AUDIO is aac, pcmu or none.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=20/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1"
    " ! rtph264pay config-interval=1 name=pay0 pt=96"
)
TONE = "audiotestsrc is-live=true freq=440 volume=0.5 samplesperbuffer=320 ! audio/x-raw,rate=16000,channels=1"
SOUND = {
    "aac": f" {TONE} ! audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "pcmu": f" {TONE} ! audioconvert ! audioresample ! audio/x-raw,rate=8000 ! mulawenc ! rtppcmupay name=pay1",
    "none": "",
}


def require_login(server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, *login: str) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(2)  # GST_RTSP_AUTH_DIGEST
    auth.add_digest(*login, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", permission, True)
    factory.set_permissions(permissions)


def main() -> None:
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURE}{SOUND[sys.argv[1]]} )")
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    if len(sys.argv) > 2:
        require_login(server, factory, *sys.argv[2:4])
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
