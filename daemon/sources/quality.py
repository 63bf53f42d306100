"""Checks of delivered pictures and sound: black or frozen pictures, silence, clipping and a constant offset.

None of these proves a fault, because a dark and quiet room looks the same. So they are reported, and the data are used.
"""

import zlib
from collections.abc import Callable

import numpy as np

from daemon.core.errors import InputError
from daemon.core.records import Array, Block, Captured, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.liveness import Complaint

# How long pictures must be black or unchanged, or sound silent, before this is reported.
PATIENCE_NS = 30 * NS_PER_S

# One picture is checked in this time. Sound is checked over the same time.
CHECK_EVERY_NS = NS_PER_S

# How far the mean of a black picture may be above black, of 255. A covered sensor has noise.
MAX_BLACK = 6

# Blocks of sound are counted together, because numpy takes as long for one block as for twenty.
MAX_BLOCKS = 25

# Sound is clipped if more than one sample in a hundred is at full scale.
FULL_SCALE = 0.99
MAX_AT_FULL_SCALE = 0.01

# As a part of full scale. Good microphones have a hundredth of it, and a broken input much more.
MAX_OFFSET = 0.05


class Inspector:
    """Checks everything that one source delivers, also when the source is opened again.

    Used by one thread at a time.
    """

    def __init__(self, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._now_ns = now_ns
        self._picture = PictureQuality()
        self._sound = SoundQuality()

    def __call__(self, captured: Captured) -> Complaint | None:
        """Return the complaint about a frame or block, or None."""
        if isinstance(captured, Frame):
            return self._check_frame(captured)
        if isinstance(captured, Block):
            return self._sound.check(captured, self._now_ns())
        return None

    def _check_frame(self, frame: Frame) -> Complaint | None:
        try:
            return self._picture.check(frame, self._now_ns())
        except InputError as error:
            return Complaint(str(error), reopens=True)


class PictureQuality:
    """Detects pictures that are black, or whose brightness is the same in every bit."""

    def __init__(self) -> None:
        self._checked_ns: int | None = None
        self._checksum: int | None = None
        self._changed_ns = 0
        self._lit_ns = 0
        self._complaint: Complaint | None = None

    def check(self, frame: Frame, now_ns: int) -> Complaint | None:
        """Return the complaint about the pictures up to this one, or None."""
        if self._checked_ns is not None and now_ns - self._checked_ns < CHECK_EVERY_NS and self._complaint is None:
            return None
        # after a long pause the pictures before it do not count
        is_first = self._checked_ns is None or now_ns - self._checked_ns >= PATIENCE_NS
        self._checked_ns = now_ns
        checksum = zlib.crc32(np.ascontiguousarray(frame.planes[0]).data)
        if is_first or checksum != self._checksum:
            self._checksum, self._changed_ns = checksum, now_ns
        if is_first or not _is_black(frame):
            self._lit_ns = now_ns
        self._complaint = None
        if now_ns - self._lit_ns >= PATIENCE_NS:
            self._complaint = Complaint("the picture is black", reopens=True)
        elif now_ns - self._changed_ns >= PATIENCE_NS:
            self._complaint = Complaint(
                "the picture stays the same to the last bit: has the camera frozen?", reopens=True
            )
        return self._complaint


class SoundQuality:
    """Detects digital silence, clipping, and a constant offset of the sound."""

    def __init__(self) -> None:
        self._latest_ns: int | None = None
        self._sound_ns = 0
        self._period_began_ns = 0
        # the blocks that are not counted yet
        self._blocks: list[Array] = []
        self._samples = self._at_full_scale = 0
        self._sum = 0.0
        self._complaint: Complaint | None = None

    def check(self, block: Block, now_ns: int) -> Complaint | None:
        """Return the complaint about the sound up to the end of this block, or None."""
        # NaN counts as sound
        if self._latest_ns is None or now_ns - self._latest_ns >= PATIENCE_NS or block.samples.any():
            self._sound_ns = now_ns
        self._latest_ns = now_ns
        self._blocks.append(block.samples)
        is_over = now_ns - self._period_began_ns >= CHECK_EVERY_NS
        if is_over or len(self._blocks) == MAX_BLOCKS:
            self._count(np.concatenate(self._blocks))
            self._blocks = []
        if is_over:
            self._complaint = self._check_period()
            self._period_began_ns, self._samples, self._at_full_scale, self._sum = now_ns, 0, 0, 0.0
        if now_ns - self._sound_ns >= PATIENCE_NS:
            return Complaint("digital silence", reopens=True)
        return self._complaint

    def _count(self, samples: Array) -> None:
        self._samples += len(samples)
        self._at_full_scale += np.count_nonzero(np.abs(samples) >= FULL_SCALE)
        self._sum += float(np.add.reduce(samples))

    def _check_period(self) -> Complaint | None:
        if self._at_full_scale > MAX_AT_FULL_SCALE * self._samples:
            return Complaint("the sound is clipped: it is too loud for its input", reopens=False)
        if abs(self._sum) > MAX_OFFSET * self._samples:
            return Complaint("the sound has a constant offset", reopens=False)
        return None


def _is_black(frame: Frame) -> bool:
    return float(frame.planes[0][::4, ::4].mean()) < frame.black + MAX_BLACK
