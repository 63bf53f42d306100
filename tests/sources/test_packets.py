"""The coded packets of RTSP cameras, for the history: complete, decodable, and with the times of the pictures."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.media import MediaPacket
from daemon.core.records import Captured, Frame
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.history.ring import MediaRing
from tests.helpers.camera_run import CameraRun
from tests.helpers.films import check_film, check_times, decoded, of_kind
from tests.helpers.recorded import DEADLINE_S, Enough, Recorded, record
from tests.helpers.rtsp_mounts import RtspServer, picture, rtsp_servers, sound

pytestmark = pytest.mark.xdist_group("rtsp formats")

FPS = 20
# of the server's encoders, in pictures
KEY_DISTANCE = 10
ENOUGH = Enough(frames=30, blocks=60)
PATIENCE_S = 15.0
FORMATS = [("h264", "aac"), ("h265", "aac"), ("jpeg", "pcma")]
CODECS = {"h265": "hevc", "jpeg": "mjpeg", "pcma": None}
MOUNTS = {f"/{video}-{audio}": f"{picture(video, fps=FPS)} {sound(audio)}" for video, audio in FORMATS}

Recordings = Mapping[str, "Future[Recorded]"]


def stream(url: str, **camera: object) -> StreamConfig:
    config = CameraConfig.model_validate({"device": url, "stall_after_s": PATIENCE_S, **camera})
    return StreamConfig(camera=config, microphone=MicrophoneConfig(device="camera"))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with rtsp_servers(RtspServer(MOUNTS)) as (port,):
        yield port


@pytest.fixture(scope="module")
def recordings(port: int) -> Iterator[Recordings]:
    with ThreadPoolExecutor(4) as pool:
        url = f"rtsp://127.0.0.1:{port}"
        found = {path: pool.submit(record, stream(f"{url}{path}"), ENOUGH) for path in MOUNTS}
        found["masked"] = pool.submit(record, stream(f"{url}/h264-aac", masks=[[[0, 0], [0.5, 0], [0, 0.5]]]), ENOUGH)
        yield found


@pytest.mark.parametrize(("video", "audio"), FORMATS)
def test_the_packets_of_a_camera_are_a_film_with_its_sound(recordings: Recordings, video: str, audio: str) -> None:
    recorded = recordings[f"/{video}-{audio}"].result(2 * DEADLINE_S)
    pictures = of_kind(recorded, "video")
    check_film(pictures)
    form = pictures[0].format
    assert (form.codec, form.width, form.height) == (CODECS.get(video, video), 320, 240)
    assert form.is_own_picture is False
    assert (form.extradata is not None) == (video != "jpeg")  # the parameter sets
    shown = decoded(pictures)
    assert len(shown) == len(pictures)
    check_times(recorded, pictures)
    keys = [number for number, packet in enumerate(pictures) if packet.is_key]
    distance = 1 if video == "jpeg" else KEY_DISTANCE
    # the server asks its encoder for a further key picture at the beginning
    assert set(np.diff(keys)[1:].tolist()) == {distance}
    sounds = of_kind(recorded, "audio")
    assert {packet.format.codec for packet in sounds} == ({"aac"} if audio == "aac" else set())


@pytest.mark.parametrize("video", ["h264", "h265"])
def test_the_aac_of_a_camera_has_the_times_of_its_sound(recordings: Recordings, video: str) -> None:
    recorded = recordings[f"/{video}-aac"].result(2 * DEADLINE_S)
    sounds = of_kind(recorded, "audio")
    check_film(sounds)
    assert (sounds[0].format.sample_rate_hz, sounds[0].format.channels) == (16_000, 1)
    assert sounds[0].format.extradata
    heard = decoded(sounds)
    assert len(heard) == len(sounds)
    # the blocks that were decoded of the same packets have the same times
    lasts_ns = 1024 * NS_PER_S // 16_000
    offset_ns = sounds[-1].captured_ns - recorded.blocks[-1].end_ns
    assert abs(offset_ns) < 2 * lasts_ns
    # picture and sound are on one clock
    offsets_ns = [each[-1].captured_ns - each[-1].pts_ns for each in (sounds, of_kind(recorded, "video"))]
    assert abs(offsets_ns[1] - offsets_ns[0]) < 20 * NS_PER_MS


def test_what_a_stream_hides_is_in_no_packet(recordings: Recordings) -> None:
    recorded = recordings["masked"].result(2 * DEADLINE_S)
    assert len(recorded.frames) >= ENOUGH.frames
    assert recorded.packets == []


def test_packets_that_are_not_decoded_in_time_are_handed_on_too(port: int) -> None:
    class Slow(CameraRun):
        def take(self, item: Captured) -> None:
            super().take(item)
            if isinstance(item, Frame):
                time.sleep(3 / FPS)

    run = Slow(f"rtsp://127.0.0.1:{port}/h264-aac", stall_after_s=PATIENCE_S)
    run.run(lambda run: run.counters["image"].dropped.get("behind", 0) >= KEY_DISTANCE)
    pictures = of_kind(run, "video")
    check_film(pictures)
    assert len(pictures) > len(run.frames) + KEY_DISTANCE
    distances_ns = np.diff([packet.pts_ns for packet in pictures])
    assert distances_ns.max() < 1.5 * NS_PER_S / FPS, "no picture is missing"
    assert len(decoded(pictures)) == len(pictures)


@pytest.mark.parametrize("start_s", [0.7, 1.0, 1.3])
def test_a_clip_of_a_camera_begins_at_a_key_picture_shortly_before_its_start(
    recordings: Recordings, start_s: float
) -> None:
    for video in ("h264", "h265"):
        recorded = recordings[f"/{video}-aac"].result(2 * DEADLINE_S)
        ring = MediaRing(has_packets=True, before_s=5)
        for each in recorded.order:
            if isinstance(each, MediaPacket):
                ring.add_packet(each)
            else:
                ring.add(each)
        ring.encode_pictures()
        start_ns = of_kind(recorded, "video")[0].captured_ns + round(start_s * NS_PER_S)
        taken = ring.take(ring.begin(start_ns))
        pictures = [packet for packet in taken.packets if packet.format.kind == "video"]
        first = pictures[0]
        assert first.is_key
        assert 0 <= start_ns - first.captured_ns <= (KEY_DISTANCE / FPS) * NS_PER_S + 20 * NS_PER_MS
        assert {packet.format.codec for packet in taken.packets} == {CODECS.get(video, video), "aac"}
        assert not taken.blocks
        assert len(decoded(pictures)) == len(pictures)
