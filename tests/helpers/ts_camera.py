"""A camera that streams MPEG-TS over HTTP in real time, with any distance between key pictures."""

import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from tests.helpers.serving import serving


@lru_cache
def ts_parts(pictures: int, fps: Fraction, distance: int) -> list[bytes]:
    """Return the bytes of each picture of a stream, with a key picture at every `distance` pictures."""
    random, parts, out = np.random.default_rng(1), [], io.BytesIO()
    with av.open(out, "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"keyint={distance}:min-keyint={distance}:scenecut=0:repeat-headers=1",
        }
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (120, 160, 3), dtype=np.uint8), format="bgr24")
            frame.pts = number
            container.mux(video.encode(frame))
            parts.append(out.getvalue()[sum(map(len, parts)) :])
    return parts


@dataclass
class TsCamera:
    """The URL, and the number of pictures sent to each client."""

    url: str = ""
    sent: list[int] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        """The number of pictures sent to the latest client."""
        return self.sent[-1]


@contextmanager
def ts_camera(*, fps: Fraction, distance: int, first: int = 0, pictures: int = 100) -> Iterator[TsCamera]:
    """Serve during the block. A client joins at picture `first` of the stream."""
    camera = TsCamera()
    parts = ts_parts(pictures, fps, distance)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            client = len(camera.sent)
            camera.sent.append(0)
            began = time.monotonic()
            for number, part in enumerate(parts[first:]):
                if gone.wait(max(0.0, began + number / float(fps) - time.monotonic())):
                    return
                try:
                    camera.sent[client] += 1
                    self.wfile.write(part)
                except OSError:
                    return  # the client has gone

    gone = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    camera.url = f"http://127.0.0.1:{server.server_address[1]}/stream.ts"
    with serving(server):
        try:
            yield camera
        finally:
            gone.set()
