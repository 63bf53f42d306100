"""The gates of one stream: they decide which frames and blocks of sound an encoder must process."""

import math
from collections import deque

import cv2
import numpy as np

from daemon.bundle.encoder_specs import AudioSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.config.streams import GatesConfig, MotionConfig, SoundConfig
from daemon.core.errors import InputError
from daemon.core.records import Array, Block, Captured, Frame, Plane
from daemon.core.timing import NS_PER_S

# Halving three times gives cells of 8x8 pixels. It takes every pixel into account, and a third of the time of one
# resize by 8 (640x480: 50 us against 146 us): OpenCV has a fast path for exactly two.
HALVINGS = 3

# Grey levels by which a cell must differ to count as changed. A cell is the mean of 64 pixels: noise of 10 grey levels,
# as of a camera at dusk, makes two cells differ by 1.8 (one standard deviation). A person differs from the background
# by 20 and more.
DIFFERENCE = 8

# dB of full scale: a single step of 16 bits. Lower levels count as this one, so that digital silence has a level.
QUIETEST_DB = -90.0

# Time constant with which the floor follows a lower level. The floor comes down between two sentences.
FALL_S = 0.2

# How fast the floor follows a higher level. A sound that lasts for half a minute, such as a fan, is no longer an event.
RISE_DB_PER_S = 1.0


class Gates:
    """The gates of one stream. They keep their state when the bundle changes.

    Without a gate every item is to be encoded, and nothing is computed.
    """

    def __init__(self, config: GatesConfig) -> None:
        self._motion = MotionGate(config.motion) if config.motion else None
        self._sound = SoundGate(config.sound) if config.sound else None
        self.pre_roll_ns = round(config.sound.pre_roll_s * NS_PER_S) if config.sound else 0

    def adapt_to(self, manifest: Manifest) -> None:
        """Keep the gate of sound open until the bundle has encoded a patch without the sound.

        Keep that of motion open until each encoder has had a picture after the last change.
        """
        if self._motion is not None:
            rates_hz = [spec.rate_hz for spec in manifest.of_modality(ImageSpec).values() if spec.rate_hz is not None]
            # a schedule takes the first picture after one period, which is there within another one
            self._motion.hold_at_least(round(2 * NS_PER_S / min(rates_hz)) if rates_hz else 0)
        rate_hz = manifest.sample_rate_hz
        if self._sound is not None and rate_hz is not None:
            specs = manifest.of_modality(AudioSpec).values()
            # The next patch begins up to one stride later.
            samples = max(spec.preprocessing.patch_samples + spec.preprocessing.stride_samples for spec in specs)
            self._sound.hold_at_least(samples * NS_PER_S // rate_hz)

    @property
    def open(self) -> dict[str, bool | None]:
        """Whether the gates `motion` and `sound` are open; None: there is no such gate. Callable from any thread."""
        gates = {"motion": self._motion, "sound": self._sound}
        return {name: None if gate is None else gate.is_open for name, gate in gates.items()}

    def filter(self, captured: Captured) -> list[tuple[Captured, bool]]:
        """Return the items that continue now, in order, each with whether it is to be encoded.

        The gate of sound may buffer a block until a later call.
        """
        if isinstance(captured, Frame) and self._motion is not None:
            return [(captured, _passes(self._motion, captured))]
        if isinstance(captured, Block) and self._sound is not None:
            return list(self._sound.filter(captured))
        return [(captured, True)]

    def finish(self) -> list[tuple[Captured, bool]]:
        """Return the buffered items when the stream has ended."""
        return list(self._sound.finish()) if self._sound is not None else []


class MotionGate:
    """Lets frames pass while something moves. Used by one thread at a time.

    A frame is compared with the last one that passed. A slow change therefore adds up until it opens the gate.
    """

    def __init__(self, config: MotionConfig) -> None:
        self._hold_ns = round(config.hold_s * NS_PER_S)
        self._hysteresis = Hysteresis(config.open, config.close, self._hold_ns)
        self._passed: Plane | None = None

    @property
    def is_open(self) -> bool:
        """Whether the latest frame has passed."""
        return self._hysteresis.is_open

    def hold_at_least(self, duration_ns: int) -> None:
        """Stay open for this long at least after the last motion, whatever the config says."""
        self._hysteresis.hold_ns = max(self._hold_ns, duration_ns)

    def passes(self, frame: Frame) -> bool:
        """Return whether the frame is to be encoded. Raises InputError when the frame cannot be converted."""
        cells = small_luma(frame)
        is_open = self._hysteresis.update(changed_part(cells, self._passed), frame.captured_ns)
        if is_open:
            self._passed = cells
        return is_open


class SoundGate:
    """Lets blocks of sound pass while something can be heard. Used by one thread at a time.

    Blocks are buffered for `pre_roll_s` while the gate is closed. The blocks just before a sound pass with it.
    """

    def __init__(self, config: SoundConfig) -> None:
        self._hold_ns = round(config.hold_s * NS_PER_S)
        self._hysteresis = Hysteresis(config.open_db, config.close_db, self._hold_ns)
        self._pre_roll_ns = round(config.pre_roll_s * NS_PER_S)
        self._buffer: deque[Block] = deque()
        self._floor_db = math.nan
        self._passed_db = QUIETEST_DB

    @property
    def is_open(self) -> bool:
        """Whether the latest block has passed."""
        return self._hysteresis.is_open

    def hold_at_least(self, duration_ns: int) -> None:
        """Stay open for this long at least after the last sound, whatever the config says."""
        self._hysteresis.hold_ns = max(self._hold_ns, duration_ns)

    def filter(self, block: Block) -> list[tuple[Block, bool]]:
        """Return the blocks that continue now, in order, each with whether it is to be encoded."""
        self._buffer.append(block)
        is_open = self._hysteresis.update(self._measure_db(block), block.end_ns)
        if is_open:
            self._passed_db = self._floor_db
        until_ns = block.end_ns if is_open else block.end_ns - self._pre_roll_ns
        return [(released, is_open) for released in self._release(until_ns)]

    def finish(self) -> list[tuple[Block, bool]]:
        """Return the buffered blocks when no more come. None of them is to be encoded."""
        return [(block, False) for block in self._release(self._buffer[-1].end_ns)] if self._buffer else []

    def _release(self, until_ns: int) -> list[Block]:
        released = []
        while self._buffer and self._buffer[0].end_ns <= until_ns:
            released.append(self._buffer.popleft())
        return released

    def _measure_db(self, block: Block) -> float:
        """Return how far the level is above the floor, or the change of the floor since the last block that passed.

        The change of the floor opens the gate at the end of a long sound, and for a slow change.
        """
        level_db = rms_db(block.samples)
        floor_db = level_db if math.isnan(self._floor_db) else self._floor_db
        self._floor_db = next_floor_db(floor_db, level_db, len(block.samples) / block.sample_rate_hz)
        return max(level_db - floor_db, abs(self._floor_db - self._passed_db))


class Hysteresis:
    """Opens when a measure reaches `open_at`. Closes when none has reached `close_at` for `hold_ns`."""

    def __init__(self, open_at: float, close_at: float, hold_ns: int) -> None:
        self._open_at, self._close_at = open_at, close_at
        self.hold_ns = hold_ns
        self.is_open = False
        self._active_ns = 0

    def update(self, measure: float, at_ns: int) -> bool:
        """Return whether the gate is open for the measure at `at_ns`. Instants must not decrease."""
        if measure >= (self._close_at if self.is_open else self._open_at):
            self.is_open, self._active_ns = True, at_ns
        elif at_ns - self._active_ns >= self.hold_ns:
            self.is_open = False
        return self.is_open


# The gates of every stream that has none. They have no state.
NO_GATES = Gates(GatesConfig())


def small_luma(frame: Frame) -> Plane:
    """Return the frame in grey, with a cell for every 8x8 pixels: uint8 of shape (height // 8, width // 8).

    Pixels beyond the last full cell are left out. A frame that is smaller than a cell is halved less often.
    """
    plane = frame.planes[0]
    for _ in range(HALVINGS):
        height, width = plane.shape[0] // 2, plane.shape[1] // 2
        if not (height and width):
            break
        halved = cv2.resize(plane[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA)
        plane = halved.astype(np.uint8, copy=False)
    return plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def changed_part(cells: Plane, before: Plane | None) -> float:
    """Return the part of the cells that differ by more than DIFFERENCE, 0 to 1. It is 1 when the size differs."""
    if before is None or before.shape != cells.shape:
        return 1.0
    return int(np.count_nonzero(cv2.absdiff(cells, before) > DIFFERENCE)) / cells.size


def rms_db(samples: Array) -> float:
    """Return the RMS level of samples in [-1, 1], in dB of full scale: QUIETEST_DB to 0."""
    power = float(samples @ samples) / max(1, len(samples))
    return min(0.0, max(QUIETEST_DB, 10 * math.log10(power))) if power > 0 else QUIETEST_DB


def next_floor_db(floor_db: float, level_db: float, duration_s: float) -> float:
    """Return the floor after a level has lasted for a duration: down with FALL_S, up by RISE_DB_PER_S."""
    if level_db < floor_db:
        return level_db + (floor_db - level_db) * math.exp(-duration_s / FALL_S)
    return min(level_db, floor_db + RISE_DB_PER_S * duration_s)


def _passes(motion: MotionGate, frame: Frame) -> bool:
    try:
        return motion.passes(frame)
    except InputError:  # a frame that cannot be converted: its encoder finds the same, and counts it
        return True
