"""The URL of a still picture, which is polled, from a real server."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from daemon.core.errors import SourceError
from daemon.sources.http.camera import PollSchedule
from daemon.sources.http.jpeg import MAX_PICTURE_BYTES
from tests.helpers.camera_run import CameraRun
from tests.helpers.jpegs import jpeg
from tests.helpers.raw_http import RawHttpServer, Request, chunked, content, head

FPS = 20


@dataclass
class Stills:
    """Answers each request with the next picture. After the last one it goes on with the last."""

    pictures: list[bytes]
    content_type: str = "image/jpeg"
    headers: tuple[str, ...] = ()
    asked: int = 0

    def __call__(self, request: Request) -> Iterator[bytes]:
        picture = self.pictures[min(self.asked, len(self.pictures) - 1)]
        self.asked += 1
        yield content(picture, self.content_type, *self.headers)


@dataclass
class Responses:
    """Answers the requests with these bytes in turn, and closes the connection after each."""

    responses: list[bytes]
    asked: int = 0

    def __call__(self, request: Request) -> Iterator[bytes]:
        self.asked += 1
        yield self.responses[self.asked - 1]


@dataclass
class Validated:
    """Sends a picture, and 304 to who has it already. The picture changes after every third request."""

    header: str
    condition: str
    more: tuple[str, ...] = ()
    statuses: list[int] = field(default_factory=list)

    def __call__(self, request: Request) -> Iterator[bytes]:
        number = len(self.statuses) // 3
        validator = self.header.format(number)
        is_known = request.headers.get(self.condition.lower()) == validator.partition(": ")[2]
        self.statuses.append(304 if is_known else 200)
        if is_known:
            yield head("304 Not Modified", validator)
        else:
            yield content(jpeg(50 + 40 * number), "image/jpeg", validator, *self.more)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_still_picture_is_asked_for_again_and_again(keep_alive: bool) -> None:
    stills = Stills([jpeg(shade) for shade in (50, 90, 130)])
    with RawHttpServer(stills, keep_alive=keep_alive, is_single=True).serving() as server:
        run = CameraRun(server.url("/cgi-bin/snapshot.cgi?channel=1"), fps=FPS).pictures(4)
    assert run.shades == [50, 90, 130, 130]
    assert [request.target for request in server.requests] == ["/cgi-bin/snapshot.cgi?channel=1"] * 4
    assert server.connections == (1 if keep_alive else 4)
    stamps = [frame.captured_ns for frame in run.frames]
    assert all(asked.received_ns <= at for asked, at in zip(server.requests, stamps, strict=True))
    assert [len(frame.planes) for frame in run.frames] == [3] * 4


@pytest.mark.parametrize(
    ("header", "condition", "more"),
    [
        ('ETag: "{}"', "If-None-Match", ()),
        ('ETag: W/"{}"', "If-None-Match", ("Last-Modified: Mon, 02 Mar 2026 10:00:00 GMT",)),
        (
            "Last-Modified: Mon, 02 Mar 2026 10:00:0{} GMT",
            "If-Modified-Since",
            ("Date: Mon, 02 Mar 2026 10:00:10 GMT",),
        ),
    ],
)
def test_an_unchanged_picture_is_not_sent_again_but_delivered_with_a_new_time(
    header: str, condition: str, more: tuple[str, ...]
) -> None:
    camera = Validated(header, condition, more)
    with RawHttpServer(camera, keep_alive=True).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(7)
    assert camera.statuses == [200, 304, 304, 200, 304, 304, 200]
    assert run.shades == [50, 50, 50, 90, 90, 90, 130]
    assert server.connections == 1
    stamps = [frame.captured_ns for frame in run.frames]
    assert stamps == sorted(set(stamps)), "each has a time of its own"


def test_a_picture_of_this_second_is_asked_for_without_its_time() -> None:
    """The picture may change again within the second, and would have the same time."""
    changed = "Last-Modified: Mon, 02 Mar 2026 10:00:00 GMT"
    stills = Stills([jpeg(50), jpeg(90)], headers=(changed, "Date: Mon, 02 Mar 2026 10:00:00 GMT"))
    with RawHttpServer(stills).serving() as server:
        assert CameraRun(server.url(), fps=FPS).pictures(2).shades == [50, 90]
    assert all("if-modified-since" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "validator",
    ["ETag: " + "x" * 300, "ETag: a\r\n b", "ETag: \x01", "Last-Modified: soon"],
    ids=["long", "folded", "control", "no time"],
)
def test_a_strange_validator_is_not_sent_back(validator: str) -> None:
    with RawHttpServer(Stills([jpeg(50)], headers=(validator,))).serving() as server:
        CameraRun(server.url(), fps=FPS).pictures(2)
    sent = set().union(*(request.headers for request in server.requests))
    assert not sent & {"if-none-match", "if-modified-since"}


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".gif", ".tiff", ".jpg"])
@pytest.mark.parametrize("content_type", ["right", "application/octet-stream"])
def test_pictures_of_other_formats_are_decoded(suffix: str, content_type: str) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:] = (30, 90, 200)
    picture = cv2.imencode(suffix, pixels)[1].tobytes()
    kind = f"image/{suffix[1:]}" if content_type == "right" else content_type
    with RawHttpServer(Stills([picture], kind)).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(2)
    assert [frame.size for frame in run.frames] == [(64, 48)] * 2
    if suffix != ".jpg":
        assert np.abs(run.frames[1].planes[0].astype(int) - pixels).max() <= 60  # GIF has few colours


def test_a_png_whose_type_is_jpeg_is_decoded_as_what_it_is() -> None:
    picture = cv2.imencode(".png", np.full((48, 64, 3), 120, np.uint8))[1].tobytes()
    with RawHttpServer(Stills([picture])).serving() as server:
        assert CameraRun(server.url(), fps=FPS).pictures(1).shades == [120]


class Chunked:
    """Sends a picture in chunks without a length."""

    def __call__(self, request: Request) -> Iterator[bytes]:
        picture = jpeg(90)
        yield head("200 OK", "Content-Type: image/jpeg", "Transfer-Encoding: chunked")
        yield chunked(picture[:200]) + chunked(picture[200:]) + b"0\r\n\r\n"


class UntilClosed:
    """Sends a picture whose end is the end of the connection."""

    def __call__(self, request: Request) -> Iterator[bytes]:
        yield head("200 OK", "Content-Type: image/jpeg", version="1.0") + jpeg(90)


@pytest.mark.parametrize(("camera", "keep_alive"), [(Chunked(), True), (UntilClosed(), False)])
def test_a_picture_without_a_length_is_a_still_picture(camera: object, keep_alive: bool) -> None:
    with RawHttpServer(camera, keep_alive=keep_alive).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(3)
    assert run.shades == [90, 90, 90]
    assert len(server.requests) == 3
    assert server.connections == (1 if keep_alive else 3)


def test_of_a_file_with_several_pictures_the_first_one_counts() -> None:
    """Telephones append further pictures to the first, for their own use."""
    with RawHttpServer(Stills([jpeg(50) + jpeg(200), jpeg(90) + jpeg(200)])).serving() as server:
        assert CameraRun(server.url(), fps=FPS).pictures(2).shades == [50, 90]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damaged_pictures_are_corrupt_and_the_next_ones_are_delivered(suffix: str) -> None:
    good = cv2.imencode(suffix, np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8))[1].tobytes()
    half = good[: len(good) // 2]
    with RawHttpServer(Stills([good, half, half, good]), keep_alive=True).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(2)
    assert run.corrupt == 2
    assert len(server.requests) == 4


def test_connections_that_end_within_the_picture_make_it_corrupt() -> None:
    cut = content(jpeg(50), "image/jpeg")[:-300]
    without_length = head("200 OK", "Content-Type: image/jpeg") + jpeg(50)[:-300]
    with RawHttpServer(Responses([cut, without_length, content(jpeg(90), "image/jpeg")])).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(1)
    assert (run.shades, run.corrupt) == ([90], 2)


class Gigabyte:
    """Begins with a picture of a gigabyte, and sends a good one to the next request."""

    def __init__(self) -> None:
        self.is_first = True

    def __call__(self, request: Request) -> Iterator[bytes]:
        if not self.is_first:
            yield content(jpeg(90), "image/jpeg")
            return
        self.is_first = False
        yield head("200 OK", "Content-Type: image/png", "Content-Length: 1073741824") + b"\x89PNG\r\n\x1a\n"
        for _ in range(16384):
            yield bytes(65536)


def test_a_picture_of_a_gigabyte_is_not_read_to_its_end() -> None:
    with RawHttpServer(Gigabyte()).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(1)
    assert server.sent < 4 * MAX_PICTURE_BYTES
    assert (run.shades, run.corrupt) == ([90], 1)


def test_small_files_that_claim_many_pixels_are_corrupt() -> None:
    picture = cv2.imencode(".png", np.zeros((9000, 9000), np.uint8))[1].tobytes()
    with RawHttpServer(Stills([picture, jpeg(90)])).serving() as server:
        run = CameraRun(server.url(), fps=FPS).pictures(1)
    assert (run.shades, run.corrupt) == ([90], 1)


def test_a_camera_that_fails_is_asked_again_at_its_next_time_only() -> None:
    failure = head("503 Busy", "Content-Length: 0")
    with RawHttpServer(Responses([content(jpeg(90), "image/jpeg"), failure, failure])).serving() as server:
        run = CameraRun(server.url(), fps=1)
        with pytest.raises(SourceError, match=r"stopped sending: the camera answers with status 503$"):
            run.pictures(2)
        # the supervisor starts a source again sooner than this camera is to be asked
        thread = threading.Thread(target=run.pictures, args=(2,))
        thread.start()
        thread.join(0.1)
        run.stop.set()
        thread.join(60)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # without delay: each on its time
        ([1000, 1100, 1200], [1100, 1200, 1300]),
        # an answer that came late does not move the schedule
        ([1000, 1150, 1170], [1100, 1200, 1300]),
        # what has passed is not caught up
        ([1000, 1850, 1860], [1100, 1850, 1950]),
    ],
)
def test_the_schedule_neither_drifts_nor_catches_up(now: list[int], expected: list[int]) -> None:
    schedule = PollSchedule(100)
    assert schedule.next_ns(1000) == 1000
    assert schedule.next_ns(1001) == 1001, "at once until the URL is known to give a still picture"
    schedule.begin(1000)
    schedule.begin(1050)
    assert [schedule.next_ns(at) for at in now] == expected
    schedule.end()
    assert schedule.next_ns(2000) == 2000
