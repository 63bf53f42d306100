"""The programs that capture a microphone and list the microphones through PortAudio, in processes of their own.

PortAudio knows only the devices that were present when it was initialised. It has one state for the whole process.
It hangs when the sound server hangs. A process of its own can be killed then.
"""

import json
import os
import time
from collections.abc import Sequence
from threading import Event
from typing import Any

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child_main import Failed, RecordSender
from daemon.sources.capture.messages import MAX_SAMPLES, SoundChunk
from daemon.sources.capture.sound_system import ServerSource, SoundServer, jack_locks_watched, sound_server

CHUNKS_PER_S = 50

# The maximum time between the first sample of a chunk and its callback. A device that reports more has no usable clock.
MAX_AGE_NS = 2 * NS_PER_S

# ALSA's name for the device of the sound server.
SERVER_DEVICE = "pulse"

# Marks the name of a source of the sound server in config.yaml.
SERVER_PREFIX = "pulse:"

# Open at least two channels where they exist. For one channel, sound servers mix both channels of a stereo source.
MIN_CHANNELS = 2

# Use another channel after a second of digital silence.
SILENT_CHUNKS = CHUNKS_PER_S

RETRY_S = 0.9

# How often the source that the sound server gives this process is checked.
CHECK_SOURCE_S = 0.5


def capture_microphone(address: str, settings: str) -> None:
    """Send sound to the inlet at `address` until killed. Raises Failed when the microphone is missing, or ends.

    `settings` is JSON with `device` (null: the default of the system), `channel`, `sample_rate_hz` and `patience_s`.
    `channel` counts from 0 (null: the first channel with sound). `sample_rate_hz` is used where the device supports it.
    A missing microphone is looked for again for `patience_s`.
    """
    requested = json.loads(settings)
    device, source_name = requested["device"], None
    if isinstance(device, str) and device.startswith(SERVER_PREFIX):
        device, source_name = SERVER_DEVICE, device.removeprefix(SERVER_PREFIX)
    outlet = RecordSender(address)
    deadline = time.monotonic() + requested["patience_s"]
    is_open = False
    while not is_open:
        library = _portaudio()
        try:
            if source_name is not None:
                _select_source(source_name)
            stream = _InputStream(library, device, outlet, requested["channel"], requested["sample_rate_hz"])
            with sound_server() as server:
                initial = _initial_source(server, source_name)
                is_open = True
                stream.may_send.set()
                _wait_for_end(server, initial, stream.has_ended)
        except Failed:
            if is_open or time.monotonic() >= deadline:
                raise
            library._terminate()  # closes the stream, and forgets the devices that it knew
            time.sleep(RETRY_S)
            with jack_locks_watched():
                library._initialize()
    raise Failed("the sound system has ended the stream")


def print_microphones() -> None:
    """Write the microphones of this machine to standard output as JSON. Raises Failed without a sound system."""
    found = _microphones(_portaudio())
    with sound_server() as server:
        sources = [source for source in server.sources() if not source.is_monitor] if server else []
        default = server.default_source if server else None
    found += [
        {
            "device": SERVER_PREFIX + source.name,
            "number": None,
            "channels": source.channels,
            "sample_rate_hz": source.sample_rate_hz,
            "name": source.description,
            "is_default": source.name == default,
        }
        for source in sources
    ]
    print(json.dumps(found))  # noqa: T201  (the parent reads it)


class ChannelSelection:
    """Selects a channel by which channels are digital silence, chunk by chunk.

    It leaves `channel` after `patience` silent chunks, if another channel has sound.
    One of two microphones of a stereo pair may be missing.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._silent_chunks = 0
        self.channel = 0

    def select(self, silent: Sequence[bool]) -> int:
        """Return the channel to use for a chunk. `silent` says for each channel whether it is silent."""
        self._silent_chunks = self._silent_chunks + 1 if silent[self.channel] else 0
        if self._silent_chunks >= self._patience and not all(silent):
            self.channel, self._silent_chunks = silent.index(False), 0
        return self.channel


class _InputStream:
    """An open stream of PortAudio. Its sound goes to the outlet once `may_send` is set."""

    def __init__(
        self, library: Any, device: int | str | None, outlet: RecordSender, channel: int | None, requested_rate_hz: int
    ) -> None:
        """Open the device and wait for the first sound. Raises Failed when the device does not open."""
        self.may_send, self.has_ended = Event(), Event()
        self._has_begun = Event()
        self._outlet = outlet
        self._channel = channel
        self._selection = ChannelSelection(SILENT_CHUNKS)
        self._rate_hz, self._channels = _format(library, device, channel, requested_rate_hz)
        try:
            self._stream = library.RawInputStream(
                samplerate=self._rate_hz,
                channels=self._channels,
                dtype="float32",
                blocksize=min(self._rate_hz // CHUNKS_PER_S, MAX_SAMPLES),
                device=device,
                callback=self._receive,
                finished_callback=self._end,
            )
            self._stream.start()
        except library.PortAudioError as error:
            raise Failed(str(error)) from error
        # before the first sound the sound server may not have given this process any source
        self._has_begun.wait()

    def _end(self) -> None:
        self.has_ended.set()
        self._has_begun.set()

    def _receive(self, sound: Any, count: int, times: Any, status: Any) -> None:
        """Take a chunk on PortAudio's thread: float32, the channels interleaved."""
        self._has_begun.set()
        if not self.may_send.is_set():
            return
        # each device has its own clock, so only the difference of its times is used
        age_ns = round((times.currentTime - times.inputBufferAdcTime) * NS_PER_S)
        length_ns = count * NS_PER_S // self._rate_hz
        if not length_ns < age_ns < MAX_AGE_NS:
            age_ns = length_ns
        start_ns = monotonic_ns() - age_ns
        channel, samples = self._samples_of_channel(memoryview(sound).cast("B").cast("f"))
        self._outlet.send(SoundChunk(samples, start_ns, self._rate_hz, int(status.input_overflow), channel).pack())

    def _samples_of_channel(self, interleaved: "memoryview[float]") -> tuple[int, bytes]:
        if self._channel is not None:
            return self._channel, interleaved[self._channel :: self._channels].tobytes()
        parts = [interleaved[n :: self._channels].tobytes() for n in range(min(MIN_CHANNELS, self._channels))]
        channel = self._selection.select([part.count(0) == len(part) for part in parts])
        return channel, parts[channel]


def _select_source(name: str) -> None:
    """Make the sound server give this process the named source. Raises Failed when the server does not have it."""
    with sound_server() as server:
        if server is None:
            raise Failed("there is no sound server")
        present = [source.name for source in server.sources()]
    if name not in present:
        raise Failed(f"not found; sources of the sound server: {', '.join(present) or 'none'}")
    os.environ["PULSE_SOURCE"] = name


def _initial_source(server: SoundServer | None, name: str | None) -> ServerSource | None:
    """Return the source that the sound server gives this process, or None if the server gives none.

    Raises Failed when it is another source than the named one, or a monitor that was not named.
    """
    source = server.current_source() if server else None
    if source is None:
        return None
    if name not in (None, source.name):
        raise Failed(f"the sound server has replaced {name} by {source.name}")
    if source.is_monitor and name is None:
        raise Failed(f"no microphone: the sound server offers only the sound that this machine plays ({source.name})")
    return source


def _wait_for_end(server: SoundServer | None, initial: ServerSource | None, has_ended: Event) -> None:
    """Wait for the end of the stream. Raises Failed when the sound server gives this process another source."""
    if server is None or initial is None:
        has_ended.wait()
        return
    while not has_ended.wait(CHECK_SOURCE_S):
        source = server.current_source()
        if source is None:
            raise Failed(f"the sound server has removed {initial.name}")
        if source.name != initial.name:
            raise Failed(f"the sound server has replaced {initial.name} by {source.name}")


def _portaudio() -> Any:
    try:
        with jack_locks_watched():
            import sounddevice as library  # its import calls the sound server
    except OSError as error:
        raise Failed(str(error)) from error
    return library


def _microphones(library: Any) -> list[dict[str, object]]:
    default = library.default.device[0]
    return [
        {
            "device": device["name"],
            "number": number,
            "channels": device["max_input_channels"],
            "sample_rate_hz": int(device["default_samplerate"]),
            "name": device["name"],
            "is_default": number == default,
        }
        for number, device in enumerate(library.query_devices())
        if device["max_input_channels"] > 0
    ]


def _format(library: Any, device: int | str | None, channel: int | None, requested_rate_hz: int) -> tuple[int, int]:
    """Return sample rate and number of channels to open with. Raises Failed without the device or the channel.

    The requested rate is used where the device supports it, else the default rate of the device.
    """
    try:
        found = library.query_devices(device, "input")
    except (ValueError, library.PortAudioError) as error:
        present = ", ".join(str(microphone["device"]) for microphone in _microphones(library))
        raise Failed(f"not found; microphones here: {present or 'none'}") from error
    max_channels, default_rate_hz = int(found["max_input_channels"]), int(found["default_samplerate"])
    if channel is not None and channel >= max_channels:
        raise Failed(f"channel {channel + 1} is configured, but the device has {max_channels}")
    min_channels = min(max(MIN_CHANNELS, (channel or 0) + 1), max_channels)
    for channels in (min_channels, max_channels):
        for rate_hz in (requested_rate_hz, default_rate_hz):
            try:
                library.check_input_settings(device, channels, "float32", samplerate=rate_hz)
            except library.PortAudioError:
                continue
            return rate_hz, channels
    return default_rate_hz, max_channels
