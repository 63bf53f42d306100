"""The gate of sound: how far its level is from a floor that follows the level."""

import math
from collections import deque

from daemon.clock import NS_PER_S
from daemon.gates.hysteresis import Hysteresis
from daemon.gates_config import SoundConfig
from daemon.records import Array, Block

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
        level_db = level(block.samples)
        floor_db = level_db if math.isnan(self._floor_db) else self._floor_db
        self._floor_db = followed(floor_db, level_db, len(block.samples) / block.sample_rate_hz)
        return max(level_db - floor_db, abs(self._floor_db - self._passed_db))


def level(samples: Array) -> float:
    """The RMS level of samples in [-1, 1], in dB of full scale: QUIETEST_DB to 0."""
    power = float(samples @ samples) / max(1, len(samples))
    return min(0.0, max(QUIETEST_DB, 10 * math.log10(power))) if power > 0 else QUIETEST_DB


def followed(floor_db: float, level_db: float, duration_s: float) -> float:
    """The floor after a level has lasted for so long: down with FALL_S, up by RISE_DB_PER_S."""
    if level_db < floor_db:
        return level_db + (floor_db - level_db) * math.exp(-duration_s / FALL_S)
    return min(level_db, floor_db + RISE_DB_PER_S * duration_s)
