"""Complaints about pictures and sound that look wrong."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from daemon.core.errors import InputError
from daemon.core.records import Block, Colours, Deferred, Frame, Line
from daemon.core.timing import NS_PER_S
from daemon.sources.quality import Inspector

RNG = np.random.default_rng(7)
RATE_HZ = 16_000


class Clock:
    """A clock that advances by a step with every call."""

    def __init__(self, step_s: float) -> None:
        self._step_ns = round(step_s * NS_PER_S)
        self.now_ns = 12 * NS_PER_S

    def __call__(self) -> int:
        self.now_ns += self._step_ns
        return self.now_ns


def bgr(pixels: np.ndarray) -> Frame:
    return Frame((pixels.astype(np.uint8),), 0)


def yuv(luma: np.ndarray) -> Frame:
    chroma = np.full((24, 32), 128, np.uint8)
    return Frame((luma.astype(np.uint8), chroma, chroma), 0)


def in_full_range(luma: np.ndarray) -> Frame:
    return replace(yuv(luma), colours=Colours(is_full_range=True))


def noise(level: float, spread: float, shape: tuple[int, ...] = (48, 64)) -> np.ndarray:
    return np.clip(RNG.normal(level, spread, shape), 0, 255)


def first_complaint(items: Iterable[object], step_s: float) -> tuple[str | None, float]:
    """Return the first complaint, and after how many seconds it comes."""
    inspector, clock = Inspector(Clock(step_s)), 0.0
    for item in items:
        clock += step_s
        complaint = inspector(item)
        if complaint is not None:
            return complaint.reason, clock
    return None, clock


def pictures(kind: str) -> Iterator[Frame]:
    still = noise(100, 30)
    for _ in range(35 * 10):
        yield {
            "alive": lambda: yuv(noise(100, 30)),
            "night": lambda: yuv(noise(24, 3)),
            "still": lambda: yuv(still),
            "black": lambda: yuv(noise(17, 1)),
            "black in full range": lambda: in_full_range(noise(1, 1)),
            "dark grey in full range": lambda: in_full_range(noise(17, 1)),
            "black bgr": lambda: bgr(noise(2, 1, (48, 64, 3))),
            "dark grey bgr": lambda: bgr(noise(17, 1, (48, 64, 3))),
        }[kind]()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("alive", None),
        ("night", None),
        ("dark grey bgr", None),
        ("still", "the picture stays the same to the last bit: has the camera frozen?"),
        ("black", "the picture is black"),
        ("black bgr", "the picture is black"),
        ("black in full range", "the picture is black"),
        ("dark grey in full range", None),
    ],
)
def test_pictures(kind: str, reason: str | None) -> None:
    found, after_s = first_complaint(pictures(kind), 0.1)
    assert found == reason
    assert reason is None or 30 <= after_s <= 31.5


def test_a_picture_that_changes_again_ends_the_complaint_at_once() -> None:
    inspector = Inspector(Clock(0.1))
    for frame in pictures("still"):
        inspector(frame)
    assert inspector(yuv(noise(100, 30))) is None


def test_a_picture_between_two_checks_is_not_converted() -> None:
    made: list[int] = []

    def make(number: int) -> tuple[np.ndarray]:
        made.append(number)
        return (np.full((48, 64, 3), number, np.uint8),)

    inspector = Inspector(Clock(0.1))
    for number in range(31):
        inspector(Frame(Deferred(partial(make, number)), 0))
    assert made == [0, 10, 20, 30]


def test_a_picture_that_cannot_be_converted_is_a_complaint() -> None:
    def make() -> tuple[np.ndarray]:
        raise InputError("a picture of format x cannot be converted")

    complaint = Inspector(Clock(0.1))(Frame(Deferred(make), 0))
    assert complaint is not None
    assert complaint.reason == "a picture of format x cannot be converted"


def block(samples: np.ndarray) -> Block:
    return Block(samples.astype(np.float32), RATE_HZ, 0)


def sounds(kind: str, seconds: int = 35) -> Iterator[Block]:
    time_s = np.arange(320) / RATE_HZ
    for _ in range(seconds * 50):
        hiss = RNG.normal(0, 1e-4, 320)
        yield block(
            {
                "quiet": hiss,
                "loud": 0.98 * np.sin(2 * np.pi * 440 * time_s) + hiss,
                "muted": np.zeros(320),
                "clipped": np.clip(1.5 * np.sin(2 * np.pi * 440 * time_s), -1, 1),
                "offset": hiss + 0.2,
                "no numbers": np.full(320, np.nan),
            }[kind]
        )


@pytest.mark.parametrize(
    ("kind", "reason", "within_s"),
    [
        ("quiet", None, (34.9, 35)),
        ("loud", None, (34.9, 35)),
        ("no numbers", None, (34.9, 35)),
        ("muted", "digital silence", (30, 30.5)),
        ("clipped", "the sound is clipped: it is too loud for its input", (0, 3)),
        ("offset", "the sound has a constant offset", (0, 3)),
    ],
)
def test_sound(kind: str, reason: str | None, within_s: tuple[float, float]) -> None:
    found, after_s = first_complaint(sounds(kind), 0.02)
    assert found == reason
    assert within_s[0] <= after_s <= within_s[1] + 0.02


@pytest.mark.parametrize("kind", ["muted", "clipped", "offset"])
def test_good_sound_ends_the_complaint_within_two_seconds(kind: str) -> None:
    inspector = Inspector(Clock(0.02))
    for sound in sounds(kind):
        inspector(sound)
    *_, last = (inspector(sound) for sound in sounds("quiet", 2))
    assert last is None


def test_text_is_not_checked() -> None:
    assert Inspector(Clock(100))(Line("", 0)) is None


@pytest.mark.parametrize("item", [yuv(np.full((48, 64), 16)), block(np.zeros(320))])
def test_the_time_of_a_pause_does_not_count(item: object) -> None:
    clock = Clock(0.5)
    inspector = Inspector(clock)
    inspector(item)
    clock.now_ns += 40 * NS_PER_S
    assert [inspector(item) for _ in range(5)] == [None] * 5
