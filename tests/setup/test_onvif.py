"""An ONVIF camera tells the addresses of its streams: with each kind of login, a wrong clock, wrong addresses."""

import socket
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from daemon.config.streams import CameraConfig
from daemon.setup.found import FoundCamera, SearchFailed
from daemon.setup.login import with_login
from daemon.setup.onvif import rtsp_addresses
from tests.helpers.logins import PASSWORD, USER
from tests.helpers.onvif import OnvifCamera, Stream, fault, onvif_camera

LOGIN = (USER, PASSWORD)

SMALL = Stream("sub", "rtsp://127.0.0.1:554/Streaming/102?a=1&b=2")
LARGE = Stream("main", "rtsp://127.0.0.1:554/Streaming/101", "H265", 2560, 1440, 25, "AAC")

# for one request of a camera that answers at once; only a failure takes so long
LONG_S = 30.0


@pytest.mark.parametrize("knows", ["media 1", "media 2"])
def test_streams_have_size_codec_and_sound_the_largest_first(knows: str) -> None:
    with onvif_camera(OnvifCamera([SMALL, LARGE], knows=knows)) as camera:
        found = rtsp_addresses(camera.service, None, LONG_S)
    service = camera.service
    assert found == [
        FoundCamera(LARGE.url, "main stream", "2560x1440 H265 25 fps", False, True, service),
        FoundCamera(SMALL.url, "sub stream", "640x360 H264 15 fps", False, False, service),
    ]


def test_a_camera_that_takes_no_actions_is_asked_without() -> None:
    with onvif_camera(OnvifCamera([SMALL], login=LOGIN, takes_actions=False)) as camera:
        found = rtsp_addresses(camera.service, LOGIN, LONG_S)
    assert [each.device for each in found] == [SMALL.url]


@pytest.mark.parametrize("takes", ["token", "digest"])
@pytest.mark.parametrize("ahead", [timedelta(), timedelta(days=-8000), timedelta(hours=9)])
def test_a_login_is_accepted_whatever_the_clock_of_the_camera_says(takes: str, ahead: timedelta) -> None:
    with onvif_camera(OnvifCamera([SMALL], login=LOGIN, takes=takes, clock_ahead=ahead)) as camera:
        found = rtsp_addresses(camera.service, LOGIN, LONG_S)
    assert [each.device for each in found] == [SMALL.url]
    assert found[0].needs_login
    assert camera.refused.count("GetProfiles") <= 1


@pytest.mark.parametrize("takes", ["token", "digest"])
@pytest.mark.parametrize("login", [None, (USER, "wrong")])
def test_a_camera_that_refuses_the_login_says_so_after_one_attempt(takes: str, login: tuple[str, str] | None) -> None:
    with (
        onvif_camera(OnvifCamera([SMALL], login=LOGIN, takes=takes)) as camera,
        pytest.raises(SearchFailed, match="login") as caught,
    ):
        rtsp_addresses(camera.service, login, LONG_S)
    assert caught.value.needs_login
    # the second request of a digest answers the challenge
    assert len(camera.refused) == (2 if login and takes == "digest" else 1)
    assert "wrong" not in str(caught.value).replace("wrong login", "")


def test_a_password_is_never_sent_in_clear_text() -> None:
    with (
        onvif_camera(OnvifCamera([SMALL], login=LOGIN, takes="basic")) as camera,
        pytest.raises(SearchFailed, match="asks for the password in clear text"),
    ):
        rtsp_addresses(camera.service, LOGIN, LONG_S)
    assert len(camera.refused) == 1


def test_what_the_camera_says_of_other_hosts_is_not_believed() -> None:
    elsewhere = replace(LARGE, url="rtsp://user:secret@10.11.12.13:8554/live@1#x")
    camera = OnvifCamera([elsewhere], login=LOGIN, own_address="http://192.0.2.1:9")
    with onvif_camera(camera):
        found = rtsp_addresses(camera.service, LOGIN, LONG_S)
    assert [each.device for each in found] == ["rtsp://127.0.0.1:8554/live%401"]
    config = CameraConfig(device=with_login(found[0].device, *LOGIN))
    assert str(config.device).endswith("@127.0.0.1:8554/live%401")


@pytest.mark.parametrize(
    ("request_name", "answer", "message"),
    [
        ("GetServices", b"", "wants a login"),
        ("GetServices", b"<html>no such page</html>", "names no service for streams"),
        ("GetServices", b"x" * 2_000_000, "its answer has more than 1048576 bytes"),
        ("GetProfiles", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "an answer has a DTD"),
        ("GetProfiles", b"<a><b></a>", "an answer is no XML"),
        ("GetProfiles", fault("ter:ActionNotSupported", "not here"), "refuses GetProfiles: not here"),
        ("GetProfiles", fault("wsse:FailedAuthentication", "no"), "wants a login"),
        ("GetStreamUri", fault("ter:InvalidArgVal", "a picture"), "lists no stream with an rtsp:// address"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(request_name: str, answer: bytes, message: str) -> None:
    camera = OnvifCamera([SMALL], answers={request_name: answer, "GetCapabilities": b"<a/>"})
    with onvif_camera(camera), pytest.raises(SearchFailed, match=message):
        rtsp_addresses(camera.service, None, LONG_S)


@pytest.mark.parametrize(
    "url", ["", "rtsp:///x", "http://127.0.0.1/x", "rtsp://[/x", "file:///etc/passwd", "rtsp://h:x/"]
)
def test_a_stream_without_a_usable_address_is_left_out(url: str) -> None:
    with onvif_camera(OnvifCamera([replace(LARGE, url=url), SMALL])) as camera:
        found = rtsp_addresses(camera.service, None, LONG_S)
    assert [each.device for each in found if each.name == "sub stream"] == [SMALL.url]
    for each in found:
        CameraConfig(device=each.device)


def test_a_camera_that_sends_one_byte_after_another_is_given_up_in_time() -> None:
    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            while not is_over.wait(0.02):
                connection.send(b"H")

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            service = f"http://127.0.0.1:{server.getsockname()[1]}/onvif/device_service"
            with pytest.raises(SearchFailed, match=r"has not answered in 0.3 s"):
                rtsp_addresses(service, None, 0.3)
        finally:
            is_over.set()
            thread.join(LONG_S)


def test_a_camera_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SearchFailed, match=r"cannot be reached \(Connection refused\)"):
        rtsp_addresses(f"http://127.0.0.1:{port}/onvif/device_service", LOGIN, LONG_S)
    with pytest.raises(SearchFailed, match="expected the http or https URL"):
        rtsp_addresses("rtsp://127.0.0.1/", None, LONG_S)
