"""The properties that the camera's program requests, and the records that it sends."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_S
from daemon.runtime import shared_ring as ring
from daemon.runtime.child_main import Failed
from daemon.runtime.shared_ring import RingReader, RingWriter
from daemon.sources.capture import camera
from daemon.sources.capture.messages import (
    MAX_PIXELS,
    PICTURE_HEADER,
    PICTURE_SLOT_BYTES,
    WAITING_PICTURES,
    Picture,
    capture_time,
    unpack_picture,
)
from tests.fakes.capture import PERIOD_MS, FakeCapture, now_ms

SMALL, LARGE = (64, 48), (1920, 1080)


def sent(capture: FakeCapture, fps: float | None = None) -> list[bytes]:
    """Return the records that are sent until the camera ends."""
    records: list[bytes] = []
    with pytest.raises(Failed, match="stopped delivering"):
        camera.send_pictures(capture, lambda *parts: records.append(b"".join(parts)), fps)
    return records


def test_every_picture_is_sent_with_its_size_and_time() -> None:
    capture = FakeCapture([SMALL, LARGE, None, SMALL], began_ms=now_ms() - 500)
    records = sent(capture)
    pictures = [unpack_picture(record) for record in records]
    assert [(picture.width, picture.height) for picture in pictures] == [SMALL, LARGE, (0, 0), SMALL]
    assert [picture.is_damaged for picture in pictures] == [False, False, True, False]
    assert {*records[1][pictures[1].offset :]} == {2}
    times = [picture.captured_ns for picture in pictures]
    assert np.diff(times).tolist() == pytest.approx([PERIOD_MS * 1e6] * 3, abs=1000)


def test_pictures_beyond_fps_are_neither_decoded_nor_sent() -> None:
    capture = FakeCapture([SMALL] * 8, began_ms=now_ms() - 900)
    assert len(sent(capture, fps=5)) == 4
    assert capture.decoded == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("width", "height", "fps", "requested"),
    [
        (None, None, None, {}),
        (None, None, 30, {cv2.CAP_PROP_FPS: 30}),
        (
            640,
            480,
            None,
            {
                cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
                cv2.CAP_PROP_FRAME_WIDTH: 640,
                cv2.CAP_PROP_FRAME_HEIGHT: 480,
            },
        ),
    ],
)
def test_configured_properties_are_requested(
    width: int | None, height: int | None, fps: float | None, requested: dict[int, float]
) -> None:
    capture = FakeCapture([])
    camera.configure(capture, {"width": width, "height": height, "fps": fps})
    assert capture.asked == {cv2.CAP_PROP_BUFFERSIZE: camera.BUFFERS, **requested}


@pytest.mark.parametrize(
    ("driver_ms", "expected_ns"),
    [
        (5000.0, 5 * NS_PER_S),
        (4987.654, 4_987_654_000),
        (4000.0, 4 * NS_PER_S),
        (3999.9, 5 * NS_PER_S),
        (5000.1, 5 * NS_PER_S),
        (0.0, 5 * NS_PER_S),
        (-1.0, 5 * NS_PER_S),
        (1_767_225_600_000.0, 5 * NS_PER_S),
        (float("nan"), 5 * NS_PER_S),
        (float("inf"), 5 * NS_PER_S),
    ],
)
def test_the_drivers_time_is_used_where_it_is_plausible(driver_ms: float, expected_ns: int) -> None:
    assert capture_time(driver_ms, 5 * NS_PER_S) == expected_ns


AGES_MS = st.one_of(st.floats(), st.floats(-2, 2), st.floats(0, 1100))


@given(AGES_MS, st.integers(1, 100 * 365 * 86_400 * NS_PER_S))
def test_no_stamp_is_in_the_future_or_too_old(age_ms: float, read_ns: int) -> None:
    captured_ns = capture_time(read_ns / 1e6 - age_ms, read_ns)
    rounding_ns = 1000
    assert read_ns - NS_PER_S - rounding_ns <= captured_ns <= read_ns


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=64))
def test_any_bytes_are_a_picture_or_an_error(width: int, height: int, rest: bytes) -> None:
    for record in (rest, PICTURE_HEADER.pack(0, width, height) + rest):
        try:
            picture = unpack_picture(record)
        except ChildError as error:
            assert "are not a picture" in str(error)
        else:
            assert picture.header() + record[picture.offset :] == record


def test_the_largest_picture_fits_into_a_slot_and_a_larger_one_is_an_error() -> None:
    assert ring.HEADER.size + len(Picture(8192, 6144, 0).header()) + MAX_PIXELS * 3 == PICTURE_SLOT_BYTES
    with pytest.raises(Failed, match="of 8192x6145 are too large: set a smaller width and height"):
        camera.send_pictures(Enormous([(1, 1)]), lambda *parts: None, None)


class Enormous(FakeCapture):
    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.broadcast_to(np.uint8(0), (6145, 8192, 3))


def test_header_and_pixels_are_copied_into_one_slot() -> None:
    memory = memoryview(bytearray(WAITING_PICTURES * 1024))
    writer, reader = RingWriter(memory, 1024), RingReader(memory, 1024)
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert writer.write(Picture(4, 4, 7).header(), memoryview(pixels).cast("B"))
    reader.filled(1)
    record = reader.read()
    assert record is not None and unpack_picture(record.payload) == Picture(4, 4, 7)
    assert np.frombuffer(record.payload, np.uint8, offset=PICTURE_HEADER.size).tolist() == list(range(48))
