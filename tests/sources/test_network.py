"""Network cameras against real RTSP and MJPEG servers."""

import signal
import socket
import threading

import numpy as np
import pytest

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.recorded import RATE_HZ
from tests.helpers.rtsp import rtsp_camera
from tests.sources.network_watch import Watch


def both(watch: Watch) -> bool:
    return len(watch.frames) >= 15 and len(watch.blocks) >= 75


@pytest.mark.parametrize("audio", ["aac", "pcmu"])
def test_rtsp_gives_picture_and_sound_on_one_clock(audio: str) -> None:
    with rtsp_camera(audio, "viewer", "open sesame") as camera:
        watch = Watch(camera.url("viewer:open%20sesame@")).until(both)
    assert watch.frames[0].size == (320, 240)
    assert len(watch.frames[0].planes) == 3
    assert np.diff([frame.captured_ns for frame in watch.frames]).min() >= 0
    samples = np.concatenate([block.samples for block in watch.blocks])[-RATE_HZ:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * RATE_HZ / len(samples) == pytest.approx(440, abs=3)
    assert min(watch.ages_ns) >= 0, "nothing is stamped in the future"
    assert [number for number, block in enumerate(watch.blocks) if block.gap] == [0]


def test_unused_sound_is_not_delivered_and_fps_is_observed() -> None:
    with rtsp_camera("aac") as camera:
        watch = Watch(camera.url(), sound=False, fps=5).until(lambda watch: len(watch.frames) == 5)
    assert not watch.blocks
    assert watch.counters["image"].left_out > 0
    assert np.diff([frame.captured_ns for frame in watch.frames]).mean() == pytest.approx(NS_PER_S / 5, rel=0.2)


def test_a_camera_without_sound_gives_its_picture() -> None:
    with rtsp_camera("none") as camera:
        watch = Watch(camera.url()).until(lambda watch: len(watch.frames) == 5)
    assert len(watch.frames) == 5


def test_a_killed_camera_is_an_error() -> None:
    with rtsp_camera("aac") as camera:

        def kill_it(watch: Watch) -> bool:
            if len(watch.frames) == 5:
                camera.process.kill()
            return False

        with pytest.raises(SourceError, match=rf"^rtsp://127\.0\.0\.1:{camera.port}: "):
            Watch(camera.url()).until(kill_it)


def test_no_password_shows_in_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with rtsp_camera("aac", "viewer", "right") as camera, pytest.raises(SourceError) as refused:
        Watch(camera.url("viewer:s3cret@")).until(both)
    with pytest.raises(SourceError) as absent:
        Watch("rtsp://viewer:s3cret@127.0.0.1:1/user=admin&password=s3cret?pwd=s3cret").until(both)
    with MjpegCamera(login=("viewer", "right")).serving() as camera, pytest.raises(SourceError) as also_refused:
        Watch(f"http://viewer:s3cret@127.0.0.1:{camera.port}/video?pwd=s3cret", sound=False).until(both)
    for error in (refused, also_refused):
        assert str(error.value).endswith(": refused the login: check user and password in camera.device")
    assert "Connection refused" in str(absent.value)
    for error in (refused, absent, also_refused):
        assert "s3cret" not in str(error.getrepr(style="short", chain=True, showlocals=False).reprcrash)
        assert error.value.__cause__ is None
    output = capfd.readouterr()
    assert "s3cret" not in output.out + output.err


def test_a_missing_path_is_named_in_the_error() -> None:
    with rtsp_camera("none") as camera, pytest.raises(SourceError, match="has no such path: check the path in camera"):
        Watch(camera.url() + "/s3cret").until(both)


def test_a_camera_that_does_not_answer_is_an_error_within_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began_ns = monotonic_ns()
        with pytest.raises(SourceError, match="no answer in time"):
            Watch(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/").until(both)
        assert monotonic_ns() - began_ns < 3 * NS_PER_S


def test_mjpeg_is_stamped_on_arrival() -> None:
    began_ns = monotonic_ns()
    with MjpegCamera(login=("viewer", "right")).serving() as camera:
        url = f"http://viewer:right@127.0.0.1:{camera.port}/video"
        watch = Watch(url, sound=False).until(lambda watch: len(watch.frames) == 10)
    stamps = [frame.captured_ns for frame in watch.frames]
    assert stamps == sorted(stamps)
    assert stamps[0] >= began_ns
    assert min(watch.ages_ns) >= 0
    assert watch.frames[0].size == (64, 48)


def test_half_jpegs_are_dropped_and_counted() -> None:
    with MjpegCamera(fps=100).serving() as camera:

        def pictures_break_and_heal(watch: Watch) -> bool:
            if len(watch.frames) == 5:
                camera.mode = "half"
                threading.Timer(0.5, setattr, (camera, "mode", "ok")).start()
            return len(watch.frames) == 15

        watch = Watch(f"http://127.0.0.1:{camera.port}/", sound=False).until(pictures_break_and_heal)
    assert len(watch.frames) == 15
    assert watch.counters["image"].dropped["corrupt"] > 1


def test_a_stalled_camera_is_an_error_within_three_seconds() -> None:
    with MjpegCamera().serving() as mjpeg, rtsp_camera("aac") as rtsp:

        def stall(watch: Watch) -> bool:
            mjpeg.mode = "stall"
            if len(watch.frames) == 20:
                rtsp.process.send_signal(signal.SIGSTOP)
            return False

        for url in (f"http://127.0.0.1:{mjpeg.port}/", rtsp.url()):
            watch = Watch(url)
            with pytest.raises(SourceError, match="no answer in time"):
                watch.until(stall)
            assert monotonic_ns() - watch.latest_ns < 3 * NS_PER_S
