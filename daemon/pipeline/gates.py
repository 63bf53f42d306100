"""The gate of pictures: how much of a picture differs from the last one that was let through."""

import math
from collections import deque

import cv2
import numpy as np

from daemon.config.streams import MotionConfig, SoundConfig
from daemon.core.records import Array, Block, Frame, Plane
from daemon.core.timing import NS_PER_S


class Hysteresis:
    """Opens when a measure reaches `open_at`, stays open while it is at least `close_at`, and `hold_ns` longer."""

    def __init__(self, open_at: float, close_at: float, hold_ns: int) -> None:
        self._open_at, self._close_at = open_at, close_at
        self.hold_ns = hold_ns
        self.is_open = False
        self._active_ns = 0

    def take(self, measure: float, at_ns: int) -> bool:
        """Whether the gate is open for what was measured at `at_ns`; instants must not go back."""
        if measure >= (self._close_at if self.is_open else self._open_at):
            self.is_open, self._active_ns = True, at_ns
        elif at_ns - self._active_ns >= self.hold_ns:
            self.is_open = False
        return self.is_open


HALVINGS = 3
"""From pixels to cells 8 pixels wide. Halving three times takes every pixel in, and a third of the time of shrinking
once (640x480: 50 us against 146): OpenCV has a fast path for exactly two."""

DIFFERENCE = 8
"""Grey levels by which a cell must differ to count. A cell is the mean of 64 pixels, so that noise of 10 grey levels,
as of a camera at dusk, makes two cells differ by 1.8 (one standard deviation); a person is darker or brighter than
what is behind by 20 and more."""


class MotionGate:
    """Lets frames through while something moves. Used by one thread at a time.

    A frame is compared with the last one that was let through: what is held back looks like that one, and a slow change
    adds up until it opens the gate.
    """

    def __init__(self, config: MotionConfig) -> None:
        self._hysteresis = Hysteresis(config.open, config.close, round(config.hold_s * NS_PER_S))
        self._passed: Plane | None = None

    def passes(self, frame: Frame) -> bool:
        """Whether the encoder should have this frame."""
        cells = small_luma(frame)
        is_open = self._hysteresis.take(changed_part(cells, self._passed), frame.captured_ns)
        if is_open:
            self._passed = cells
        return is_open


def small_luma(frame: Frame) -> Plane:
    """The frame in grey, a cell for every 8x8 pixels: uint8 of shape (height // 8, width // 8).

    Pixels beyond the last whole cell are left out; a frame narrower or lower than a cell is halved less often.
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
    """The part of the cells that differ by more than DIFFERENCE: 0 to 1; all of them where the size is another."""
    if before is None or before.shape != cells.shape:
        return 1.0
    return int(np.count_nonzero(cv2.absdiff(cells, before) > DIFFERENCE)) / cells.size


QUIETEST_DB = -90.0
"""Of full scale: a single step of 16 bits. Whatever is below counts as this, so that digital silence has a level."""

FALL_S = 0.2
"""Time constant with which the floor follows a level below it: it has come down between two sentences."""

RISE_DB_PER_S = 1.0
"""How fast the floor follows a level above it: what lasts for half a minute, as a fan does, is no longer an event."""


class SoundGate:
    """Lets blocks through while there is something to hear. Used by one thread at a time.

    Blocks are held back for `pre_roll_s` before it is decided that nobody wants them: those just before a sound are
    let through with it.
    """

    def __init__(self, config: SoundConfig) -> None:
        self._hold_ns = round(config.hold_s * NS_PER_S)
        self._hysteresis = Hysteresis(config.open_db, config.close_db, self._hold_ns)
        self._pre_roll_ns = round(config.pre_roll_s * NS_PER_S)
        self._held: deque[Block] = deque()
        self._floor_db = math.nan
        self._passed_db = QUIETEST_DB

    def hold_at_least(self, duration_ns: int) -> None:
        """Stay open so long after the last sound, whatever the config says: until a patch without it is whole."""
        self._hysteresis.hold_ns = max(self._hold_ns, duration_ns)

    def passes(self, block: Block) -> list[tuple[Block, bool]]:
        """The blocks that go on now, in their order, and whether the encoder should have them."""
        self._held.append(block)
        is_open = self._hysteresis.take(self._measure_db(block), block.end_ns)
        if is_open:
            self._passed_db = self._floor_db
        until_ns = block.end_ns if is_open else block.end_ns - self._pre_roll_ns
        return [(held, is_open) for held in self._let_go(until_ns)]

    def finish(self) -> list[tuple[Block, bool]]:
        """What is still held back when nothing more comes: nobody wants it."""
        return [(held, False) for held in self._let_go(self._held[-1].end_ns)] if self._held else []

    def _let_go(self, until_ns: int) -> list[Block]:
        gone = []
        while self._held and self._held[0].end_ns <= until_ns:
            gone.append(self._held.popleft())
        return gone

    def _measure_db(self, block: Block) -> float:
        """How far the level is above the floor, or the floor from where it was when something was let through last.

        So a sound that lasted until the floor had come up to it is heard to end, and so is a slow change.
        """
        level_db = rms_db(block.samples)
        floor_db = level_db if math.isnan(self._floor_db) else self._floor_db
        self._floor_db = next_floor_db(floor_db, level_db, len(block.samples) / block.sample_rate_hz)
        return max(level_db - floor_db, abs(self._floor_db - self._passed_db))


def rms_db(samples: Array) -> float:
    """The RMS level of samples in [-1, 1], in dB of full scale: QUIETEST_DB to 0."""
    power = float(samples @ samples) / max(1, len(samples))
    return min(0.0, max(QUIETEST_DB, 10 * math.log10(power))) if power > 0 else QUIETEST_DB


def next_floor_db(floor_db: float, level_db: float, duration_s: float) -> float:
    """The floor after a level has lasted for so long: down with FALL_S, up by RISE_DB_PER_S."""
    if level_db < floor_db:
        return level_db + (floor_db - level_db) * math.exp(-duration_s / FALL_S)
    return min(level_db, floor_db + RISE_DB_PER_S * duration_s)
