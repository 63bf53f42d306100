"""Network cameras against real RTSP and MJPEG servers."""

import signal
import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.errors import SourceError
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.factory import build_sources
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.rtsp import rtsp_camera

RATE_HZ = 16_000
DEADLINE_S = 20.0


class Watch:
    """Runs a camera until `is_enough` returns true. Records its frames and blocks, and the age of each on delivery."""

    def __init__(self, url: str, *, sound: bool = True, fps: float | None = None) -> None:
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        microphone = MicrophoneConfig(device="camera") if sound else None
        stream = StreamConfig(camera=CameraConfig(device=url, fps=fps), microphone=microphone)
        sources = build_sources(stream, sample_rate_hz=RATE_HZ, picture=True, counters=self.counters)
        assert list(sources) == ["camera"]
        self._camera = sources["camera"]
        self.frames: list[Frame] = []
        self.blocks: list[Block] = []
        self.ages_ns: list[int] = []
        self.latest_ns = 0

    def until(self, is_enough: Callable[["Watch"], bool]) -> "Watch":
        stop = threading.Event()
        deadline_ns = monotonic_ns() + int(DEADLINE_S * NS_PER_S)

        def deliver(item: Captured) -> None:
            self.latest_ns = monotonic_ns()
            if isinstance(item, Frame):
                self.frames.append(item)
                self.ages_ns.append(monotonic_ns() - item.captured_ns)
            elif isinstance(item, Block):
                self.blocks.append(item)
                self.ages_ns.append(monotonic_ns() - item.end_ns)
            if is_enough(self) or monotonic_ns() > deadline_ns:
                stop.set()

        self._camera.run(deliver, stop)
        return self


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
        for scheme in ("rtsp", "http"):
            began_ns = monotonic_ns()
            with pytest.raises(SourceError, match="no answer in time"):
                Watch(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/").until(both)
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
