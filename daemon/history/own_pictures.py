"""Pictures that the node codes itself: of cameras that send none, and of streams that hide a part of their picture."""

from collections import deque

from daemon.core.errors import InputError
from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import Frame
from daemon.core.timing import Schedule
from daemon.history.snapshots import jpeg_of, narrow_size

PICTURES_HZ = 5.0

# So many frames wait until they are encoded: five seconds, while the disk holds up the thread that encodes them. Fewer
# of large ones, which have at most so many bytes, but one second in any case.
MAX_FRAMES = 25
MIN_FRAMES = 5
MAX_WAITING_BYTES = 16_000_000
PIXEL_BYTES = 3


class OwnPictures:
    """Frames that wait to be encoded, at most `PICTURES_HZ`. The owner's lock protects all methods but `encoded`.

    `dropped` counts by reason. busy: not encoded in time; corrupt: cannot be encoded.
    """

    def __init__(self) -> None:
        self.dropped = {"busy": 0, "corrupt": 0}
        self._frames: deque[Frame] = deque()
        self._schedule = Schedule(PICTURES_HZ)
        self._format: MediaFormat | None = None
        self._max_frames = MIN_FRAMES

    def add(self, frame: Frame) -> None:
        """Let a frame wait, or leave it out because it comes too soon."""
        if not self._schedule.passes(frame.captured_ns):
            return
        self._frames.append(frame)
        if len(self._frames) > self._max_frames:
            self._frames.popleft()
            self.dropped["busy"] += 1

    def pop(self) -> Frame | None:
        """Return the oldest frame that waits, None if none does."""
        return self._frames.popleft() if self._frames else None

    def clear(self) -> None:
        """Forget the frames that wait."""
        self._frames.clear()

    def encoded(self, frame: Frame) -> MediaPacket | None:
        """Return a frame as a packet, None if it cannot be encoded. Called by one thread at a time."""
        try:
            data, (width, height) = jpeg_of(frame), narrow_size(*frame.size)
            self._max_frames = _max_frames(*frame.size)
        except InputError:
            self.dropped["corrupt"] += 1
            return None
        if self._format is None or (self._format.width, self._format.height) != (width, height):
            self._format = MediaFormat("video", "mjpeg", width=width, height=height, is_own_picture=True)
        at_ns = frame.captured_ns
        return MediaPacket(self._format, data, at_ns, at_ns, at_ns, is_key=True)


def _max_frames(width: int, height: int) -> int:
    return max(MIN_FRAMES, min(MAX_FRAMES, MAX_WAITING_BYTES // (width * height * PIXEL_BYTES)))
