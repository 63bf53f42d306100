"""The latest seconds of a stream in memory: bounded, begun at a key picture, and forgotten when a device is closed."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from daemon.core.errors import InputError
from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import Block, Deferred, Frame, Plane
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.history.own_pictures import MAX_FRAMES, MIN_FRAMES, PICTURES_HZ
from daemon.history.ring import FALLBACK_ITEMS, FALLBACK_NS, ITEM_BYTES, LATE_NS, MAX_BYTES, MAX_NS, MediaRing, Taken
from daemon.history.snapshots import jpeg_of

FPS = 10
H264 = MediaFormat("video", "h264", b"sets", 640, 480)
AAC = MediaFormat("audio", "aac", b"\x14\x08", sample_rate_hz=16_000, channels=1)
BEFORE_S = 5.0


def ring(*, has_packets: bool = True) -> MediaRing:
    return MediaRing(has_packets=has_packets, before_s=BEFORE_S)


def ns(at_s: float) -> int:
    return round(at_s * NS_PER_S)


def picture(at_s: float, *, is_key: bool = True, size: int = 100, of: MediaFormat = H264) -> MediaPacket:
    return MediaPacket(of, bytes(size), ns(at_s) - 7, ns(at_s) - 9, ns(at_s), is_key)


def sound(at_s: float) -> MediaPacket:
    return MediaPacket(AAC, b"sound", ns(at_s) - 7, ns(at_s) - 7, ns(at_s), is_key=True)


def block(at_s: float, level: float = 0.5) -> Block:
    return Block(np.full(320, level, np.float32), 16_000, ns(at_s))


def frame(at_s: float, shade: int = 0, size: tuple[int, int] = (64, 48)) -> Frame:
    return Frame((np.full((*size[::-1], 3), shade, np.uint8),), ns(at_s))


def unusable() -> tuple[Plane, ...]:
    raise InputError("cannot be converted")


def film(into: MediaRing, start_s: float, end_s: float, *, keys_s: float = 2.0, size: int = 100) -> None:
    """Add a film with a key picture each `keys_s`, and AAC."""
    for number in range(round(start_s * FPS), round(end_s * FPS)):
        into.add_packet(picture(number / FPS, is_key=number % round(keys_s * FPS) == 0, size=size))
        into.add_packet(sound(number / FPS + 0.01))


def times(packets: Sequence[MediaPacket], kind: str = "video") -> list[float]:
    return [packet.captured_ns / NS_PER_S for packet in packets if packet.format.kind == kind]


def taken_from(kept: MediaRing, start_s: float) -> Taken:
    return kept.take(kept.begin(ns(start_s)))


@pytest.mark.parametrize(
    ("start_s", "first_s"),
    [
        pytest.param(17.0, 16.0, id="between two key pictures"),
        pytest.param(18.0, 18.0, id="at a key picture"),
        pytest.param(19.95, 18.0, id="after the latest"),
        pytest.param(3.0, 10.0, id="before all that is kept"),
    ],
)
def test_a_clip_begins_at_the_key_picture_before_its_start(start_s: float, first_s: float) -> None:
    kept = ring()
    film(kept, 0, 20)
    taken = taken_from(kept, start_s)
    assert taken.packets[0].is_key
    assert times(taken.packets)[0] == first_s
    assert times(taken.packets)[-1] == 19.9
    # its sound begins with it, also where it came before it
    assert times(taken.packets, "audio")[0] == pytest.approx(first_s, abs=0.02)
    assert not taken.is_cut


def test_sound_that_came_before_the_key_picture_of_its_time_is_taken_too() -> None:
    kept = ring()
    kept.add_packet(picture(10))
    for number in range(5):
        kept.add_packet(sound(11.9 + number / 20))
    kept.add_packet(picture(12))
    taken = taken_from(kept, 12.5)
    assert times(taken.packets) == [12]
    assert times(taken.packets, "audio") == pytest.approx([12, 12.05, 12.1])
    # in the order in which they came
    assert [packet.format.kind for packet in taken.packets] == ["audio", "audio", "audio", "video"]


@pytest.mark.parametrize("keys_s", [0.1, 1.0, 4.0, 20.0])
def test_the_seconds_before_an_event_are_there_when_it_is_known(keys_s: float) -> None:
    kept = ring()
    for end in range(1, 60):
        film(kept, end - 1, end, keys_s=keys_s)
        known_s = end - 1 / FPS
        start_s = known_s - BEFORE_S - LATE_NS / NS_PER_S
        first_s = times(taken_from(kept, start_s).packets)[0]
        # at most one distance of key pictures early, and never late
        assert first_s == 0 if start_s < 0 else start_s - keys_s < first_s <= start_s + 1e-6
    # not much more is kept
    assert kept.size_bytes < (BEFORE_S + 3 + keys_s + 1) * FPS * (100 + len(b"sound") + 2 * ITEM_BYTES)


def test_the_memory_is_bounded_and_what_is_missing_is_counted() -> None:
    kept = ring()
    mark = kept.begin(0)
    for number in range(400):
        kept.add_packet(picture(number / 100, is_key=number % 100 == 0, size=100_000))
        kept.add(block(number / 100))
        assert kept.size_bytes <= MAX_BYTES
    assert kept.size_bytes > MAX_BYTES - 200_000
    assert kept.dropped["memory"] > 200
    taken = kept.take(mark)
    assert taken.is_cut
    assert taken.packets[0].is_key  # what comes before refers to a picture that is not there
    assert not taken_from(kept, 3.5).is_cut


def test_what_is_older_than_a_minute_goes_where_no_key_picture_comes() -> None:
    kept = ring()
    kept.add_packet(picture(0))
    for number in range(1, 700):
        kept.add_packet(picture(number / FPS, is_key=False))
    assert len(kept.take(kept.begin(0)).packets) == 0
    assert kept.size_bytes == (MAX_NS // NS_PER_S * FPS + 1) * (100 + ITEM_BYTES)
    film(kept, 70, 72)
    assert times(taken_from(kept, 68).packets)[0] == 70


def test_an_open_clip_takes_what_is_new_and_learns_what_it_has_missed() -> None:
    kept = ring()
    film(kept, 0, 6)
    first = taken_from(kept, 4.5)
    assert len(first.packets) == 2 * 2 * FPS
    film(kept, 6, 7)
    second = kept.take(first.mark)
    assert times(second.packets) == [6 + number / FPS for number in range(FPS)]
    assert not second.is_cut
    nothing = kept.take(second.mark)
    assert (nothing.packets, nothing.blocks, nothing.is_cut) == ([], [], False)
    film(kept, 7, 107)
    assert kept.take(nothing.mark).is_cut


def test_blocks_are_kept_as_16_bits_with_their_times() -> None:
    kept = ring(has_packets=False)
    for number in range(50):
        kept.add(block(100 + number / 50, level=2.0 if number == 0 else -0.25))
    assert kept.size_bytes == 50 * (640 + ITEM_BYTES)
    taken = taken_from(kept, 100)
    assert [each.start_ns for each in taken.blocks] == [ns(100 + number / 50) for number in range(50)]
    assert float(taken.blocks[0].samples.max()) == pytest.approx(1, abs=1e-4)
    assert taken.blocks[1].samples == pytest.approx(np.full(320, -0.25), abs=1e-4)
    assert taken.blocks[0].samples.dtype == np.float32
    assert taken_from(kept, 100.5).blocks[0].start_ns == ns(100.5)


def test_blocks_and_frames_are_left_out_while_packets_come_for_them() -> None:
    kept = ring()
    for number in range(40):
        at_s = number / FPS
        kept.add_packet(picture(at_s))
        kept.add(frame(at_s))
        kept.add_packet(sound(at_s))
        kept.add(block(at_s))
    kept.encode_pictures()
    taken = taken_from(kept, 0)
    assert {packet.format for packet in taken.packets} == {H264, AAC}
    assert not taken.blocks
    # a camera that comes back with codecs that are not kept
    for number in range(8):
        kept.add(frame(10 + number))
        kept.add(block(10 + number))
    kept.encode_pictures()
    taken = taken_from(kept, 10)
    # a frame and a block of the last packet came after it
    assert times(taken.packets) == [9.0 + number for number in range(FALLBACK_ITEMS, 9)]
    assert all(packet.format.is_own_picture for packet in taken.packets)
    assert [each.start_ns for each in taken.blocks] == [ns(9 + number) for number in range(FALLBACK_ITEMS, 9)]
    # and with codecs that are
    film(kept, 20, 22)
    kept.add(frame(22))
    kept.encode_pictures()
    assert not any(packet.format.is_own_picture for packet in taken_from(kept, 20).packets)
    # and at a high rate
    for number in range(100):
        kept.add(block(30 + number / 50))
        kept.add(frame(30 + number / 50))
    kept.add(block(32))
    taken = taken_from(kept, 30)
    assert [each.start_ns for each in taken.blocks] == [ns(32)]


def test_a_stream_that_hides_something_keeps_no_packet() -> None:
    kept = ring(has_packets=False)
    film(kept, 0, 5)
    assert kept.size_bytes == 0
    kept.add(frame(5))
    kept.encode_pictures()
    (own,) = taken_from(kept, 0).packets
    assert own == MediaPacket(own.format, jpeg_of(frame(5)), ns(5), ns(5), ns(5), is_key=True)
    assert own.format == MediaFormat("video", "mjpeg", width=64, height=48, is_own_picture=True)


def test_five_pictures_a_second_are_encoded_and_no_more_wait_than_may() -> None:
    kept = ring(has_packets=False)
    for number in range(300):
        kept.add(frame(number / 30))
        if number % 8 == 0:
            kept.encode_pictures()
    kept.encode_pictures()
    taken = taken_from(kept, 0)
    assert len(taken.packets) == pytest.approx(8 * PICTURES_HZ, abs=2)  # 8 of the 10 s are kept
    assert len({id(packet.format) for packet in taken.packets}) == 1
    assert kept.dropped == {"memory": 0, "busy": 0, "corrupt": 0}
    for number in range(MAX_FRAMES + 3):
        later = frame(20 + number / 4, size=(1920, 64))
        kept.add(replace(later, content=Deferred(unusable)) if number == 4 else later)
    kept.encode_pictures()
    packets = taken_from(kept, 20).packets
    assert times(packets) == [20 + number / 4 for number in range(3, MAX_FRAMES + 3) if number != 4]
    # as large as the JPEG is
    assert (packets[0].format.width, packets[0].format.height) == (1280, 42)
    assert cv2.imdecode(np.frombuffer(packets[0].data, np.uint8), cv2.IMREAD_COLOR).shape == (42, 1280, 3)
    assert kept.dropped == {"memory": 0, "busy": 3, "corrupt": 1}
    # of large ones fewer wait
    for number in range(MIN_FRAMES + 3):
        kept.add(frame(30 + number, size=(2400, 1800)))
        if number == 0:
            kept.encode_pictures()
    kept.encode_pictures()
    assert times(taken_from(kept, 30).packets) == [30, *range(33, 38)]
    assert kept.dropped["busy"] == 5


def test_a_closed_camera_is_forgotten_and_its_film_goes_on_at_a_key_picture() -> None:
    kept = ring()
    film(kept, 0, 6)
    for at_s in (6.0, 6.02):
        kept.add(block(at_s))
    mark = taken_from(kept, 0).mark
    kept.forget("image")
    assert times(taken_from(kept, 0).packets) == []
    assert times(taken_from(kept, 0).packets, "audio")
    # the rest of the pictures that refer to those before, then a key picture
    for number in range(61, 85):
        kept.add_packet(picture(number / FPS, is_key=number % 20 == 0))
    taken = kept.take(mark)
    assert taken.is_cut
    assert times(taken.packets)[0] == 8
    kept.forget("image", "audio")
    assert kept.size_bytes == 0
    assert kept.take(taken.mark).is_cut
    assert not taken_from(kept, 0).is_cut


def test_a_muted_microphone_is_forgotten() -> None:
    kept = ring()
    film(kept, 0, 6)
    mark = taken_from(kept, 0).mark
    kept.forget("audio")
    assert times(taken_from(kept, 0).packets, "audio") == []
    assert times(taken_from(kept, 0).packets)
    film(kept, 6, 7)
    assert kept.take(mark).is_cut


def test_a_frame_that_is_being_encoded_when_the_camera_is_closed_is_forgotten() -> None:
    begun, closed = threading.Event(), threading.Event()

    def decoded_slowly() -> tuple[Plane, ...]:
        begun.set()
        assert closed.wait(60)
        return frame(0).planes

    kept = ring(has_packets=False)
    for number in range(3):
        kept.add(Frame(Deferred(decoded_slowly), ns(number)))
    thread = threading.Thread(target=kept.encode_pictures)
    thread.start()
    assert begun.wait(60)
    kept.forget("image")
    closed.set()
    thread.join(60)
    assert taken_from(kept, 0).packets == []


def test_a_clip_does_not_begin_with_an_earlier_opening_of_the_camera() -> None:
    kept = ring()
    film(kept, 0, 10)
    again = MediaFormat("video", "h264", b"sets", 640, 480)
    kept.add_packet(picture(100, is_key=False, of=again))  # refers to a picture that was not received
    for number in range(10):
        kept.add_packet(picture(101 + number / FPS, is_key=number == 0, of=again))
    packets = taken_from(kept, 96).packets
    assert times(packets)[0] == 101
    assert all(packet.format is again for packet in packets)


def test_a_clip_after_the_camera_has_stopped_is_one_of_sound() -> None:
    kept = ring(has_packets=False)
    kept.add(frame(0))
    kept.encode_pictures()
    for number in range(1500):
        kept.add(block(number / 50))
    slow = taken_from(kept, 9.0)  # a camera that is asked for a picture now and then
    assert times(slow.packets) == [0]
    assert slow.blocks[0].start_ns == 0
    stopped = taken_from(kept, 25.0)
    assert not stopped.packets
    assert stopped.blocks[0].start_ns == ns(25)
    assert not stopped.is_cut


def test_an_open_clip_goes_on_within_a_group_of_pictures_that_is_too_large() -> None:
    kept = ring()
    mark = kept.begin(0)
    taken = 0
    for number in range(300):
        kept.add_packet(picture(number / 100, is_key=number == 0, size=100_000))
        part = kept.take(mark)
        assert not part.is_cut
        mark, taken = part.mark, taken + len(part.packets)
    assert taken == 300
    assert kept.dropped["memory"] > 100


def test_several_threads_may_use_a_ring_at_once() -> None:
    kept = ring()
    problems: list[str] = []

    def feed() -> None:
        film(kept, 0, 200)

    def follow() -> None:
        mark = kept.begin(0)
        latest_ns = -1
        for _ in range(400):
            part = kept.take(mark)
            mark = part.mark
            for packet in part.packets:
                if packet.format.kind == "video" and packet.captured_ns <= latest_ns:
                    problems.append(f"{packet.captured_ns} comes after {latest_ns}")
                latest_ns = packet.captured_ns if packet.format.kind == "video" else latest_ns

    threads = [threading.Thread(target=feed), *(threading.Thread(target=follow) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert kept.size_bytes == sum(100 + ITEM_BYTES for _ in times(taken_from(kept, 0).packets)) + sum(
        5 + ITEM_BYTES for _ in times(taken_from(kept, 0).packets, "audio")
    )


def test_the_constants_fit_each_other() -> None:
    # the longest `before_s` and the time until an event is known, with room for key pictures 10 s apart
    assert MAX_NS >= 10 * NS_PER_S + LATE_NS + 10 * NS_PER_S
    assert NS_PER_MS < FALLBACK_NS < LATE_NS
