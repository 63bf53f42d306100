"""What looks wrong with pictures and sound that do come.

None of it is proof: a dark, muted room is black and silent. So it is said, and what was captured is used all the same.
"""

import zlib
from collections.abc import Callable

import numpy as np

from daemon.core.errors import InputError
from daemon.core.records import Block, Captured, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.liveness import Complaint

PATIENCE_NS = 30 * NS_PER_S
"""Pictures that do not change and silence are wrong only after a while."""

LOOK_EVERY_NS = NS_PER_S
"""One picture in so long is looked at, and sound is summed up over as much."""

DARK = 6
"""How far above black, of 255, the mean of a picture counts as black still: the noise of a covered sensor."""

FULL_SCALE = 0.99
MOST_AT_FULL_SCALE = 0.01
"""Sound of which more than one sample in a hundred lies at full scale is cut off there."""

MOST_OFFSET = 0.05
"""Of full scale. Microphones have a hundredth of it; a broken input hangs far from zero."""


class Inspector:
    """Looks at all that one source delivers; used by one thread at a time. It outlives the opening of the source."""

    def __init__(self, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._now_ns = now_ns
        self._picture = PictureQuality()
        self._sound = SoundQuality()

    def __call__(self, captured: Captured) -> Complaint | None:
        """What is wrong with it, if anything."""
        if isinstance(captured, Frame):
            return self._look(captured)
        if isinstance(captured, Block):
            return self._sound.judge(captured, self._now_ns())
        return None

    def _look(self, frame: Frame) -> Complaint | None:
        try:
            return self._picture.judge(frame, self._now_ns())
        except InputError as error:
            return Complaint(str(error), reopens=True)


class PictureQuality:
    """Whether pictures are black, or always the same, down to the last bit of their brightness."""

    def __init__(self) -> None:
        self._looked_ns: int | None = None
        self._checksum: int | None = None
        self._changed_ns = 0
        self._lit_ns = 0
        self._verdict: Complaint | None = None

    def judge(self, frame: Frame, now_ns: int) -> Complaint | None:
        """What is wrong with the pictures up to this one."""
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_EVERY_NS and self._verdict is None:
            return None
        first = self._looked_ns is None or now_ns - self._looked_ns >= PATIENCE_NS  # it was away: time does not count
        self._looked_ns = now_ns
        checksum = zlib.crc32(np.ascontiguousarray(frame.planes[0]).data)
        if first or checksum != self._checksum:
            self._checksum, self._changed_ns = checksum, now_ns
        if first or not _is_black(frame):
            self._lit_ns = now_ns
        self._verdict = None
        if now_ns - self._lit_ns >= PATIENCE_NS:
            self._verdict = Complaint("the picture is black", reopens=True)
        elif now_ns - self._changed_ns >= PATIENCE_NS:
            self._verdict = Complaint("the picture never changes", reopens=True)
        return self._verdict


def _is_black(frame: Frame) -> bool:
    return float(frame.planes[0][::4, ::4].mean()) < frame.black + DARK


class SoundQuality:
    """Whether sound is digital silence, is cut off at full scale, or hangs away from zero."""

    def __init__(self) -> None:
        self._came_ns: int | None = None
        self._heard_ns = 0
        self._began_ns = 0
        self._samples = self._at_full_scale = 0
        self._sum = 0.0
        self._verdict: Complaint | None = None

    def judge(self, block: Block, now_ns: int) -> Complaint | None:
        """What is wrong with the sound up to the end of this block."""
        samples = block.samples
        peak = max(np.maximum.reduce(samples, initial=0.0), -np.minimum.reduce(samples, initial=0.0))
        if self._came_ns is None or now_ns - self._came_ns >= PATIENCE_NS or peak != 0:
            self._heard_ns = now_ns
        self._came_ns = now_ns
        self._samples += len(samples)
        if not peak < FULL_SCALE:  # so written, what is no number counts as sound too
            self._at_full_scale += np.count_nonzero(np.abs(samples) >= FULL_SCALE)
        self._sum += float(np.add.reduce(samples))
        if now_ns - self._began_ns >= LOOK_EVERY_NS:
            self._verdict = self._sum_up()
            self._began_ns, self._samples, self._at_full_scale, self._sum = now_ns, 0, 0, 0.0
        if now_ns - self._heard_ns >= PATIENCE_NS:
            return Complaint("digital silence", reopens=True)
        return self._verdict

    def _sum_up(self) -> Complaint | None:
        if self._at_full_scale > MOST_AT_FULL_SCALE * self._samples:
            return Complaint("the sound is too loud for its input, and cut off", reopens=False)
        if abs(self._sum) > MOST_OFFSET * self._samples:
            return Complaint("the sound has a constant offset", reopens=False)
        return None
