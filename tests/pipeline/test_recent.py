"""The ring of raw input: what it keeps, for how long, and which part of it belongs to a window."""

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError
from daemon.core.records import Block, Captured, Deferred, Frame, Line, Plane
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.pipeline.recent import ITEM_BYTES, KEEP_NS, MAX_BYTES, RecentInput, input_size, lead_ns
from tests.helpers.format2_bundle import RATE_HZ, manifest, write_bundle

START_NS = 1000 * NS_PER_S


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundle") / "corner")).manifest


@pytest.fixture
def ring(corner: Manifest) -> RecentInput:
    return RecentInput(corner)


def frame(at_s: float, side: int = 8) -> Frame:
    return Frame((np.zeros((side, side, 3), np.uint8),), START_NS + round(at_s * NS_PER_S))


def block(at_s: float, samples: int = 160) -> Block:
    return Block(np.zeros(samples, np.float32), RATE_HZ, START_NS + round(at_s * NS_PER_S))


def seconds(items: list[Captured]) -> list[float]:
    return [((item.start_ns if isinstance(item, Block) else item.captured_ns) - START_NS) / NS_PER_S for item in items]


def within(ring: RecentInput, start_s: float, end_s: float, kind: type[Captured]) -> list[float]:
    start_ns, end_ns = (START_NS + round(at_s * NS_PER_S) for at_s in (start_s, end_s))
    return seconds([item for item in ring.window(start_ns, end_ns).items if isinstance(item, kind)])


def test_two_pictures_a_second_are_kept_and_no_other_is_converted(ring: RecentInput) -> None:
    converted: list[int] = []

    def planes(index: int) -> tuple[Plane, ...]:
        converted.append(index)
        return (np.zeros((16, 16, 3), np.uint8),)

    for index in range(90):
        at_ns = START_NS + index * NS_PER_S // 30

        def convert(index: int = index) -> tuple[Plane, ...]:
            return planes(index)

        ring.add(Frame(Deferred(convert), at_ns))
    # a schedule takes a picture up to half a period early
    assert len(converted) in (6, 7)
    assert len(within(ring, 0, 3, Frame)) == len(converted)


def test_a_picture_is_a_small_copy_that_covers_the_input_of_each_encoder(ring: RecentInput) -> None:
    large = Frame((np.zeros((600, 800, 3), np.uint8),), START_NS)
    ring.add(large)
    (kept,) = ring.window(START_NS, START_NS + 1).items
    assert isinstance(kept, Frame)
    assert kept.size == (6, 4)
    assert kept.planes[0].base is None


def test_a_picture_that_cannot_be_converted_is_left_out(ring: RecentInput) -> None:
    def fail() -> tuple[Plane, ...]:
        raise InputError("cannot be converted")

    ring.add(Frame(Deferred(fail), START_NS))
    ring.add(frame(1))
    assert within(ring, 0, 2, Frame) == [1]


def test_what_does_not_change_from_picture_to_picture_is_held_once(ring: RecentInput) -> None:
    colours = np.full((8, 8), 128, np.uint8)
    # the third picture is brighter, and the last one is BGR
    for at_s, brightness in enumerate((90, 90, 91, 91)):
        luma = np.full((8, 8), brightness, np.uint8)
        ring.add(Frame((luma, colours.copy(), colours.copy()), START_NS + at_s * NS_PER_S))
    ring.add(frame(4))
    pictures = [item for item in ring.window(START_NS, START_NS + 5 * NS_PER_S).items if isinstance(item, Frame)]
    assert [int(picture.planes[0].flat[0]) for picture in pictures] == [90, 90, 91, 91, 0]
    assert seconds([*pictures]) == [0, 1, 2, 3, 4]
    assert [len({id(picture.planes[index]) for picture in pictures[:4]}) for index in range(3)] == [2, 1, 1]


def test_what_is_older_than_twenty_seconds_goes_of_every_modality(ring: RecentInput) -> None:
    ring.add(frame(0))
    ring.add(Line("early", START_NS))
    for index in range(2000):
        ring.add(block(index * 0.02))
    assert within(ring, 0, 60, Frame) == []
    assert within(ring, 0, 60, Line) == []
    sounds = within(ring, 0, 60, Block)
    assert (sounds[0], sounds[-1]) == (20.0, 39.98)
    assert ring.size_bytes == len(sounds) * (160 * 4 + ITEM_BYTES)
    assert KEEP_NS == 20 * NS_PER_S


def test_memory_is_bounded_whatever_comes(corner: Manifest) -> None:
    spec = manifest()["encoders"]["scene"]
    spec |= {"input": {"shape": [1, 2000, 2000, 1], "dtype": "float32"}}
    large = Manifest.model_validate(manifest() | {"encoders": manifest()["encoders"] | {"scene": spec}})
    ring = RecentInput(large)
    for index in range(4):
        ring.add(frame(index, 2000))
    assert len(within(ring, 0, 9, Frame)) == 1, "two such pictures are 24 MB"
    for index in range(5):
        ring.add(block(4 + index / 1000, 1_000_000))
        ring.add(Line("x" * 40_000, START_NS + 5 * NS_PER_S))
    assert ring.size_bytes <= sum(MAX_BYTES.values())
    for _ in range(1000):
        ring.add(Line("", START_NS + 6 * NS_PER_S))
    assert len(within(ring, 0, 9, Line)) < 400


def test_a_window_has_the_input_that_ends_in_it_and_what_encoders_need_before(ring: RecentInput) -> None:
    for index in range(20):
        ring.add(frame(index * 0.5))
        ring.add(Line(str(index), START_NS + index * NS_PER_S // 2))
    for index in range(500):
        ring.add(block(index * 0.02))
    # people's pictures count for 1.5 s; no encoder takes text
    assert within(ring, 5.0, 7.0, Frame) == [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0]
    assert within(ring, 5.0, 7.0, Line) == [5.5, 6.0, 6.5, 7.0]
    # a patch of 102.5 ms ends in the window or up to 50 ms, its stride, before
    sounds = within(ring, 5.0, 7.0, Block)
    assert (sounds[0], sounds[-1]) == (4.84, 7.0)
    items = ring.window(START_NS, START_NS + 3 * NS_PER_S).items
    ends = [item.end_ns if isinstance(item, Block) else item.captured_ns for item in items]
    assert ends == sorted(ends)


def test_what_was_closed_is_forgotten(ring: RecentInput) -> None:
    ring.add(frame(0))
    ring.add(block(0))
    ring.add(Line("x", START_NS))
    ring.forget("image", "text")
    assert within(ring, -1, 1, Frame) == within(ring, -1, 1, Line) == []
    assert within(ring, -1, 1, Block) == [0]
    assert ring.newest_ns() == {"audio": START_NS + 20 * NS_PER_MS}
    assert ring.size_bytes == 640 + ITEM_BYTES


def test_input_that_comes_late_is_told_by_its_latest_modality(ring: RecentInput) -> None:
    assert ring.late_ns == 0
    now_ns = monotonic_ns()
    ring.add(Line("at once", now_ns + NS_PER_S))
    assert ring.late_ns == 0
    ring.add(Block(np.zeros(160, np.float32), RATE_HZ, now_ns - 3 * NS_PER_S))
    ring.add(Frame((np.zeros((8, 8, 3), np.uint8),), now_ns - NS_PER_S))
    assert 2 * NS_PER_S < ring.late_ns < 60 * NS_PER_S
    ring.forget("audio", "image")
    assert ring.late_ns == 0


def test_another_bundle_may_need_larger_pictures(ring: RecentInput) -> None:
    encoders = manifest()["encoders"]
    wide = encoders["scene"] | {"input": {"shape": [1, 4, 40, 1], "dtype": "float32"}}
    ring.add(frame(0, 80))
    ring.adapt_to(Manifest.model_validate(manifest() | {"encoders": encoders | {"scene": wide}}))
    ring.add(frame(1, 80))
    kept = ring.window(START_NS, START_NS + NS_PER_S).items
    assert [item.size for item in kept if isinstance(item, Frame)] == [(4, 4), (40, 40)]


def test_size_and_lead_follow_from_the_encoders(corner: Manifest) -> None:
    assert input_size(corner) == (4, 4)
    assert lead_ns(corner) == {"image": 1500 * NS_PER_MS, "audio": 152_500_000, "text": 0}
    sound = manifest()["encoders"]["sound"]
    pooled = Manifest.model_validate(
        manifest() | {"encoders": {"sound": sound | {"pool": {"seconds": 2, "of": ["max"]}}}}
    )
    assert input_size(pooled) == (1, 1)
    assert lead_ns(pooled)["audio"] == 2_152_500_000
