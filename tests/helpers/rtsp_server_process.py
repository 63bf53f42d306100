"""An RTSP camera with sound. Run it with /usr/bin/python3, which has GStreamer. Prints its port when it listens.

It serves a ball and a tone, or a clip of H.264 and PCM in Matroska as a live source. SIGUSR1 changes the size of the
ball's picture while it runs.
"""

import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402
from rtsp_login import require_login  # noqa: E402

H264 = (
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1"
    " ! rtph264pay config-interval=1 name=pay0 pt=96"
)
SOUND = {
    "aac": "audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "pcmu": "audioconvert ! audioresample ! audio/x-raw,rate=8000 ! mulawenc ! rtppcmupay name=pay1",
    "l16": "audioconvert ! rtpL16pay name=pay1 pt=97",
}
# the default background is so dark that the daemon reports a black picture after 30 s
BALL = "videotestsrc is-live=true pattern=ball background-color=0xff404040 ! videoscale ! capsfilter name=size caps={}"
SIZES = ("320,height=240", "160,height=120")
TONE = "audiotestsrc is-live=true freq=440 volume=0.5 samplesperbuffer=320 ! audio/x-raw,rate=16000,channels=1"


def pipeline(audio: str, clip: str | None) -> str:
    picture, sound = BALL.format(caps(SIZES[0])), TONE
    if clip:
        # unlimited queues, for clips that are interleaved in any way
        queue = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
        picture = (
            f"filesrc location={clip} ! matroskademux name=clip  clip.video_0 ! {queue} ! avdec_h264 ! videoconvert"
        )
        sound = f"clip.audio_0 ! {queue}"
    if audio == "alone":
        return f"( {sound} ! {SOUND['pcmu'].replace('pay1', 'pay0')} )"
    return f"( {picture} ! {H264} " + ("" if audio == "none" else f" {sound} ! {SOUND[audio]}") + " )"


def caps(size: str) -> str:
    return f"video/x-raw,format=I420,framerate=20/1,width={size}"


def resize_on_signal(factory: GstRtspServer.RTSPMediaFactory) -> None:
    """Switch the picture to the other size at every SIGUSR1."""
    sizes = list(SIZES)

    def resize(element: Gst.Bin) -> bool:
        sizes.reverse()
        element.get_by_name("size").set_property("caps", Gst.Caps.from_string(caps(sizes[0])))
        return True

    def configured(_: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        element = media.get_element()
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, resize, element)

    factory.connect("media-configure", configured)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("audio", choices=[*SOUND, "none", "alone"])
    parser.add_argument("--login", nargs=2, metavar=("USER", "PASSWORD"))
    parser.add_argument("--clip", metavar="FILE")
    parser.add_argument("--udp", action="store_true", help="refuse TCP")
    parser.add_argument("--port", default="0")
    parser.add_argument("--path", default="/camera")
    options = parser.parse_args()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until there is a picture whose size can change
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(options.audio, options.clip))
    factory.set_shared(True)
    if options.udp:
        factory.set_shared(False)  # a shared medium is not ready at once for a client that comes back with UDP
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    if not options.clip:
        resize_on_signal(factory)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.login:
        require_login(server, factory, *options.login)
    server.get_mount_points().add_factory(options.path, factory)
    if not server.attach(None):
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
