"""How network cameras are opened: over TCP or UDP, with few pictures, and with key pictures far apart."""

from fractions import Fraction

import pytest

from daemon.core.errors import SourceError
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.packet_camera import PacketCamera
from tests.helpers.rtsp import rtsp_camera
from tests.helpers.ts_camera import ts_camera
from tests.sources.network_watch import Watch


def some(watch: Watch) -> bool:
    return len(watch.frames) >= 5 and (len(watch.blocks) >= 20 or not watch.has_sound)


def first(watch: Watch) -> bool:
    return True


def test_a_camera_that_refuses_tcp_is_used_over_udp() -> None:
    with rtsp_camera("aac", udp=True) as camera:
        watch = Watch(camera.url()).until(some)
    assert min(watch.ages_ns) >= 0


def test_the_transport_that_a_camera_accepts_is_remembered() -> None:
    camera = PacketCamera(transports=("udp",))
    with camera.serving() as url:
        watch = Watch(url)
        watch.until(some)
        assert [transport for transport, _ in camera.setups] == ["tcp", "udp", "udp"]
        watch.frames.clear()
        watch.until(some)
        assert [transport for transport, _ in camera.setups[3:]] == ["udp", "udp"]
        camera.transports = ("tcp",)
        watch.until(some)
        assert [transport for transport, _ in camera.setups[5:]] == ["udp", "tcp", "tcp"]


def test_after_an_unclear_answer_tcp_is_tried_first_again() -> None:
    """A camera that answers with the ports of UDP looks like one whose connection was lost."""
    camera = PacketCamera(transports=("udp",), answers_udp=True)
    with camera.serving() as url:
        watch = Watch(url)
        for _ in range(2):
            camera.setups.clear()
            watch.frames.clear()
            watch.until(some)
            assert [transport for transport, _ in camera.setups] == ["tcp", "udp", "udp"]


@pytest.mark.parametrize(
    ("transport", "accepted", "message"),
    [
        ("tcp", ("udp",), "does not accept TCP: Protocol not supported; camera.transport: auto tries the other"),
        ("udp", ("tcp",), "does not accept UDP: Protocol not supported; camera.transport: auto tries the other"),
        ("auto", (), "does not accept TCP and UDP: Protocol not supported"),
    ],
)
def test_a_refused_transport_is_named(transport: str, accepted: tuple[str, ...], message: str) -> None:
    with PacketCamera(transports=accepted).serving() as url, pytest.raises(SourceError, match=message):
        Watch(url, transport=transport).until(some)


@pytest.mark.parametrize(("transport", "lines"), [("auto", 2), ("tcp", 0)])
def test_a_refusal_is_logged_once_however_often_the_camera_is_opened(
    transport: str, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with PacketCamera(transports=()).serving() as url:
        watch = Watch(url, transport=transport)
        for _ in range(3):
            with pytest.raises(SourceError, match="does not accept"):
                watch.until(some)
    assert sum("does not accept" in message for message in caplog.messages) == lines


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        ("tcp", "nothing came over TCP in 1 s; if it sends more rarely, set stall_after_s to three times the seconds"),
        ("udp", "nothing came over UDP in 1 s; check that a firewall lets UDP from the camera pass; if it sends"),
    ],
)
def test_a_camera_that_sends_nothing_is_named_with_its_transport(transport: str, message: str) -> None:
    with PacketCamera(transports=(transport,), is_mute=True).serving() as url:
        watch = Watch(url, wait_s=1.0)
        with pytest.raises(SourceError, match=message):
            watch.until(some)


def test_the_first_picture_opens_a_slow_camera() -> None:
    """FFmpeg knows that the picture is complete when the second one begins."""
    camera = PacketCamera(fps=1 / (5.0 if IS_CAMPAIGN else 2.7), sound=False)
    with camera.serving() as url:
        watch = Watch(url, sound=False).until(first)
    assert len(watch.frames) == 1
    assert camera.pictures == 2


def test_the_first_picture_opens_a_slow_stream_over_http() -> None:
    """Over MPEG-TS, FFmpeg knows that the picture is complete when the third one begins."""
    with ts_camera(fps=Fraction(1, 5) if IS_CAMPAIGN else Fraction(2, 3), distance=1) as camera:
        watch = Watch(camera.url, sound=False).until(first)
    assert len(watch.frames) == 1
    assert camera.pictures == 3


@pytest.mark.parametrize("joins_at", [0, 20])
def test_pictures_come_within_one_distance_of_key_pictures(joins_at: int) -> None:
    distance = 30
    with ts_camera(fps=Fraction(10), distance=distance, first=joins_at) as camera:
        watch = Watch(camera.url, sound=False).until(first)
    assert len(watch.frames) == 1
    assert camera.pictures < distance, "it begins with the first key picture, and does not wait for the second one"
    assert not watch.counters["image"].dropped, "pictures without their key picture are not damaged"
