"""What HTTP cameras send: grey and odd pictures, one a second, wraps, logins, redirections, HTTPS, IPv6."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S
from tests.helpers.bars import check_bars, check_one_run, check_tone, draw_bars
from tests.helpers.certificates import self_signed
from tests.helpers.http_camera import Live, Pictures, Redirection, http_camera
from tests.helpers.logins import ALL_ENCODED, FEW_ENCODED, PASSWORD, USER, WRITTEN_USER
from tests.helpers.ports import needs_ipv6
from tests.helpers.recorded import Enough, Recorded, record
from tests.helpers.transport_stream import transport_stream

SIZE, ODD_SIZE = (320, 240), (321, 241)
BARS = draw_bars(SIZE)
CAMERA = {"/bars": Pictures(BARS, fps=20)}
FEW = Enough(frames=3)

WRAPS_AFTER_S = 1.2

# a busy machine answers slowly
PATIENCE_S = 15.0


def pictures(url: str, enough: Enough = FEW) -> Recorded:
    """Return what the camera sends without sound."""
    return record(StreamConfig(camera=CameraConfig(device=url, stall_after_s=PATIENCE_S)), enough)


def check(recorded: Recorded, size: tuple[int, int] = SIZE, *, is_grey: bool = False) -> None:
    """Assert that the pictures are right and that none was dropped."""
    assert {frame.size for frame in recorded.frames} == {size}
    check_bars(recorded.frames[0], is_grey=is_grey)
    check_bars(recorded.frames[-1], is_grey=is_grey)
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert stamps == sorted(stamps)
    assert recorded.dropped == {}


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    with http_camera(CAMERA) as address:
        yield address


@pytest.fixture(scope="module")
def secret_camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    certificate_and_key = self_signed(tmp_path_factory.mktemp("certificate"))
    with http_camera(CAMERA, tls=certificate_and_key) as address:
        yield address


@pytest.mark.parametrize("size", [SIZE, ODD_SIZE])
@pytest.mark.parametrize("is_grey", [False, True])
def test_jpegs_in_colour_or_grey_of_any_size(size: tuple[int, int], is_grey: bool) -> None:
    bars = draw_bars(size)
    pixels = cv2.cvtColor(bars, cv2.COLOR_BGR2GRAY) if is_grey else bars
    with http_camera({"/video": Pictures(pixels, fps=20)}) as address:
        check(pictures(f"http://{address}/video"), size, is_grey=is_grey)


def test_one_picture_a_second() -> None:
    with http_camera({"/slow": Pictures(BARS, fps=1)}) as address:
        recorded = pictures(f"http://{address}/slow", Enough(frames=2))
    check(recorded)
    first, second = (frame.captured_ns for frame in recorded.frames)
    assert second - first == pytest.approx(NS_PER_S, abs=NS_PER_S / 2)


def test_nothing_is_lost_where_times_of_33_bits_begin_anew() -> None:
    answer = Live("video/mp2t", transport_stream(seconds=4, wraps_after_s=WRAPS_AFTER_S))
    with http_camera({"/ts": answer}) as address:
        camera = CameraConfig(device=f"http://{address}/ts", stall_after_s=PATIENCE_S)
        stream = StreamConfig(camera=camera, microphone=MicrophoneConfig(device="camera"))
        recorded = record(stream, Enough(frames=20, blocks=110))
    check(recorded)
    check_one_run(recorded.blocks)
    check_tone(recorded.blocks)
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert stamps[-1] - stamps[0] > 1.5 * WRAPS_AFTER_S * NS_PER_S
    assert np.diff(stamps).max() < NS_PER_S / 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_followed(camera: str, status: int) -> None:
    moved = {"/old": Redirection("/older", status), "/older": Redirection(f"http://{camera}/bars", status)}
    with http_camera(moved) as address:
        check(pictures(f"http://{address}/old"))


def test_https_with_a_self_signed_certificate(secret_camera: str) -> None:
    check(pictures(f"https://{secret_camera}/bars"))


def test_a_redirection_to_https_is_followed(secret_camera: str) -> None:
    with http_camera({"/old": Redirection(f"https://{secret_camera}/bars")}) as address:
        check(pictures(f"http://{address}/old"))


@needs_ipv6
def test_a_camera_at_an_ipv6_address() -> None:
    with http_camera(CAMERA, address="::1") as address:
        check(pictures(f"http://{address}/bars"))


@pytest.mark.parametrize("written", [ALL_ENCODED, FEW_ENCODED])
def test_digest_login_with_a_hard_password(written: str) -> None:
    with http_camera(CAMERA, login=(USER, PASSWORD)) as address:
        check(pictures(f"http://{WRITTEN_USER}:{written}@{address}/bars"))
        with pytest.raises(SourceError, match="refused the login") as refused:
            pictures(f"http://{WRITTEN_USER}:{written}x@{address}/bars")
    assert written not in str(refused.value)
