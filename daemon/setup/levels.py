"""How loud a microphone is, ten times a second, and whether somebody has clapped."""

from collections.abc import Iterator, Sequence
from statistics import median
from types import TracebackType

import numpy as np

from daemon.config.streams import CameraConfig, MicrophoneConfig
from daemon.core.records import Array, Block
from daemon.setup.capture import Capture, source_of
from daemon.setup.found import Level, SearchFailed

# any rate will do for a level; sources deliver this one from every device
SAMPLE_RATE_HZ = 16_000
LEVEL_SAMPLES = SAMPLE_RATE_HZ // 10

# the level of digital silence
SILENCE_DBFS = -100.0

# A microphone delivers within two seconds. A network camera says after 20 s that it sends nothing, and why.
NO_SOUND_S = 25.0

# A clap in a room is 20 to 40 dB above the room, and is gone after 0.3 s but for its echo.
CLAP_DB, CLAP_PEAK_DBFS, FADED_DB = 15.0, -45.0, 10.0
CLAP_LEVELS = 3


class LevelMeter:
    """The levels of a microphone, captured as the node does. A context manager."""

    def __init__(self, camera: CameraConfig | None, microphone: MicrophoneConfig) -> None:
        """A microphone `camera` is the sound of `camera`."""
        self._name = f"microphone {microphone.device}"
        self._capture = Capture(source_of(camera, microphone, SAMPLE_RATE_HZ))

    def __enter__(self) -> "LevelMeter":
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.__exit__(kind, error, trace)

    def levels(self) -> Iterator[Level]:
        """Yield the level of each tenth of a second from now on, without end.

        Raises SearchFailed when the microphone is missing, ends, or delivers nothing.
        """
        self._capture.forget()
        samples: list[Array] = []
        while True:
            block = self._capture.take(NO_SOUND_S)
            if block is None:
                raise SearchFailed(f"{self._name}: delivers no sound within {NO_SOUND_S:g} s")
            if isinstance(block, Block):
                samples.append(block.samples)
            if sum(map(len, samples)) >= LEVEL_SAMPLES:
                yield level_of(np.concatenate(samples))
                samples.clear()


def level_of(samples: Array) -> Level:
    """Return the level of samples in [-1, 1]."""
    square, peak = float(np.mean(np.square(samples))), float(np.max(np.abs(samples)))
    return Level(_decibels(square**0.5), _decibels(peak))


def heard_clap(levels: Sequence[Level]) -> bool:
    """Return whether somebody has clapped: a short sound, much louder than what comes before and after it.

    `levels` are consecutive, of a second at least. A clap shows that this is the microphone, and that it is not muted.
    """
    if len(levels) <= CLAP_LEVELS:
        return False
    background = median(level.peak_dbfs for level in levels)
    threshold = max(CLAP_PEAK_DBFS, background + CLAP_DB)
    return any(_is_clap(levels, index) for index, level in enumerate(levels) if level.peak_dbfs >= threshold)


def _is_clap(levels: Sequence[Level], index: int) -> bool:
    """Return whether the sound that is loud at `index` begins there, and soon fades."""
    loud = levels[index]
    before, after = levels[:index], levels[index + CLAP_LEVELS :]
    begins = not before or before[-1].peak_dbfs < loud.peak_dbfs - FADED_DB / 2
    return begins and bool(after) and after[0].peak_dbfs <= loud.peak_dbfs - FADED_DB


def _decibels(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20 * float(np.log10(amplitude))) if amplitude > 0 else SILENCE_DBFS
