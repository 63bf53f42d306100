"""Captures a microphone through PortAudio, in a process of its own: the one door to sounddevice.

PortAudio knows the devices that were there when it was initialised, has one state for the whole process, and hangs with
the sound server. A new process for every attempt answers all three.
"""

import json
from collections.abc import Mapping
from threading import Event
from typing import Any

from daemon.children.pieces import MOST_SAMPLES, Piece
from daemon.clock import NS_PER_S, monotonic_ns
from daemon.runtime.inside import Failed, RecordOutlet

PIECES_PER_S = 50

LONGEST_AGE_NS = 2 * NS_PER_S
"""Between a piece's first sample and its callback; a device that claims more, or less than the piece is long, has no
usable clock."""


def listen(address: str, settings: str) -> None:
    """Send pieces of sound to the inlet until killed. Raises Failed when the microphone is missing, or ends.

    `settings` is JSON: `device` (null: the system's default), `channel` (from 0), `sample_rate_hz` (the wanted one).
    """
    outlet = RecordOutlet(address)
    wanted = json.loads(settings)
    library = _portaudio()
    device, channel = wanted["device"], wanted["channel"]
    rate_hz, channels = _formats(library, device, channel, wanted["sample_rate_hz"])
    has_ended = Event()
    try:
        stream = library.RawInputStream(
            samplerate=rate_hz,
            channels=channels,
            dtype="float32",
            blocksize=min(rate_hz // PIECES_PER_S, MOST_SAMPLES),
            device=device,
            callback=_Callback(outlet, channel, channels, rate_hz),
            finished_callback=has_ended.set,
        )
        stream.start()
    except library.PortAudioError as error:
        raise Failed(str(error)) from error
    has_ended.wait()
    raise Failed("the sound system has ended the stream")


def describe() -> None:
    """Write the microphones there are to standard output, as JSON. Raises Failed without a sound system."""
    print(json.dumps(_microphones(_portaudio())))  # noqa: T201  (the parent reads it)


def _portaudio() -> Any:
    try:
        import sounddevice as library  # it asks the sound server while it is imported
    except OSError as error:
        raise Failed(str(error)) from error
    return library


def _microphones(library: Any) -> list[Mapping[str, object]]:
    return [
        {
            "device": device["name"],
            "number": number,
            "channels": device["max_input_channels"],
            "sample_rate_hz": int(device["default_samplerate"]),
        }
        for number, device in enumerate(library.query_devices())
        if device["max_input_channels"] > 0
    ]


def _formats(library: Any, device: int | str | None, channel: int, wanted_rate_hz: int) -> tuple[int, int]:
    """The sample rate and number of channels to open with: what is wanted, or else what the device has."""
    try:
        found = library.query_devices(device, "input")
    except (ValueError, library.PortAudioError) as error:
        present = ", ".join(str(microphone["device"]) for microphone in _microphones(library))
        raise Failed(f"not there; microphones here: {present or 'none'}") from error
    most, own_rate_hz = int(found["max_input_channels"]), int(found["default_samplerate"])
    if channel >= most:
        raise Failed(f"channel {channel + 1} is asked for; it has {most}")
    for channels in (channel + 1, most):
        for rate_hz in (wanted_rate_hz, own_rate_hz):
            try:
                library.check_input_settings(device, channels, "float32", samplerate=rate_hz)
            except library.PortAudioError:
                continue
            return rate_hz, channels
    return own_rate_hz, most


class _Callback:
    """What PortAudio calls, on its own thread, with every piece of sound: float32, the channels interleaved."""

    def __init__(self, outlet: RecordOutlet, channel: int, channels: int, rate_hz: int) -> None:
        self._outlet = outlet
        self._channel = channel
        self._channels = channels
        self._rate_hz = rate_hz

    def __call__(self, sound: Any, count: int, times: Any, status: Any) -> None:
        # which clock the device's times are on differs by device: only their difference is used
        age_ns = round((times.currentTime - times.inputBufferAdcTime) * NS_PER_S)
        length_ns = count * NS_PER_S // self._rate_hz
        if not length_ns < age_ns < LONGEST_AGE_NS:
            age_ns = length_ns
        start_ns = monotonic_ns() - age_ns
        samples = memoryview(sound).cast("B").cast("f")[self._channel :: self._channels].tobytes()
        self._outlet.send(Piece(samples, start_ns, self._rate_hz, int(status.input_overflow)).pack())
