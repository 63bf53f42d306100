"""A node that watches one film through cameras of several kinds, and its page as a process, for a browser."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2

from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.drawn_signs import RATE_HZ, write_film
from tests.helpers.http_camera import Live, http_camera
from tests.helpers.mosquitto import Mosquitto, Subscriber
from tests.helpers.page_process import PageProcess
from tests.helpers.pupil import Pupil
from tests.helpers.rtsp_mounts import PICTURES, RtspServer, rtsp_servers, sound

PASSWORD = "correct horse battery"

# streams by what their camera sends; the recording is that of `wall`
CAMERAS = ("h264", "h265", "mjpeg")
WALL = "wall"

# The sign is shown so long, because on a busy machine a press of a button in a browser may take seconds.
SIGN_S = 8.0


@dataclass(frozen=True)
class House:
    """The node `house` and its page. `pupil` hears what the node publishes."""

    daemon: DaemonProcess
    page: PageProcess
    pupil: Pupil

    @property
    def url(self) -> str:
        return self.page.url


class Film:
    """A film of digits and of a sign on a wall, as a recording and as pictures."""

    def __init__(self, directory: Path, periods: int) -> None:
        self.path = directory / "film.mp4"
        self._pictures = directory / "pictures"
        self._pictures.mkdir()
        write_film(self.path, periods, SIGN_S)
        with av.open(str(self.path)) as container:
            for self._last, frame in enumerate(container.decode(video=0)):
                name = str(self._pictures / f"{self._last:04d}.jpg")
                cv2.imwrite(name, frame.to_ndarray(format="bgr24"))

    def mount(self, codec: str) -> str:
        """Return the pipeline of an RTSP camera that shows the film again and again, and gives a tone."""
        files = f"location={self._pictures}/%04d.jpg stop-index={self._last} loop=true"
        source = f"multifilesrc {files} caps=image/jpeg,framerate={RATE_HZ}/1 ! identity sync=true ! jpegdec"
        raw = "videoconvert ! video/x-raw,format=I420,colorimetry=bt601"
        return f"{source} ! {raw} ! {PICTURES[codec]} name=pay0 {sound('aac')}"

    def mjpeg(self) -> Live:
        """Return what an MJPEG camera sends that shows the film again and again, to each who asks."""
        return Live("multipart/x-mixed-replace; boundary=picture", self)

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        for number in itertools.count():
            data = (self._pictures / f"{number % (self._last + 1):04d}.jpg").read_bytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            yield number / RATE_HZ, head + data + b"\r\n"


@contextmanager
def houses(directory: Path, periods: int, cameras: Sequence[str] = ()) -> Iterator[House]:
    """Run the node and its page during the block. `cameras` are some of CAMERAS, beside the recording."""
    film = Film(directory, periods)
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        streams: dict[str, object] = {
            WALL: {"name": "The wall", "area": "Hall", "replay": {"file": str(film.path)}, "text": {"enabled": True}}
        }
        codecs = [each for each in cameras if each != "mjpeg"]
        if codecs:
            mounts = {f"/{codec}": film.mount(codec) for codec in codecs}
            (port,) = stack.enter_context(rtsp_servers(RtspServer(mounts)))
            for codec in codecs:
                streams[codec] = {"camera": f"rtsp://127.0.0.1:{port}/{codec}", "microphone": "camera"}
        if "mjpeg" in cameras:
            address = stack.enter_context(http_camera({"/live": film.mjpeg()}))
            streams["mjpeg"] = {"camera": f"http://{address}/live"}
        config = {
            "node": "house",
            "bundle": str(ROOT / "models" / "digits"),
            "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
            "health": {"every_s": 1},
            "history": {"before_s": 1, "after_s": 1},
            "streams": streams,
        }
        subscriber = stack.enter_context(Subscriber(broker, "perceptd/house/#"))
        daemon = stack.enter_context(DaemonProcess(config, directory))
        page = stack.enter_context(PageProcess(daemon.config_path, directory))
        yield House(daemon, page, Pupil(subscriber, broker, "house"))
