"""RTSP server whose cameras send recordings of H.264 and AAC unchanged. Run with /usr/bin/python3, which has GStreamer.

A client of /N gets the N-th recording from its start. Prints the port when it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( filesrc location={file} ! qtdemux name=file"
    "  file.video_0 ! {queue} ! h264parse ! rtph264pay config-interval=-1 name=pay0 pt=96"
    "  file.audio_0 ! {queue} ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)
# Without limits, so that neither picture nor sound waits, however the recording is interleaved.
QUEUE = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"


def main() -> None:
    """Serve the recordings of the command line until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for number, recording in enumerate(sys.argv[1:]):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(PIPELINE.format(file=recording, queue=QUEUE))
        server.get_mount_points().add_factory(f"/{number}", factory)
    if not server.attach(None):
        sys.exit("the RTSP server cannot listen on 127.0.0.1")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
