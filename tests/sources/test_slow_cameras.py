"""A supervised RTSP camera with a picture every few seconds, with and without the `stall_after_s` that it needs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from daemon.config.streams import CameraConfig, StreamConfig
from daemon.core.records import MODALITIES, Captured, Counters
from daemon.runtime.processor import ProcessorShare
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.factory import build_sources, expectation_of
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.mosquitto import wait_until
from tests.helpers.packet_camera import PacketCamera

WAIT_S = 60.0
ADVICE = re.compile(r"no picture for .* s; if it sends one every \d+ s, set stall_after_s to (\d+)")


@contextmanager
def supervised(every_s: float, stall_after_s: float) -> Iterator[tuple[SupervisedSource, list[Captured]]]:
    """Run a camera with a picture every `every_s` during the block, with the list of its pictures."""
    pictures: list[Captured] = []
    with PacketCamera(fps=1 / every_s, sound=False).serving() as url:
        stream = StreamConfig(camera=CameraConfig(device=url, stall_after_s=stall_after_s))
        counters = {modality: Counters() for modality in MODALITIES}
        source = SupervisedSource(
            "s/camera",
            build_sources(stream, sample_rate_hz=None, picture=True, counters=counters)["camera"],
            pictures.append,
            on_change=lambda: None,
            expectation=expectation_of("camera", stream, frozenset({"image"})),
        )
        source.start()
        try:
            yield source, pictures
        finally:
            source.request_stop()
            assert source.join(WAIT_S)


def is_advised(source: SupervisedSource) -> bool:
    source.check({}, ProcessorShare())
    return ADVICE.match(source.status.reason or "") is not None


@pytest.mark.campaign("slow-cameras")
def test_a_camera_slower_than_stall_after_s_is_used_and_its_status_says_what_to_set() -> None:
    every_s, stall_after_s = (5.0, 2.5) if IS_CAMPAIGN else (0.8, 0.5)
    with supervised(every_s, stall_after_s) as (source, pictures):
        wait_until(lambda: is_advised(source), "its status says what to set", WAIT_S)
        advised = ADVICE.match(source.status.reason or "")
        assert advised
        assert int(advised.group(1)) >= 3 * every_s
        assert len(pictures) >= 2


@pytest.mark.campaign("slow-cameras")
def test_a_slow_camera_with_the_stall_after_s_that_it_needs_is_healthy() -> None:
    every_s, stall_after_s, wanted = (5.0, 15.0, 8) if IS_CAMPAIGN else (0.6, 2.0, 3)
    with supervised(every_s, stall_after_s) as (source, pictures):
        wait_until(lambda: source.check({}, ProcessorShare()) or len(pictures) >= wanted, "its pictures come", WAIT_S)
        assert (source.status.state, source.status.reason, source.status.failures) == ("healthy", None, 0)
