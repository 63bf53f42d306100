"""Captures a microphone through PortAudio, in a process of its own: the one door to sounddevice.

PortAudio knows the devices that were there when it was initialised, has one state for the whole process, and hangs with
the sound server. A process that is killed when it hangs answers all three; one that waits for a missing microphone
initialises PortAudio anew for every look.
"""

import json
import os
import time
from collections.abc import Sequence
from threading import Event
from typing import Any

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child_main import Failed, RecordSender
from daemon.sources.capture.messages import MOST_SAMPLES, Piece
from daemon.sources.capture.sound_system import ServedSource, SoundServer, locks_watched, sound_server


class ChannelChoice:
    """Follows which channels are digital silence, piece by piece.

    The channel in use is left once it has been silent for `patience` pieces while another carries sound: one of two
    microphones of a stereo pair may not be there.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._silent_for = 0
        self.used = 0

    def choose(self, silent: Sequence[bool]) -> int:
        """The channel to take of a piece, by which of its channels are silent in it."""
        self._silent_for = self._silent_for + 1 if silent[self.used] else 0
        if self._silent_for >= self._patience and not all(silent):
            self.used, self._silent_for = silent.index(False), 0
        return self.used


PIECES_PER_S = 50

LONGEST_AGE_NS = 2 * NS_PER_S
"""Between a piece's first sample and its callback; a device that claims more, or less than the piece is long, has no
usable clock."""

SERVED = "pulse:"
"""Before the name of a source of the sound server; what ALSA calls the server's own device is `pulse`."""

FEW_CHANNELS = 2
"""So many are opened where there are: of a stereo source opened with one, sound servers give the mean of both."""

SILENT_PIECES = PIECES_PER_S
"""A channel is left after a second of digital silence."""

RETRY_S = 0.9
"""How often a missing microphone is looked for."""

LOOK_S = 0.5
"""How often we look which source the sound server gives us."""


def listen(address: str, settings: str) -> None:
    """Send pieces of sound to the inlet until killed. Raises Failed when the microphone is missing, or ends.

    `settings` is JSON: `device` (null: the system's default), `channel` (from 0; null: the first that carries sound),
    `sample_rate_hz` (the wanted one), `patience_s` (for so long a missing microphone is looked for again).
    """
    wanted = json.loads(settings)
    device = wanted["device"]
    named = device.removeprefix(SERVED) if isinstance(device, str) and device.startswith(SERVED) else None
    listener = _Listener(RecordSender(address), wanted["channel"], wanted["sample_rate_hz"])
    deadline = time.monotonic() + wanted["patience_s"]
    while True:
        library = _portaudio()
        try:
            if named is not None:
                _ask_for(named)
            listener.open(library, SERVED.removesuffix(":") if named is not None else device)
            with sound_server() as server:
                first = _first_source(server, named)
                listener.passes.set()
                _stay_with(server, first, listener.has_ended)
            break
        except Failed:
            if listener.passes.is_set() or time.monotonic() >= deadline:
                raise
        # it knows the devices that were there when it was initialised; what is open it closes
        library._terminate()
        time.sleep(RETRY_S)
        with locks_watched():
            library._initialize()
    raise Failed("the sound system has ended the stream")


class _Listener:
    """A stream to be opened, whose pieces go to the outlet."""

    def __init__(self, outlet: RecordSender, channel: int | None, wanted_rate_hz: int) -> None:
        self._outlet = outlet
        self._channel = channel
        self._wanted_rate_hz = wanted_rate_hz
        self.passes = Event()
        """Set once the sound is known to be that of the wanted source; until then none is sent."""

    def open(self, library: Any, device: int | str | None) -> None:
        """Open, and wait for the first sound: before it comes, the sound server may not have given us any source.

        Raises Failed when the microphone does not open.
        """
        self.has_ended, has_begun = Event(), Event()
        rate_hz, channels = _formats(library, device, self._channel, self._wanted_rate_hz)
        callback = _Callback(self._outlet, self._channel, channels, rate_hz, has_begun, self.passes)

        def end() -> None:
            self.has_ended.set()
            has_begun.set()

        try:
            self._stream = library.RawInputStream(
                samplerate=rate_hz,
                channels=channels,
                dtype="float32",
                blocksize=min(rate_hz // PIECES_PER_S, MOST_SAMPLES),
                device=device,
                callback=callback,
                finished_callback=end,
            )
            self._stream.start()
        except library.PortAudioError as error:
            raise Failed(str(error)) from error
        has_begun.wait()


def _ask_for(named: str) -> None:
    """Let the sound server give us the source of this name. Raises Failed when it has none."""
    with sound_server() as server:
        if server is None:
            raise Failed("there is no sound server")
        present = [source.name for source in server.sources()]
    if named not in present:
        raise Failed(f"not there; sources of the sound server: {', '.join(present) or 'none'}")
    os.environ["PULSE_SOURCE"] = named


def _first_source(server: SoundServer | None, named: str | None) -> ServedSource | None:
    """What the sound server gives us; None: this device is none of its own. Raises Failed when it is not as wanted."""
    first = server.ours() if server else None
    if first is None:
        return None
    if named not in (None, first.name):
        raise Failed(f"the sound server has put {first.name} in the place of {named}")
    if first.is_monitor and named is None:
        raise Failed(f"no microphone: the sound server offers only what this machine plays ({first.name})")
    return first


def _stay_with(server: SoundServer | None, first: ServedSource | None, has_ended: Event) -> None:
    """Wait for the end of the stream. Raises Failed when the sound server hands over another source meanwhile."""
    if server is None or first is None:
        has_ended.wait()
        return
    while not has_ended.wait(LOOK_S):
        now = server.ours()
        if now is None or now.name != first.name:
            instead = f"has put {now.name} in the place of" if now else "has taken away"
            raise Failed(f"the sound server {instead} {first.name}")


def describe() -> None:
    """Write the microphones there are to standard output, as JSON. Raises Failed without a sound system."""
    found = _microphones(_portaudio())
    with sound_server() as server:
        served = [source for source in server.sources() if not source.is_monitor] if server else []
    found += [
        {
            "device": SERVED + source.name,
            "number": None,
            "channels": source.channels,
            "sample_rate_hz": source.sample_rate_hz,
        }
        for source in served
    ]
    print(json.dumps(found))  # noqa: T201  (the parent reads it)


def _portaudio() -> Any:
    try:
        with locks_watched():
            import sounddevice as library  # it asks the sound server while it is imported
    except OSError as error:
        raise Failed(str(error)) from error
    return library


def _microphones(library: Any) -> list[dict[str, object]]:
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


def _formats(library: Any, device: int | str | None, channel: int | None, wanted_rate_hz: int) -> tuple[int, int]:
    """The sample rate and number of channels to open with: what is wanted, or else what the device has."""
    try:
        found = library.query_devices(device, "input")
    except (ValueError, library.PortAudioError) as error:
        present = ", ".join(str(microphone["device"]) for microphone in _microphones(library))
        raise Failed(f"not there; microphones here: {present or 'none'}") from error
    most, own_rate_hz = int(found["max_input_channels"]), int(found["default_samplerate"])
    if channel is not None and channel >= most:
        raise Failed(f"channel {channel + 1} is asked for; it has {most}")
    fewest = min(max(FEW_CHANNELS, (channel or 0) + 1), most)
    for channels in (fewest, most):
        for rate_hz in (wanted_rate_hz, own_rate_hz):
            try:
                library.check_input_settings(device, channels, "float32", samplerate=rate_hz)
            except library.PortAudioError:
                continue
            return rate_hz, channels
    return own_rate_hz, most


class _Callback:
    """What PortAudio calls, on its own thread, with every piece of sound: float32, the channels interleaved."""

    def __init__(
        self, outlet: RecordSender, channel: int | None, channels: int, rate_hz: int, has_begun: Event, passes: Event
    ) -> None:
        self._outlet = outlet
        self._has_begun = has_begun
        self._passes = passes
        self._channel = channel
        self._channels = channels
        self._rate_hz = rate_hz
        self._choice = ChannelChoice(SILENT_PIECES)

    def __call__(self, sound: Any, count: int, times: Any, status: Any) -> None:
        self._has_begun.set()
        if not self._passes.is_set():
            return
        # which clock the device's times are on differs by device: only their difference is used
        age_ns = round((times.currentTime - times.inputBufferAdcTime) * NS_PER_S)
        length_ns = count * NS_PER_S // self._rate_hz
        if not length_ns < age_ns < LONGEST_AGE_NS:
            age_ns = length_ns
        start_ns = monotonic_ns() - age_ns
        channel, samples = self._chosen(memoryview(sound).cast("B").cast("f"))
        self._outlet.send(Piece(samples, start_ns, self._rate_hz, int(status.input_overflow), channel).pack())

    def _chosen(self, interleaved: "memoryview[float]") -> tuple[int, bytes]:
        if self._channel is not None:
            return self._channel, interleaved[self._channel :: self._channels].tobytes()
        parts = [interleaved[n :: self._channels].tobytes() for n in range(min(FEW_CHANNELS, self._channels))]
        channel = self._choice.choose([part.count(0) == len(part) for part in parts])
        return channel, parts[channel]
