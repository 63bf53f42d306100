"""MJPEG over HTTP, in the dialects of real cameras, from a real server."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.http.jpeg import MAX_PICTURE_BYTES
from daemon.sources.network.camera import MIN_READ_TIMEOUT_S
from tests.helpers.camera_run import CameraRun
from tests.helpers.jpegs import jpeg, jpeg_with_preview, part
from tests.helpers.raw_http import RawHttpServer, Request, chunked, head

SHADES = [50, 90, 130, 170]
PICTURES = [jpeg(shade) for shade in SHADES]
MIXED = "Content-Type: multipart/x-mixed-replace; boundary="


@dataclass(frozen=True)
class Sent:
    """Sends a head, then pieces with a pause after each, and then keeps the connection open."""

    head: bytes
    pieces: Sequence[bytes | float]
    pause_s: float = 0.01
    stays_open: bool = True

    def __call__(self, request: Request) -> Iterator[bytes | float]:
        yield self.head
        for piece in self.pieces:
            yield piece
            yield self.pause_s
        if self.stays_open:
            yield 30.0


def parts(*headers: str, boundary: str = "--b", end: str = "\r\n") -> list[bytes]:
    """Return the pictures as parts with these headers, in which LENGTH stands for the length of the picture."""
    sent = []
    for picture in PICTURES:
        lines = (boundary, *headers, "", "")
        sent.append(end.join(lines).replace("LENGTH", str(len(picture))).encode() + picture + end.encode())
    return sent


JPEG, LENGTH = "Content-Type: image/jpeg", "Content-Length: LENGTH"
DIALECTS = {
    "usual": Sent(head("200 OK", MIXED + "b"), parts(JPEG, LENGTH)),
    # ESP32-CAM and Tasmota: the boundary stands after each part only
    "no boundary before the first part": Sent(
        head("200 OK", MIXED + "b"), [p[5:] + b"--b\r\n" for p in parts(JPEG, LENGTH)]
    ),
    "parts without a type": Sent(head("200 OK", MIXED + "b"), parts(LENGTH)),
    "parts without any header": Sent(head("200 OK", MIXED + "b"), parts()),
    "image/jpg": Sent(head("200 OK", MIXED + "b"), parts("Content-Type: image/jpg", LENGTH)),
    "more headers": Sent(head("200 OK", MIXED + "b"), parts("X-Timestamp: 1.5", "content-type:image/jpeg", LENGTH)),
    "quoted boundary": Sent(head("200 OK", MIXED + '"b c"'), parts(JPEG, LENGTH, boundary="--b c")),
    "dashes in the header": Sent(head("200 OK", MIXED + "--b"), parts(JPEG, LENGTH, boundary="--b")),
    "no dashes": Sent(head("200 OK", MIXED + "b"), parts(JPEG, LENGTH, boundary="b")),
    "another boundary than declared": Sent(head("200 OK", MIXED + "x"), parts(JPEG, LENGTH)),
    "no boundary declared": Sent(head("200 OK", "Content-Type: multipart/x-mixed-replace"), parts(JPEG, LENGTH)),
    "line feeds only": Sent(head("200 OK", MIXED + "b"), parts(JPEG, LENGTH, end="\n")),
    "no lengths": Sent(head("200 OK", MIXED + "b"), parts(JPEG)),
    "lengths too small": Sent(head("200 OK", MIXED + "b"), parts(JPEG, "Content-Length: 100")),
    "lengths of a gigabyte": Sent(head("200 OK", MIXED + "b"), parts(JPEG, "Content-Length: 1073741824")),
    "chunked": Sent(
        head("200 OK", MIXED + "b", "Transfer-Encoding: chunked"), [chunked(p) for p in parts(JPEG, LENGTH)]
    ),
    "chunks that divide pictures": Sent(
        head("200 OK", MIXED + "b", "Transfer-Encoding: chunked"),
        [chunked(p[:300]) + chunked(p[300:]) for p in parts(JPEG, LENGTH)],
    ),
    "HTTP/1.0": Sent(head("200 OK", MIXED + "b", version="1.0"), parts(JPEG, LENGTH)),
    "multipart/mixed": Sent(head("200 OK", "Content-Type: multipart/mixed;boundary=b"), parts(JPEG, LENGTH)),
    "no type": Sent(head("200 OK"), parts(JPEG, LENGTH)),
    "octet stream": Sent(head("200 OK", "Content-Type: application/octet-stream"), parts(JPEG, LENGTH)),
    "jpeg after jpeg": Sent(head("200 OK", "Content-Type: image/jpeg"), PICTURES),
    "jpeg after jpeg, declared to end": Sent(
        head("200 OK", "Content-Type: video/x-motion-jpeg", "Content-Length: 999999999"), PICTURES
    ),
    "byte by byte": Sent(head("200 OK", MIXED + "b"), [bytes([b]) for p in parts(JPEG) for b in p], pause_s=0),
    "a preview in each picture": Sent(head("200 OK", MIXED + "b"), [part(jpeg_with_preview(s)) for s in SHADES]),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_picture_of_every_dialect_is_delivered(name: str) -> None:
    with RawHttpServer(DIALECTS[name], is_single=True).serving() as server:
        began_ns = monotonic_ns()
        run = CameraRun(server.url("/stream")).pictures(len(SHADES))
    assert run.shades == SHADES
    assert run.corrupt == 0
    assert len(server.requests) == 1, "the stream is read from the response that was asked for"
    assert [len(frame.planes) for frame in run.frames] == [3] * len(SHADES), "the decoder's own planes"
    stamps = [frame.captured_ns for frame in run.frames]
    assert stamps == sorted(stamps)
    assert began_ns <= stamps[0] <= stamps[-1] <= monotonic_ns()


def test_half_pictures_are_corrupt_and_those_around_them_are_delivered() -> None:
    big = jpeg(90, size=(640, 480))
    cuts = [big[: len(big) * share // 100] for share in (1, 5, 50, 99)]
    sent = [part(PICTURES[0]), *(part(cut) for cut in cuts), *(part(each) for each in PICTURES)]
    with RawHttpServer(Sent(head("200 OK", MIXED + "picture"), sent)).serving() as server:
        run = CameraRun(server.url()).pictures(1 + len(SHADES))
    assert run.shades == [SHADES[0], *SHADES]
    assert run.corrupt == len(cuts)


def test_a_camera_that_dies_within_a_picture_is_an_error_and_the_picture_is_corrupt() -> None:
    sent = Sent(head("200 OK", MIXED + "b"), [part(PICTURES[0]), part(PICTURES[1])[:-300]])
    with RawHttpServer(replace(sent, stays_open=False)).serving() as server:
        run = CameraRun(server.url())
        with pytest.raises(SourceError, match=rf"^http://127\.0\.0\.1:{server.port}: the stream has ended$"):
            run.pictures(2)
    assert (run.shades, run.corrupt) == (SHADES[:1], 1)


@pytest.mark.parametrize("fps", [2, None])
def test_pictures_beyond_the_rate_are_not_decoded(fps: float | None) -> None:
    # a picture without its size cannot be decoded, so decoding it would be seen as corrupt
    broken = PICTURES[0][:20] + b"\xff\xda\x00\x02\x00\xff\xd9"
    pieces = [part(PICTURES[0]) + 10 * part(broken), 0.6, part(PICTURES[1])]
    with RawHttpServer(Sent(head("200 OK", MIXED + "b"), pieces)).serving() as server:
        run = CameraRun(server.url(), fps=fps).pictures(2)
    assert run.shades == SHADES[:2]
    assert run.corrupt == (0 if fps else 10)
    assert run.counters["image"].left_out == (10 if fps else 0)


class Garbage:
    """Sends the beginning of a picture, and then for ever what never completes it."""

    def __call__(self, request: Request) -> Iterator[bytes]:
        yield head("200 OK", MIXED + "b") + part(PICTURES[0]) + PICTURES[1][:-2]
        while True:
            yield bytes(64 * 1024)


def test_endless_garbage_takes_bounded_memory_and_the_camera_stops_on_request() -> None:
    with RawHttpServer(Garbage()).serving() as server:
        run = CameraRun(server.url())
        thread = threading.Thread(target=run.pictures, args=(2,))
        thread.start()
        while server.sent < 3 * MAX_PICTURE_BYTES:
            assert thread.is_alive()
        run.stop.set()
        thread.join(60)
        assert not thread.is_alive()
    assert run.shades == SHADES[:1]
    assert run.corrupt >= 1


def test_the_first_picture_of_a_slow_camera_opens_it() -> None:
    pieces = [MIN_READ_TIMEOUT_S + 0.3, part(PICTURES[0])]
    with RawHttpServer(Sent(head("200 OK", MIXED + "b"), pieces)).serving() as server:
        assert CameraRun(server.url()).pictures(1).shades == SHADES[:1]


def test_a_camera_that_is_slower_than_configured_is_told_of_the_setting() -> None:
    pieces = [part(PICTURES[0]), 5.0, part(PICTURES[1])]
    slow = RawHttpServer(Sent(head("200 OK", MIXED + "b"), pieces))
    with slow.serving() as server, pytest.raises(SourceError) as error:
        CameraRun(server.url(), stall_after_s=2.6).pictures(2)
    assert str(error.value) == (
        f"http://127.0.0.1:{server.port}: stopped sending: no answer in time: "
        "waited 2.6 s; for a slower camera raise stall_after_s"
    )


def test_a_stop_is_followed_while_the_camera_sends_nothing() -> None:
    with RawHttpServer(Sent(head("200 OK", MIXED + "b"), [part(PICTURES[0])])).serving() as server:
        run = CameraRun(server.url(), stall_after_s=3600)
        thread = threading.Thread(target=run.pictures, args=(2,))
        thread.start()
        while not run.frames:
            thread.join(0.01)
        asked_ns = monotonic_ns()
        run.stop.set()
        thread.join(60)
    assert monotonic_ns() - asked_ns < 2 * NS_PER_S


class Flood:
    """Sends pictures faster than they can be decoded."""

    def __call__(self, request: Request) -> Iterator[bytes]:
        yield head("200 OK", MIXED + "b")
        burst = 16 * part(jpeg(90, size=(640, 480)))
        while True:
            yield burst


def test_a_stop_is_followed_while_more_comes_than_can_be_read() -> None:
    with RawHttpServer(Flood()).serving() as server:
        run = CameraRun(server.url()).pictures(40)
    assert 40 <= len(run.frames) < 80


def test_without_use_for_pictures_an_mjpeg_camera_is_an_error() -> None:
    with RawHttpServer(DIALECTS["usual"]).serving() as server:
        run = CameraRun(server.url(), sound=True, picture=False)
        with pytest.raises(SourceError, match="sends no sound"):
            run.pictures(1)


def test_the_missing_sound_of_an_mjpeg_camera_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with RawHttpServer(DIALECTS["usual"]).serving() as server:
        run = CameraRun(server.url("/?pwd=s3cret"), sound=True).pictures(2)
    assert len(run.frames) >= 2  # more may come before the stop
    assert caplog.messages == [f"http://127.0.0.1:{server.port}: the stream has no sound"]
