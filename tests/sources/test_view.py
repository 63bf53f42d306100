"""A view delivers its part of another stream's pictures, and says what it waits for."""

import math
import threading

import numpy as np
import pytest

from daemon.config.streams import PictureConfig, Region
from daemon.core.errors import SourceError
from daemon.core.records import Captured, Frame
from daemon.sources.picture import PicturePreparation
from daemon.sources.view import Views, ViewSource
from tests.helpers.mosquitto import wait_until

WIDE = Frame((np.arange(100, dtype=np.uint8).reshape(1, 100, 1).repeat(10, 0).repeat(3, 2),), 7)


class Opened:
    """A view that runs on its own thread."""

    def __init__(self, views: Views, left: float = 0.5, fails: bool = False) -> None:
        self.views, self.fails = views, fails
        self.source = ViewSource(views, PicturePreparation(PictureConfig(region=Region(left=left))))
        self.stop = threading.Event()
        self.delivered: list[Captured] = []
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.source.run(self._deliver, self.stop)
        except Exception as error:  # noqa: BLE001  (looked at by the test)
            self.error = error

    def _deliver(self, captured: Captured) -> None:
        if self.fails:
            raise ValueError("a fault of this stream")
        self.delivered.append(captured)

    def wait(self) -> None:
        def has_entered() -> bool:
            self.views.publish(WIDE)
            return bool(self.delivered) or self.error is not None

        wait_until(has_entered, "the view has entered")

    def close(self) -> None:
        self.stop.set()
        self.thread.join(60)


def test_each_view_gets_its_part_until_it_closes() -> None:
    views = Views("yard", math.inf, math.inf)
    left, right = Opened(views, 0.2), Opened(views, 0.7)
    for view in (left, right):
        view.wait()
    for view, width in ((left, 80), (right, 30)):
        frame = view.delivered[-1]
        assert isinstance(frame, Frame)
        assert (frame.size, frame.captured_ns) == ((width, 10), 7)
        assert frame.planes[0][0, 0, 0] == 100 - width
    left.close()
    count = len(left.delivered)
    views.publish(WIDE)
    assert len(left.delivered) == count
    right.close()
    assert (left.error, right.error) == (None, None)


def test_a_fault_of_a_view_is_not_one_of_the_camera() -> None:
    views = Views("yard", math.inf, math.inf)
    faulty, sound = Opened(views, fails=True), Opened(views)
    sound.wait()
    faulty.wait()
    faulty.thread.join(60)
    assert isinstance(faulty.error, ValueError)
    views.publish(WIDE)
    assert sound.error is None
    sound.close()


def test_a_view_waits_for_its_camera() -> None:
    with_limits = Views("yard", 0.3, 0.5)
    view = Opened(with_limits)
    view.thread.join(60)
    assert isinstance(view.error, SourceError)
    assert str(view.error) == "waits for the camera of the stream yard: no picture for 0.5 s"
    again = Opened(with_limits)
    again.wait()
    again.thread.join(60)
    assert str(again.error) == "waits for the camera of the stream yard: no picture for 0.3 s"


def test_a_view_says_at_once_why_its_camera_delivers_nothing() -> None:
    views = Views("yard", 0.3, 0.5)
    views.trouble = "cannot be opened"
    view = Opened(views)
    view.thread.join(60)
    assert str(view.error) == "waits for the camera of the stream yard: cannot be opened"
    # the same again is no news, so that the source does not fail several times a second
    source, stop = view.source, threading.Event()
    with pytest.raises(SourceError, match=r"no picture for 0\.5 s"):
        source.run(view.delivered.append, stop)


def test_a_view_of_a_file_waits_for_ever_and_ends_with_it() -> None:
    views = Views("yard", math.inf, math.inf)
    view = Opened(views)
    view.wait()
    views.has_ended.set()
    view.thread.join(60)
    assert not view.thread.is_alive()
    assert view.error is None


def test_a_camera_that_is_to_be_closed_hands_nothing_on() -> None:
    views = Views("yard", math.inf, math.inf)
    view = Opened(views)
    view.wait()
    views.switch(True)
    count = len(view.delivered)
    views.publish(WIDE)
    assert len(view.delivered) == count
    view.close()


@pytest.mark.parametrize("is_closed", [True, False])
def test_streams_follow_when_the_camera_is_closed(is_closed: bool) -> None:
    views, seen = Views("yard", 1, 1), []
    views.follow(lambda: seen.append(views.is_closed))
    views.switch(is_closed)
    assert seen == [is_closed]
