"""What RTSP cameras send: formats of picture and sound, one picture a second, wraps, logins, IPv6, redirections."""

import socketserver
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S
from tests.helpers.bars import check_bars, check_one_run, check_tone
from tests.helpers.logins import ALL_ENCODED, FEW_ENCODED, PASSWORD, USER, WRITTEN_USER
from tests.helpers.ports import needs_ipv6
from tests.helpers.recorded import DEADLINE_S, Enough, Recorded, record
from tests.helpers.rtsp_mounts import RtspServer, picture, rtsp_servers, sound
from tests.helpers.serving import serving

# one process records the cameras, some at the same time
pytestmark = pytest.mark.xdist_group("rtsp formats")

FORMATS = [("h265", "opus"), ("jpeg", "pcma"), ("h264", "g722"), ("h264", "latm"), ("h264", "aac")]
WRAPS_AFTER_S = 1.2
ENOUGH = Enough(frames=15, blocks=75)

MOUNTS = {
    "/slow-silent": picture("h264", fps=1),
    "/slow": f"{picture('h264', fps=1)} {sound('aac')}",
    "/wrap": f"{picture('h264', wraps_after_s=WRAPS_AFTER_S)} {sound('pcmu', wraps_after_s=WRAPS_AFTER_S)}",
    "/wrap-sound": sound("pcmu", number=0, wraps_after_s=WRAPS_AFTER_S),
    **{f"/{video}-{audio}": f"{picture(video)} {sound(audio)}" for video, audio in FORMATS},
}
SPECIAL = {
    "/slow-silent": Enough(frames=2),
    "/slow": Enough(frames=2, blocks=75),
    "/wrap": Enough(frames=50, blocks=125),
    "/wrap-sound": Enough(blocks=125),
}
AT_A_TIME = 4

# what FFmpeg reads while it opens a camera may have no time
READ_WHILE_OPENING = {"image no_time": 2, "audio no_time": 1}

# a busy machine starts a server slowly
PATIENCE_S = 15.0

Recordings = Mapping[str, "Future[Recorded]"]


def stream(url: str, *, has_sound: bool = True) -> StreamConfig:
    microphone = MicrophoneConfig(device="camera") if has_sound else None
    return StreamConfig(camera=CameraConfig(device=url, stall_after_s=PATIENCE_S), microphone=microphone)


@pytest.fixture(scope="module")
def recordings() -> Iterator[Recordings]:
    """Record all mounts, the slow ones first."""
    with rtsp_servers(RtspServer(MOUNTS)) as (port,), ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            path: pool.submit(record, stream(f"rtsp://127.0.0.1:{port}{path}"), SPECIAL.get(path, ENOUGH))
            for path in MOUNTS
        }


def check_picture(recorded: Recorded) -> None:
    """Assert that the pictures are right, and that nothing was dropped after the opening."""
    check_bars(recorded.frames[0])
    check_bars(recorded.frames[-1])
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert stamps == sorted(stamps)
    for what, count in recorded.dropped.items():
        assert count <= READ_WHILE_OPENING.get(what, 0), what


def check(recorded: Recorded) -> None:
    """Assert that picture and sound are right."""
    check_picture(recorded)
    check_tone(recorded.blocks)


@pytest.mark.parametrize(("video", "audio"), FORMATS)
def test_picture_and_sound_of_each_format(recordings: Recordings, video: str, audio: str) -> None:
    check(recordings[f"/{video}-{audio}"].result(2 * DEADLINE_S))


def test_one_picture_a_second_with_sound(recordings: Recordings) -> None:
    recorded = recordings["/slow"].result(2 * DEADLINE_S)
    check(recorded)
    earlier, later = (frame.captured_ns for frame in recorded.frames[-2:])
    assert later - earlier > NS_PER_S / 2


def test_one_picture_a_second_without_sound(recordings: Recordings) -> None:
    recorded = recordings["/slow-silent"].result(2 * DEADLINE_S)
    assert len(recorded.frames) >= 2
    check_picture(recorded)


def test_picture_and_sound_go_on_where_rtp_times_and_numbers_begin_anew(recordings: Recordings) -> None:
    recorded = recordings["/wrap"].result(2 * DEADLINE_S)
    check(recorded)
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert stamps[-1] - stamps[0] > 1.5 * WRAPS_AFTER_S * NS_PER_S
    assert np.diff(stamps).max() < NS_PER_S / 2


def test_no_sound_is_lost_where_rtp_times_and_numbers_begin_anew(recordings: Recordings) -> None:
    recorded = recordings["/wrap-sound"].result(2 * DEADLINE_S)
    check_one_run(recorded.blocks)
    check_tone(recorded.blocks)
    assert recorded.dropped == {}


@needs_ipv6
def test_a_camera_at_an_ipv6_address() -> None:
    with rtsp_servers(RtspServer({"/h264-g722": MOUNTS["/h264-g722"]}, "::1")) as (port,):
        check(record(stream(f"rtsp://[::1]:{port}/h264-g722"), ENOUGH))


@pytest.fixture(scope="module")
def guarded_port() -> Iterator[int]:
    with rtsp_servers(RtspServer({"/camera": picture("h264")}, logins=[(USER, PASSWORD)])) as (port,):
        yield port


@pytest.mark.parametrize("written", [ALL_ENCODED, FEW_ENCODED])
def test_digest_login_with_a_hard_password(guarded_port: int, written: str) -> None:
    url = f"rtsp://{WRITTEN_USER}:{written}@127.0.0.1:{guarded_port}/camera"
    check_picture(record(stream(url, has_sound=False), Enough(frames=2)))
    with pytest.raises(SourceError, match="refused the login") as refused:
        record(stream(url.replace("@127", "x@127"), has_sound=False))
    assert written not in str(refused.value)


class Redirection(socketserver.StreamRequestHandler):
    """Answers each RTSP request with the new location of the camera."""

    location = ""

    def handle(self) -> None:
        number = ""
        while (line := self.rfile.readline().decode().strip()) or not number:
            name, _, value = line.partition(": ")
            number = value if name == "CSeq" else number
        self.wfile.write(f"RTSP/1.0 302 Found\r\nCSeq: {number}\r\nLocation: {self.location}\r\n\r\n".encode())


@contextmanager
def redirecting_to(location: str) -> Iterator[int]:
    """Answer with a redirection during the block; give the port."""
    handler = type("RedirectionTo", (Redirection,), {"location": location})
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield server.server_address[1]


def test_a_redirection_is_followed_with_the_login(guarded_port: int) -> None:
    with redirecting_to(f"rtsp://127.0.0.1:{guarded_port}/camera") as port:
        url = f"rtsp://{WRITTEN_USER}:{ALL_ENCODED}@127.0.0.1:{port}/old"
        recorded = record(stream(url, has_sound=False), Enough(frames=2))
    check_picture(recorded)
