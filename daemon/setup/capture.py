"""Captures from one camera or microphone for a moment, by the sources that a node uses."""

import threading
from collections import deque
from types import TracebackType

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig, TextConfig
from daemon.core.errors import PerceptdError
from daemon.core.ports import Source
from daemon.core.records import MODALITIES, Captured, Counters
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.setup.found import SearchFailed
from daemon.sources.factory import build_sources

# five seconds of sound in blocks of 20 ms; pictures beyond the latest are not used
MAX_WAITING = 256

# a source checks at least this often whether it is to end, but for a network camera that sends nothing yet
CLOSE_S = 5.0


def source_of(camera: CameraConfig | None, microphone: MicrophoneConfig | None, sample_rate_hz: int | None) -> Source:
    """Return the source that delivers pictures of the camera, or the sound of the microphone with `sample_rate_hz`.

    A microphone `camera` is the sound of the camera.
    """
    stream = StreamConfig(camera=camera, microphone=microphone, text=TextConfig(enabled=False))
    counters = {modality: Counters() for modality in MODALITIES}
    sources = build_sources(
        stream, sample_rate_hz=sample_rate_hz, picture=sample_rate_hz is None, counters=counters, at_once=False
    )
    return sources["microphone" if microphone is not None and microphone.device != "camera" else "camera"]


class Capture:
    """Runs one source in a thread of its own, until it is closed. A context manager.

    What is not taken in time is displaced by what comes later.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._waiting: deque[Captured] = deque(maxlen=MAX_WAITING)
        self._problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="setup-capture", daemon=True)

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(CLOSE_S)  # one that hangs in its system is left behind

    def forget(self) -> None:
        """Drop what waits: it was captured before."""
        with self._changed:
            self._waiting.clear()

    def take(self, timeout_s: float) -> Captured | None:
        """Return the oldest thing that waits, or the next one that is captured in time; None: nothing came.

        Raises SearchFailed when the source has ended, with what it said.
        """
        deadline_ns = monotonic_ns() + round(timeout_s * NS_PER_S)
        with self._changed:
            while not self._waiting and self._problem is None and (rest_s := seconds_until(deadline_ns)):
                self._changed.wait(rest_s)
            if self._waiting:
                return self._waiting.popleft()
            if self._problem is not None:
                raise SearchFailed(self._problem)
            return None

    def _run(self) -> None:
        problem = "ended without an error"
        try:
            self._source.run(self._deliver, self._stop)
        except PerceptdError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  (a bug in a source ends a test of it, and not setup)
            problem = f"{type(error).__name__}: {error}"
        with self._changed:
            self._problem = problem
            self._changed.notify()

    def _deliver(self, captured: Captured) -> None:
        with self._changed:
            self._waiting.append(captured)
            self._changed.notify()
