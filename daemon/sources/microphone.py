"""A microphone through PortAudio: the one door to sounddevice."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from daemon.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.errors import SourceError
from daemon.ports import Deliver
from daemon.records import Array, Counters, Modality
from daemon.sources.deadline import call_within
from daemon.sources.sound import BLOCKS_PER_S, BlockCutter

log = logging.getLogger(__name__)

SILENT_S = 3.0
"""A sound server that is frozen, or has suspended the microphone, says nothing: only the callbacks stay away."""

OPEN_DEADLINE_S = 5.0
CLOSE_DEADLINE_S = 1.5
"""Opening and closing hang while the sound server is frozen."""

WAITING_PIECES = 5 * BLOCKS_PER_S
"""Five seconds of sound may wait between PortAudio's thread and ours."""

LONGEST_AGE_NS = 2 * NS_PER_S
"""Between a piece's first sample and its callback; a device that claims more, or less than the piece is long, has no
usable clock."""

TOLERANCE_NS = 50 * NS_PER_MS
"""The times that sound servers report jitter by tens of milliseconds; a real loss is told by more than this."""


@dataclass(frozen=True)
class MicrophoneDevice:
    """A microphone: the name or number that config.yaml takes, its channels, and the rate it runs at by itself."""

    device: str
    number: int
    channels: int
    sample_rate_hz: int

    def __str__(self) -> str:
        return f"{self.device}  (number {self.number}: {self.channels} channels, {self.sample_rate_hz} Hz)"


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one callback brought; `lost` counts the callbacks before it whose samples are missing."""

    samples: Array
    start_ns: int
    lost: int


class _PortAudio:
    """What all microphones of the process share: PortAudio has one state, and no two calls may change it at once.

    It knows the devices that were there when it was initialised, so a microphone that failed asks for a fresh start;
    since that closes every stream of the process, it is made only while none is open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_streams = 0
        self._is_stale = False

    def opened(self, make: Callable[[Any], Any]) -> Any:
        """The started stream that `make` builds from the library."""
        with self._lock:
            library = self._fresh()
            stream = make(library)
            try:
                stream.start()
            except library.PortAudioError:
                stream.close()
                raise
            self._open_streams += 1
            return stream

    def closed(self, stream: Any) -> None:
        """Close a stream; what it has not given yet is thrown away."""
        with self._lock:
            try:
                stream.abort()
                stream.close()
            finally:
                self._open_streams -= 1

    def devices(self) -> list[dict[str, Any]]:
        """What the library knows."""
        with self._lock:
            return list(self._fresh().query_devices())

    def distrust(self) -> None:
        """Something failed: start afresh before the next microphone is opened."""
        self._is_stale = True

    def _fresh(self) -> Any:
        # imported here: it takes 21 MB and asks the sound server, which a node without a microphone need not
        import sounddevice as library

        if self._is_stale and self._open_streams == 0:
            library._terminate()
            library._initialize()
            self._is_stale = False
        return library


_PORTAUDIO = _PortAudio()


class Microphone:
    """Delivers blocks of 20 ms from one channel of a sound device, stamped with the time the device reports."""

    def __init__(
        self, device: int | str, channel: int, sample_rate_hz: int, counters: Mapping[Modality, Counters]
    ) -> None:
        """`channel` counts from 0; device "default" is the one the system prefers."""
        self._device = None if device == "default" else device
        self._label = f"microphone {device}"
        self._channel = channel
        self._sample_rate_hz = sample_rate_hz
        self._counters = counters

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the microphone is missing, ends or falls silent."""
        pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        try:
            stream = self._opened(pieces)
            try:
                self._pump(pieces, int(stream.samplerate), deliver, stop)
            finally:
                self._close(stream)
        except SourceError:
            _PORTAUDIO.distrust()
            raise

    def _opened(self, pieces: "SimpleQueue[_Piece | None]") -> Any:
        def make(library: Any) -> Any:
            rate_hz, channels = self._settings(library)
            return library.InputStream(
                samplerate=rate_hz,
                channels=channels,
                dtype="float32",
                blocksize=rate_hz // BLOCKS_PER_S,
                device=self._device,
                callback=_Callback(pieces, self._channel, rate_hz),
                finished_callback=lambda: pieces.put(None),
            )

        return call_within(OPEN_DEADLINE_S, self._label, lambda: _PORTAUDIO.opened(make), undo=_PORTAUDIO.closed)

    def _close(self, stream: Any) -> None:
        try:
            call_within(CLOSE_DEADLINE_S, self._label, lambda: _PORTAUDIO.closed(stream))
        except SourceError as error:
            log.warning("%s; left behind", error)

    def _settings(self, library: Any) -> tuple[int, int]:
        """The sample rate and number of channels to open with: what is wanted, or else what the device has."""
        try:
            device = library.query_devices(self._device, "input")
        except (ValueError, library.PortAudioError) as error:
            present = ", ".join(microphone.device for microphone in _microphones(list(library.query_devices())))
            raise SourceError(f"{self._label}: not there; microphones here: {present or 'none'}") from error
        most, own_rate_hz = int(device["max_input_channels"]), int(device["default_samplerate"])
        if self._channel >= most:
            raise SourceError(f"{self._label}: channel {self._channel + 1} is asked for; it has {most}")
        for channels in (self._channel + 1, most):
            for rate_hz in (self._sample_rate_hz, own_rate_hz):
                try:
                    library.check_input_settings(self._device, channels, "float32", samplerate=rate_hz)
                except library.PortAudioError:
                    continue
                return rate_hz, channels
        return own_rate_hz, most

    def _pump(self, pieces: "SimpleQueue[_Piece | None]", rate_hz: int, deliver: Deliver, stop: Event) -> None:
        cutter = BlockCutter(self._sample_rate_hz, TOLERANCE_NS)
        while not stop.is_set():
            try:
                piece = pieces.get(timeout=SILENT_S)
            except Empty:
                raise SourceError(f"{self._label}: no sound for {SILENT_S:g} s") from None
            if piece is None:
                raise SourceError(f"{self._label}: the sound system has ended the stream")
            blocks = []
            if piece.lost:
                self._counters["audio"].drop("overflow", piece.lost)
                blocks = cutter.end_run()
            for block in blocks + cutter.push(piece.samples, rate_hz, piece.start_ns):
                deliver(block)


class _Callback:
    """What PortAudio calls, on its own thread, with every 20 ms of sound."""

    def __init__(self, pieces: "SimpleQueue[_Piece | None]", channel: int, rate_hz: int) -> None:
        self._pieces = pieces
        self._channel = channel
        self._rate_hz = rate_hz
        self._lost = 0

    def __call__(self, samples: Any, count: int, times: Any, status: Any) -> None:
        # which clock the device's times are on differs by device: only their difference is used
        age_ns = round((times.currentTime - times.inputBufferAdcTime) * NS_PER_S)
        length_ns = count * NS_PER_S // self._rate_hz
        if not length_ns < age_ns < LONGEST_AGE_NS:
            age_ns = length_ns
        start_ns = monotonic_ns() - age_ns
        self._lost += bool(status.input_overflow)
        if self._pieces.qsize() >= WAITING_PIECES:
            self._lost += 1
            return
        self._pieces.put(_Piece(samples[:, self._channel].copy(), start_ns, self._lost))
        self._lost = 0


def _microphones(devices: list[dict[str, Any]]) -> list[MicrophoneDevice]:
    return [
        MicrophoneDevice(device["name"], number, device["max_input_channels"], int(device["default_samplerate"]))
        for number, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def list_microphones() -> list[MicrophoneDevice]:
    """The microphones of this machine. Raises SourceError when the sound system cannot be asked."""
    return _microphones(call_within(OPEN_DEADLINE_S, "microphones", _PORTAUDIO.devices))
