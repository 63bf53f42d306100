"""An RTSP camera with a still picture, whose sound standard input directs. Run it with /usr/bin/python3.

It prints its port when it listens. Lines of standard input:
  loop FILE   play a file again and again from now on; `loop` alone is silence
  once FILE   play a file now, then go on with the loop; prints `played` when it is over
A file has samples of 16 bits, mono, at RATE_HZ.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402
from rtsp_login import require_login  # noqa: E402

RATE_HZ, BLOCK_S = 16_000, 0.02
BLOCK_BYTES = round(RATE_HZ * BLOCK_S) * 2
PICTURE = (
    "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,format=I420,width=640,height=480,framerate=10/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 threads=1"
    " ! rtph264pay config-interval=1 name=pay0 pt=96"
)
SOUND = (
    f"appsrc name=sound is-live=true format=time caps=audio/x-raw,format=S16LE,rate={RATE_HZ},channels=1,"
    "layout=interleaved ! queue ! audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97"
)


class Loudspeaker:
    """Gives the sound to whatever pipeline serves it. Without a client nobody hears it, and it plays all the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Gst.Element | None = None
        self._start_ns: int | None = None
        self._blocks = 0
        self._loop, self._at, self._once = b"", 0, b""

    def configured(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        """Play into this pipeline from now on."""
        with self._lock:
            self._source, self._start_ns = media.get_element().get_by_name("sound"), None

    def obey(self) -> None:
        """Obey the lines of standard input to its end."""
        for line in sys.stdin:
            command, _, file = line.strip().partition(" ")
            samples = Path(file).read_bytes() if file else b""
            with self._lock:
                if command == "once":
                    self._once = samples
                else:
                    self._loop, self._at = samples, 0

    def play(self) -> None:
        """Play one block after the other, for ever."""
        next_s = time.monotonic()
        while True:
            with self._lock:
                self._push(self._next_block())
            next_s += BLOCK_S
            time.sleep(max(0.0, next_s - time.monotonic()))

    def _next_block(self) -> bytes:
        if self._once:
            block, self._once = self._once[:BLOCK_BYTES], self._once[BLOCK_BYTES:]
            if not self._once:
                print("played", flush=True)
        else:
            block = self._loop[self._at : self._at + BLOCK_BYTES]
            self._at = (self._at + BLOCK_BYTES) % max(1, len(self._loop))
        return block.ljust(BLOCK_BYTES, b"\0")

    def _push(self, block: bytes) -> None:
        clock = None if self._source is None else self._source.get_clock()
        if clock is None:
            return
        if self._start_ns is None:
            self._start_ns, self._blocks = clock.get_time() - self._source.get_base_time(), 0
        buffer = Gst.Buffer.new_wrapped(block)
        buffer.pts = self._start_ns + round(self._blocks * BLOCK_S * Gst.SECOND)
        buffer.duration = round(BLOCK_S * Gst.SECOND)
        self._blocks += 1
        self._source.emit("push-buffer", buffer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("user")
    parser.add_argument("password")
    options = parser.parse_args()
    Gst.init(None)
    speaker = Loudspeaker()
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURE} {SOUND} )")
    factory.set_shared(True)
    factory.connect("media-configure", speaker.configured)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    require_login(server, factory, options.user, options.password)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    for run in (speaker.obey, speaker.play):
        threading.Thread(target=run, daemon=True).start()
    GLib.MainLoop().run()


main()
