"""Pictures of seven colour bars and a tone of 440 Hz, and checks that they arrive as such."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from daemon.core.records import Block, Frame
from daemon.encoders.image import fit
from tests.encoders.test_image import spec

# white, yellow, cyan, green, magenta, red and blue at 75 %, as BGR: the pattern smpte75 of GStreamer
BARS = [(n & 1, n >> 2 & 1, n >> 1 & 1) for n in (7, 6, 5, 4, 3, 2, 1)]
LEVEL = 191

TONE_HZ = 440
TONE_LEVEL = 0.5


def draw_bars(size: tuple[int, int]) -> np.ndarray:
    """Return the bars as BGR: uint8 (height, width, 3)."""
    width, height = size
    columns = np.arange(width) * len(BARS) // width
    return np.tile((np.array(BARS, np.uint8) * LEVEL)[columns], (height, 1, 1))


def check_bars(frame: Frame, *, is_grey: bool = False, tolerance: int = 8) -> None:
    """Assert that a model sees the bars, in colour or as their luma."""
    expected = np.array(BARS, np.uint8)[None] * LEVEL
    if is_grey:
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    # the middle of each bar, above the other patterns of smpte75
    seen = fit(frame, spec(3 * len(BARS), 9, colour="bgr"))[3, 1::3]
    np.testing.assert_allclose(seen, expected[0], atol=tolerance)


def draw_tone(seconds: float, rate_hz: int) -> np.ndarray:
    """Return the tone: float32 (n,)."""
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (TONE_LEVEL * np.sin(2 * np.pi * TONE_HZ * at_s)).astype(np.float32)


def check_tone(blocks: Sequence[Block]) -> None:
    """Assert that the last second of the sound is the tone."""
    rate_hz = blocks[0].sample_rate_hz
    samples = np.concatenate([block.samples for block in blocks])[-rate_hz:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * rate_hz / len(samples) == pytest.approx(TONE_HZ, abs=2)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(TONE_LEVEL / np.sqrt(2), rel=0.05)


def check_one_run(blocks: Sequence[Block]) -> None:
    """Assert that no sound is missing between the blocks."""
    # a block is marked as a gap where the times of the sound do not fit the number of its samples
    assert [number for number, block in enumerate(blocks) if block.gap] == [0]
